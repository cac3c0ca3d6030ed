"""Confidence sequences: intervals that stay right however often one looks."""

import random
from math import isclose, lgamma, log

import pytest

from monitor.sequential import Interval, difference_interval, proportion_interval


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


def test_the_difference_to_nothing_can_be_anything() -> None:
    interval = difference_interval(0, 1000, 0, 0, 0.05)
    assert interval.low == -1.0
    assert 0 < interval.high < 0.02


def test_two_streams_of_one_quality_are_called_different_no_more_often_than_promised() -> None:
    wrong = 0
    for seed in range(60):
        draw, one, other = random.Random(seed), 0, 0
        for n in range(1, 401):
            one += draw.random() < 0.1
            other += draw.random() < 0.1
            interval = difference_interval(one, n, other, n, 0.1)
            if interval.low > 0 or interval.high < 0:
                wrong += 1
                break
    assert wrong / 60 <= 0.1
