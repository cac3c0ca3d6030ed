"""Confidence sequences for quantiles from histograms."""

from itertools import accumulate
from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitor.quantiles import quantile_difference_interval, quantile_interval
from monitor.sequential import Interval, proportion_interval

BOUNDS = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0]


def histogram(values: NDArray[np.float64]) -> list[int]:
    """How many values are in each bucket; a value at a bound belongs to the bucket below it."""
    return np.bincount(np.searchsorted(BOUNDS, values, side="left"), minlength=len(BOUNDS) + 1).tolist()


def test_many_requests_leave_the_bucket_that_the_quantile_is_in() -> None:
    counts = [0, 0, 9_000, 600, 400, 0, 0]
    assert quantile_interval(counts, BOUNDS, 0.5, 0.05) == Interval(5.0, 10.0)
    assert quantile_interval(counts, BOUNDS, 0.99, 0.05) == Interval(25.0, 50.0)


def test_an_end_is_a_bound_whose_share_is_surely_on_the_other_side() -> None:
    counts = [10, 20, 400, 500, 50, 15, 5]
    interval = quantile_interval(counts, BOUNDS, 0.9, 0.05)
    shares = [proportion_interval(up_to, 1000, 0.05) for up_to in accumulate(counts[:-1])]
    assert interval.low == max(bound for bound, share in zip(BOUNDS, shares, strict=True) if share.high < 0.9)
    assert interval.high == min(bound for bound, share in zip(BOUNDS, shares, strict=True) if share.low >= 0.9)


def test_requests_beyond_the_last_bound_may_have_taken_forever() -> None:
    assert quantile_interval([0] * 6 + [1000], BOUNDS, 0.5, 0.05) == Interval(100.0, inf)


def test_without_requests_anything_is_possible() -> None:
    assert quantile_interval([0] * 7, BOUNDS, 0.95, 0.05) == Interval(0.0, inf)
    assert quantile_difference_interval([0] * 7, [1000] + [0] * 6, BOUNDS, 0.5, 0.05) == Interval(-1.0, inf)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_looking_all_the_time_is_wrong_no_more_often_than_promised(q: float) -> None:
    """The quantile is exactly a bound, where both ends can be wrong: an end beyond it, or one before it."""
    streams, wrong, alpha = 150, 0, 0.2
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        values = 25 * np.exp(0.5 * (draw.standard_normal(300) - stats.norm.ppf(q)))
        for n in range(1, 301, 5):
            interval = quantile_interval(histogram(values[:n]), BOUNDS, q, alpha)
            if not interval.low < 25 <= interval.high:
                wrong += 1
                break
    assert wrong <= stats.binom.isf(0.001, streams, alpha)


@pytest.mark.parametrize("n", [1, 7, 100, 1000])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_both_ends_of_a_proportion_rise_with_the_count(n: int, alpha: float) -> None:
    # What lets a quantile's interval do without an allowance for the number of bounds.
    intervals = [proportion_interval(successes, n, alpha) for successes in range(n + 1)]
    assert [one.low for one in intervals] == sorted(one.low for one in intervals)
    assert [one.high for one in intervals] == sorted(one.high for one in intervals)


def test_a_difference_is_between_the_extremes_of_both() -> None:
    slow, fast = [0, 0, 0, 0, 9_000, 900, 100], [0, 9_000, 1_000, 0, 0, 0, 0]
    assert quantile_difference_interval(slow, fast, BOUNDS, 0.5, 0.05) == Interval(20.0, 49.0)
    assert quantile_difference_interval(fast, slow, BOUNDS, 0.5, 0.05) == Interval(-49.0, -20.0)


@pytest.mark.parametrize("bounds", [BOUNDS[:-1], [5.0, 1.0, 10.0, 25.0, 50.0, 100.0], [0.0, *BOUNDS[1:]]])
def test_what_is_no_histogram_is_refused(bounds: list[float]) -> None:
    with pytest.raises(ValueError, match="no histogram"):
        quantile_interval([1] * 7, bounds, 0.5, 0.05)


@pytest.mark.parametrize("q", [0.0, 1.0, 95.0])
def test_no_quantile_is_outside_of_0_to_1(q: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile_interval([1] * 7, BOUNDS, q, 0.05)
