"""Confidence sequences: intervals that stay right however often one looks."""

import random
from math import isclose, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from monitor.sequential import (
    DIFFERENCE_TUNED_FOR,
    EXACT_SHARE,
    Interval,
    difference_interval,
    mixture_bound,
    proportion_interval,
)


def ever_wrong(p: float, alpha: float, length: int, seed: int) -> bool:
    """Whether the true value is outside at any moment of a stream of trials, looked at after every one.

    Outside the interval means that the likelihood ratio of the mixture against `p` has reached 1 / alpha; that is
    cheaper to follow than both ends, and `test_the_ends_are_where_the_ratio_reaches_its_limit` ties the two together.
    """
    draw = random.Random(seed)
    successes = 0
    for n in range(1, length + 1):
        successes += draw.random() < p
        if log_ratio(successes, n, p) >= -log(alpha):
            return True
    return False


def log_ratio(successes: int, n: int, p: float) -> float:
    """Logarithm of the mixture's likelihood over that of `p`, written down from the formula."""

    def log_beta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    mixture = log_beta(successes + 0.5, n - successes + 0.5) - log_beta(0.5, 0.5)
    return mixture - successes * log(p) - (n - successes) * log(1 - p)


@pytest.mark.parametrize(("p", "alpha"), [(0.01, 0.05), (0.2, 0.05), (0.5, 0.1), (0.97, 0.2)])
def test_looking_after_every_request_is_wrong_no_more_often_than_promised(p: float, alpha: float) -> None:
    streams = 300
    wrong = sum(ever_wrong(p, alpha, length=600, seed=seed) for seed in range(streams))
    assert wrong / streams <= alpha


def test_a_fixed_sample_interval_would_not_pass_that_test() -> None:
    wrong = 0
    for seed in range(300):
        draw, successes = random.Random(seed), 0
        for n in range(1, 601):
            successes += draw.random() < 0.2
            error = 1.96 * (0.2 * 0.8 / n) ** 0.5
            if n >= 20 and abs(successes / n - 0.2) > error:
                wrong += 1
                break
    assert wrong / 300 > 0.2


@pytest.mark.parametrize(("successes", "n"), [(1, 10), (5, 10), (9, 10), (3, 1000), (500, 1000), (123_456, 10_000_000)])
def test_the_ends_are_where_the_ratio_reaches_its_limit(successes: int, n: int) -> None:
    interval = proportion_interval(successes, n, 0.05)
    assert interval.low < successes / n < interval.high
    for end in (interval.low, interval.high):
        assert isclose(log_ratio(successes, n, end), -log(0.05), rel_tol=1e-3)


def test_without_trials_anything_is_possible() -> None:
    assert proportion_interval(0, 0, 0.05) == Interval(0.0, 1.0)


@pytest.mark.parametrize("n", [1, 10, 1000, 10_000_000])
def test_an_end_without_evidence_against_it_is_the_end_of_the_scale(n: int) -> None:
    none, every = proportion_interval(0, n, 0.05), proportion_interval(n, n, 0.05)
    assert (none.low, every.high) == (0.0, 1.0)
    assert 0 < none.high < 1
    assert isclose(every.low, 1 - none.high, rel_tol=1e-6)


def test_ten_million_trials_are_no_problem() -> None:
    interval = proportion_interval(100_000, 10_000_000, 0.05)
    assert 0.0098 < interval.low < 0.01 < interval.high < 0.0102
    assert proportion_interval(0, 10_000_000, 0.05).high < 2e-6


def test_more_trials_narrow_the_interval_and_more_certainty_widens_it() -> None:
    widths = [(one := proportion_interval(n // 10, n, 0.05)).high - one.low for n in (10, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert proportion_interval(10, 100, 0.001).low < proportion_interval(10, 100, 0.1).low


@pytest.mark.parametrize(
    ("successes", "n", "alpha"), [(-1, 5, 0.05), (6, 5, 0.05), (0, -1, 0.05), (1, 5, 0), (1, 5, 1)]
)
def test_what_cannot_be_is_refused(successes: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="no interval"):
        proportion_interval(successes, n, alpha)


def test_the_difference_of_equal_streams_is_around_zero_and_of_unequal_ones_is_not() -> None:
    equal = difference_interval(10, 1000, 10, 1000, 0.05)
    assert equal.low < 0 < equal.high
    worse = difference_interval(100, 1000, 10, 1000, 0.05)
    assert 0 < worse.low < 0.09 < worse.high


def deviance(counts: tuple[int, int, int, int], difference: float) -> float:
    """Twice the loss of log-likelihood when p - p_base must be `difference`, by search along that line."""
    successes, n, base_successes, base_n = counts

    def loss(base: float) -> float:
        return -log_likelihood(successes, n, base + difference) - log_likelihood(base_successes, base_n, base)

    ends = max(0.0, -difference) + 1e-12, min(1.0, 1 - difference) - 1e-12
    found = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12})
    best = log_likelihood(successes, n, successes / n) + log_likelihood(base_successes, base_n, base_successes / base_n)
    return 2 * float(found.fun + best)


def log_likelihood(successes: int, n: int, p: float) -> float:
    return float(special.xlogy(successes, p) + special.xlogy(n - successes, 1 - p))


@pytest.mark.parametrize(
    "counts", [(50, 100, 40, 100), (3, 500, 20, 9500), (0, 800, 7, 2000), (990, 1000, 90, 100), (1200, 9000, 1, 900)]
)
def test_the_ends_of_a_difference_are_where_the_deviance_reaches_the_bound(counts: tuple[int, int, int, int]) -> None:
    interval = difference_interval(*counts, 0.05)
    n, base_n = counts[1], counts[3]
    limit = mixture_bound(n * base_n / (n + base_n), 0.05 * (1 - EXACT_SHARE), DIFFERENCE_TUNED_FOR) ** 2
    for end in (interval.low, interval.high):
        assert deviance(counts, end) == pytest.approx(limit, rel=1e-4)


def test_with_few_trials_the_exact_interval_decides() -> None:
    # Twelve failures of twelve while stable has none are clear; the approximation would wait for eighteen.
    interval = difference_interval(12, 12, 0, 12, 0.05)
    one, base = (proportion_interval(s, 12, 0.05 * EXACT_SHARE / 2) for s in (12, 0))
    assert interval == Interval(one.low - base.high, 1.0)
    assert interval.low > 0


def test_the_difference_to_nothing_can_be_anything_that_the_stream_itself_allows() -> None:
    alone = proportion_interval(0, 1000, 0.05 * EXACT_SHARE / 2)
    assert difference_interval(0, 1000, 0, 0, 0.05) == Interval(-1.0, alone.high)
    assert difference_interval(0, 0, 0, 0, 0.05) == Interval(-1.0, 1.0)


@given(counts=st.tuples(*[st.integers(0, 3000)] * 4), alpha=st.sampled_from([0.5, 0.05, 1e-9]))
def test_a_difference_is_in_its_interval_which_turns_around_with_its_streams(
    counts: tuple[int, int, int, int], alpha: float
) -> None:
    one, n, base, base_n = counts[0], counts[0] + counts[1], counts[2], counts[2] + counts[3]
    interval, turned = (
        difference_interval(one, n, base, base_n, alpha),
        difference_interval(base, base_n, one, n, alpha),
    )
    assert -1 <= interval.low <= interval.high <= 1
    assert (interval.low, interval.high) == pytest.approx((-turned.high, -turned.low), abs=1e-7)
    if n and base_n:
        assert interval.low <= one / n - base / base_n <= interval.high


def test_more_certainty_and_fewer_trials_widen_the_difference() -> None:
    def width(n: int, alpha: float) -> float:
        interval = difference_interval(n // 10, n, n // 20, n, alpha)
        return interval.high - interval.low

    assert width(1000, 0.001) > width(1000, 0.05) > width(1000, 0.2)
    assert width(100, 0.05) > width(1000, 0.05) > width(100_000, 0.05) > width(10_000_000, 0.05)


def test_two_points_of_accuracy_are_found_with_a_third_of_the_labels_that_two_intervals_need() -> None:
    def told_apart(n: int) -> bool:
        return difference_interval(92 * n // 100, n, 90 * n // 100, n, 0.05).low > 0

    def two_intervals_part(n: int) -> bool:
        low = proportion_interval(92 * n // 100, n, 0.025).low
        return low > proportion_interval(90 * n // 100, n, 0.025).high

    needed = next(n for n in range(100, 100_000, 100) if told_apart(n))
    assert needed < 4_500
    assert not two_intervals_part(3 * needed)


@pytest.mark.parametrize("counts", [(6, 5, 0, 5), (0, 5, 6, 5), (0, -1, 0, 5)])
def test_no_difference_is_made_of_counts_that_cannot_be(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        difference_interval(*counts, 0.05)
