"""Odd points, patterns and trends in series of metrics."""

import numpy as np
import pytest
from scipy import stats

from monitor.anomaly import outliers, patterns, trend
from monitor.verdict import Verdict

DRAW = np.random.default_rng(1)
NOISE = DRAW.normal(size=60)


def rules(values: object, baseline: int = 40, period: int = 1) -> set[str]:
    return {anomaly.rule for anomaly in patterns(values, baseline, period).anomalies}  # type: ignore[arg-type]


def test_far_points_are_outliers_and_named_by_their_position() -> None:
    report = outliers([10, 11, 12, 11, 10, 12, 11, float("nan"), 50, 11, 10, 12, 11, -30])
    assert report.verdict is Verdict.FAIL
    assert [anomaly.first for anomaly in report.anomalies] == [8, 13]
    assert report.message.startswith("50 at 8 is outside ")


def test_the_fences_are_tukeys() -> None:
    values = DRAW.normal(size=200)
    first, third = np.percentile(values, [25, 75])
    report = outliers(values, fences=1.5)
    assert (report.low, report.high) == (
        pytest.approx(first - 1.5 * stats.iqr(values)),
        pytest.approx(third + 1.5 * stats.iqr(values)),
    )
    outside = (values < report.low) | (values > report.high)
    assert [anomaly.first for anomaly in report.anomalies] == np.flatnonzero(outside).tolist()


def test_normal_noise_has_no_far_outliers() -> None:
    assert outliers(np.random.default_rng(2).normal(size=1000)).verdict is Verdict.PASS


def test_a_spike_in_a_flat_series_is_an_outlier_and_a_series_of_a_few_errors_has_none() -> None:
    assert [one.first for one in outliers([0.0] * 29 + [1.0]).anomalies] == [29]
    assert outliers([0.0, 0.0, 0.0, 1.0] * 10).verdict is Verdict.PASS
    assert outliers([7.0] * 30).verdict is Verdict.PASS


@pytest.mark.parametrize("count", [0, 11])
def test_few_points_are_inconclusive(count: int) -> None:
    report = outliers([1.0] * count + [float("nan")] * 20)
    assert (report.verdict, report.samples) == (Verdict.INCONCLUSIVE, count)
    assert trend([1.0] * count).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("tail", "rule"),
    [
        ([8.0], "a point beyond 3 standard deviations"),
        ([0.2, 0.9, 0.2, 0.5, 0.3, 0.8, 0.1, 0.7, 0.4], "9 points in a row on one side of the centre"),
        ([-0.9, -0.6, -0.3, 0.1, 0.4, 0.7], "6 points in a row all rising or all falling"),
        ([0.5, -0.5] * 7, "14 points in a row alternating up and down"),
        ([2.4, 0.1, 2.4], "2 of 3 points beyond 2 standard deviations on one side"),
        ([-1.5, -1.5, 0.1, -1.5, -1.5], "4 of 5 points beyond 1 standard deviation on one side"),
    ],
)
def test_every_run_rule_is_found(tail: list[float], rule: str) -> None:
    """On a baseline with median 0 and a mean moving range of 1.128, so that the standard deviation is 1."""
    baseline = [0.564, -0.564] * 20
    report = patterns(baseline + tail, 40)
    assert {anomaly.rule for anomaly in report.anomalies} == {rule}
    (anomaly,) = report.anomalies
    assert 40 <= anomaly.first <= anomaly.last == 40 + len(tail) - 1
    assert (report.low, report.high) == (pytest.approx(-3.0), pytest.approx(3.0))


def test_what_lies_in_the_baseline_is_taken_as_normal() -> None:
    series = np.concatenate([NOISE[:40], [0.3, -0.2, 0.4]])
    series[5] = 30.0
    assert rules(series) == set()


def test_windows_that_overlap_are_one_anomaly() -> None:
    report = patterns(np.concatenate([[0.564, -0.564] * 20, [0.2, 0.5] * 8]), 40)
    sides = [anomaly for anomaly in report.anomalies if anomaly.rule.startswith("9 points")]
    assert [(one.first, one.last) for one in sides] == [(40, 55)]


def test_a_rhythm_is_normal_when_its_period_is_known() -> None:
    hours = np.arange(24 * 6)
    daily = 100 + 50 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(3).normal(size=len(hours))
    assert rules(daily, 96)
    spiked = daily.copy()
    spiked[110] += 20
    report = patterns(spiked, 96, period=24)
    assert ("a point beyond 3 standard deviations", 110) in {(one.rule, one.first) for one in report.anomalies}
    assert all(one.first <= 110 <= one.last + 2 for one in report.anomalies if "3 standard" in one.rule)


def test_any_departure_from_a_constant_is_odd_and_the_constant_is_not() -> None:
    assert rules([5.0] * 60) == set()
    assert "a point beyond 3 standard deviations" in rules([5.0] * 50 + [5.1])


def test_gaps_are_left_out_and_positions_kept() -> None:
    series = [0.564, -0.564] * 20 + [float("nan"), float("nan"), 9.0]
    (anomaly,) = patterns(series, 40).anomalies
    assert anomaly.first == 42


def test_a_short_baseline_or_nothing_after_it_is_inconclusive() -> None:
    assert patterns(NOISE, 19).verdict is Verdict.INCONCLUSIVE
    assert patterns(NOISE, 60).verdict is Verdict.INCONCLUSIVE
    assert patterns(NOISE, 50, period=24).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(ValueError, match="period"):
        patterns(NOISE, 40, period=0)


def test_a_trend_is_found_and_measured() -> None:
    series = 0.1 * np.arange(60) + NOISE
    result = trend(series, worse="up")
    assert result.verdict is Verdict.FAIL
    assert result.interval.low < 0.1 < result.interval.high
    assert result.message.startswith("the series rises: 0.")
    assert trend(series, worse="down").verdict is Verdict.PASS
    assert trend(-series, worse="down").verdict is Verdict.FAIL
    assert trend(-series, worse="either").verdict is Verdict.FAIL


def test_tau_slope_and_p_are_those_of_scipy_where_neighbours_do_not_resemble_each_other() -> None:
    # Alternating noise has a negative correlation of neighbours, so nothing is corrected.
    series = 0.05 * np.arange(30) + np.tile([1.0, -1.0], 15) + 0.01 * NOISE[:30]
    result, test = trend(series), stats.kendalltau(np.arange(30), series, method="asymptotic")
    fit = stats.theilslopes(series, np.arange(30), alpha=0.95)
    assert (result.tau, result.p_value) == (pytest.approx(test.statistic), pytest.approx(test.pvalue))
    assert (result.slope, result.interval.low) == (pytest.approx(fit.slope), pytest.approx(fit.low_slope))


def test_noise_whose_neighbours_resemble_each_other_is_called_a_trend_no_more_often_than_promised() -> None:
    draw = np.random.default_rng(4)
    wrong = naive = 0
    for _ in range(200):
        series = np.zeros(60)
        for at, shock in enumerate(draw.normal(size=59), 1):
            series[at] = 0.5 * series[at - 1] + shock
        wrong += trend(series).verdict is Verdict.FAIL
        naive += stats.kendalltau(np.arange(60), series).pvalue <= 0.05
    # A short series shows less of its correlation than there is: up to 8 % are accepted of the corrected test.
    assert wrong <= stats.binom.isf(0.001, 200, 0.08)
    assert naive > stats.binom.isf(0.001, 200, 0.08)


def test_a_constant_has_no_trend() -> None:
    result = trend([3.0] * 20)
    assert (result.verdict, result.tau, result.slope) == (Verdict.PASS, 0.0, 0.0)
    assert "has no clear trend" in result.message


def test_gaps_do_not_shift_the_slope() -> None:
    series = 2.0 * np.arange(30)
    series[[3, 4, 5, 20]] = np.nan
    assert trend(series).slope == pytest.approx(2.0)
