"""Stretches of a history that stand out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.reports.oddities import Series, oddities

HOUR = 3600.0
LAST = 1_000


def series(values: NDArray[np.float64], day: int = 0, counts: NDArray[np.float64] | None = None) -> Series:
    return Series("reward", values, counts, LAST, HOUR, day)


@pytest.mark.parametrize(("hours", "rhythm"), [(168, 0.0), (168, 3.0), (500, 3.0), (30, 0.0)])
def test_of_noise_and_of_a_daily_rhythm_next_to_nothing_stands_out(hours: int, rhythm: float) -> None:
    daily = rhythm * np.sin(2 * np.pi * np.arange(hours) / 24)
    found = [oddities(series(daily + np.random.default_rng(seed).normal(size=hours), 24)) for seed in range(40)]
    assert np.mean([len(one) for one in found]) < 1


def test_what_overlaps_is_one_stretch_with_all_reasons() -> None:
    values = np.random.default_rng(1).normal(size=200)
    values[150:170] += 4
    values[20] = -30
    one, two = oddities(series(values))
    start = LAST - 199
    assert (one.first, one.last, one.rules) == ((start + 20) * HOUR, (start + 20) * HOUR, ("outlier",))
    assert two.metric == "reward"
    # A run may begin with a value by chance, and end some values later: that of 9 in a row needs all of them.
    assert two.first / HOUR - start == pytest.approx(150, abs=3)
    assert two.last / HOUR - start == pytest.approx(170, abs=3)
    assert {"a point beyond 3 standard deviations", "9 points in a row on one side of the centre"} <= set(two.rules)
    assert two.high > 4 > one.usual


def test_gaps_are_left_out_and_a_few_values_are_too_few() -> None:
    values = np.full(300, np.nan)
    values[::2] = np.random.default_rng(2).normal(size=150)
    values[100] = 50
    (found,) = oddities(series(values, 24))
    assert (found.low, found.high, found.first) == (50, 50, (LAST - 199) * HOUR)
    assert oddities(series(np.array([1.0, 1.0, 50.0]))) == []


@pytest.mark.parametrize("rate", [0.00005, 0.0005, 0.01])
def test_rare_failures_stand_out_when_they_are_no_accident_only(rate: float) -> None:
    counts, told = np.full(168, 3_600.0), 0
    for seed in range(40):
        failed = np.random.default_rng(seed).binomial(3_600, rate, size=168)
        told += len(oddities(series(failed / counts, 24, counts)))
        failed[80] += 3_600 * rate + 10
        found = oddities(series(failed / counts, 24, counts))
        assert (LAST - 87) * HOUR in [one.first for one in found]
    assert told <= 4


def test_a_departure_from_what_never_changed_stands_out() -> None:
    counts = np.full(100, 1_000.0)
    failed = np.zeros(100)
    failed[90:] = 30
    (found,) = oddities(series(failed / counts, 0, counts))
    assert (found.high, found.usual, found.last) == (0.03, 0, LAST * HOUR)
    assert found.first == pytest.approx((LAST - 9) * HOUR, abs=2 * HOUR)
