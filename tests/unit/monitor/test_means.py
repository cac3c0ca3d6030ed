"""Confidence sequences for means."""

from math import inf, log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitor.means import START, mean_interval
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
