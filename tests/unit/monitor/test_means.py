"""Confidence sequences for means."""

from math import inf, log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitor.means import START, difference_interval, mean_interval
from monitor.sequential import Interval


def ever_outside(values: NDArray[np.float64], alpha: float) -> bool:
    """Whether 0 is outside at any moment; every fourth moment is looked at, which changes little."""
    for n in range(START, len(values) + 1, 4):
        seen = values[:n]
        interval = mean_interval(float(seen.mean()), float(seen.var(ddof=1)), n, alpha)
        if not interval.low <= 0 <= interval.high:
            return True
    return False


@pytest.mark.parametrize(
    "kind", [stats.norm(), stats.uniform(-1, 2), stats.expon(-1)], ids=["normal", "uniform", "exp"]
)
def test_looking_all_the_time_is_wrong_no_more_often_than_promised(kind: stats.rv_continuous) -> None:
    streams = 100
    wrong = sum(ever_outside(kind.rvs(1500, random_state=seed), 0.1) for seed in range(streams))
    assert wrong <= stats.binom.isf(0.001, streams, 0.1)


def test_a_t_interval_would_not_pass_that_test() -> None:
    wrong = 0
    for seed in range(60):
        values = stats.norm.rvs(size=1500, random_state=seed)
        n = np.arange(START, 1501)
        means = np.cumsum(values)[START - 1 :] / n
        wrong += bool((np.abs(means) * np.sqrt(n) > 1.645).any())
    assert wrong > stats.binom.isf(0.001, 60, 0.1)


def test_the_ends_are_those_of_robbins_mixture() -> None:
    # At the end of the interval the normal mixture's likelihood ratio against the mean is 1 / alpha.
    n, alpha = 400, 0.05
    radius = mean_interval(2.0, 4.0, n, alpha).high - 2.0
    rho = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / 1000
    z = radius * n / 2.0
    ratio = np.exp(rho * z**2 / (2 * (n * rho + 1))) / sqrt(n * rho + 1)
    assert ratio == pytest.approx(1 / alpha)


def test_more_values_narrow_the_interval_and_more_certainty_widens_it() -> None:
    widths = [mean_interval(0, 1, n, 0.05).high for n in (100, 1000, 10_000, 1_000_000)]
    assert widths == sorted(widths, reverse=True)
    assert mean_interval(0, 1, 500, 0.01).high > mean_interval(0, 1, 500, 0.1).high


def test_few_values_say_nothing() -> None:
    assert mean_interval(3.0, 1.0, START - 1, 0.05) == Interval(-inf, inf)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_no_interval_has_this_alpha(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        mean_interval(0, 1, 200, alpha)


def ever_apart(one: NDArray[np.float64], base: NDArray[np.float64], alpha: float, ratio: int) -> bool:
    """Whether equal means are ever called different; the base has `ratio` values for each of the other."""
    for n in range(START, len(one) + 1, 4):
        seen, known = one[:n], base[: ratio * n]
        interval = difference_interval(
            float(seen.mean()),
            float(seen.var(ddof=1)),
            n,
            float(known.mean()),
            float(known.var(ddof=1)),
            len(known),
            alpha,
        )
        if not interval.low <= 0 <= interval.high:
            return True
    return False


@pytest.mark.parametrize("ratio", [1, 9])
def test_two_streams_of_one_mean_are_called_different_no_more_often_than_promised(ratio: int) -> None:
    streams, wrong = 100, 0
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        # Of different spreads: one exponential, the other normal.
        wrong += ever_apart(draw.exponential(2, 1000), draw.normal(2, 1, 1000 * ratio), 0.1, ratio)
    assert wrong <= stats.binom.isf(0.001, streams, 0.1)


def test_a_stream_against_one_that_is_known_for_sure_is_a_stream_alone_of_as_much_information() -> None:
    # Half of the variance of both is the unit in which information counts, so 2,000 values are as good as 1,000.
    alone, difference = mean_interval(5.0, 4.0, 1000, 0.05), difference_interval(5.0, 4.0, 2000, 0.0, 0.0, 100, 0.05)
    assert (difference.high - 5) * sqrt(2000) == pytest.approx((alone.high - 5) * sqrt(1000))


def test_equal_variances_count_by_the_harmonic_sum_of_the_values() -> None:
    n, base_n = 300, 1200
    radius = difference_interval(0.0, 2.0, n, 0.0, 2.0, base_n, 0.05).high
    assert radius == pytest.approx(mean_interval(0.0, 2.0, n * base_n // (n + base_n), 0.05).high)


def test_a_difference_turns_around_with_its_streams() -> None:
    one, other = (3.0, 2.0, 500), (2.5, 1.0, 900)
    forth, back = difference_interval(*one, *other, 0.05), difference_interval(*other, *one, 0.05)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low < 0.5 < forth.high


def test_the_difference_needs_enough_values_of_both() -> None:
    assert difference_interval(1.0, 1.0, START - 1, 0.0, 1.0, 10_000, 0.05) == Interval(-inf, inf)
    assert difference_interval(1.0, 1.0, 10_000, 0.0, 1.0, START - 1, 0.05) == Interval(-inf, inf)


def test_constants_differ_by_their_difference() -> None:
    assert difference_interval(3.0, 0.0, 200, 1.0, 0.0, 200, 0.05) == Interval(2.0, 2.0)


def test_no_difference_has_an_alpha_outside_of_0_to_1() -> None:
    with pytest.raises(ValueError, match="alpha"):
        difference_interval(0.0, 1.0, 200, 0.0, 1.0, 200, 1.0)
