"""Is something odd in a series of a metric? Single points, patterns, and trends. Values are in order of time.

Gaps (NaN) are left out; positions are those of the series as given. Fewer values than a method needs are inconclusive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from monitor.sequential import Interval
from monitor.verdict import Verdict

Values = NDArray[np.float64]

OUTLIER: Final = "outlier"
"""The rule of single points far from all."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What was found from position `first` to position `last` of the series."""

    rule: str
    first: int
    last: int
    message: str


@dataclass(frozen=True, slots=True)
class AnomalyReport:
    """`low` and `high` are the limits within which values were expected, None where there are none."""

    verdict: Verdict
    anomalies: tuple[Anomaly, ...]
    samples: int
    low: float | None
    high: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Trend:
    """`slope` is per step of the series, with its interval; `tau` between -1 and 1 says how steadily it goes."""

    verdict: Verdict
    slope: float
    interval: Interval
    tau: float
    p_value: float
    samples: int
    message: str


def outliers(values: ArrayLike, fences: float = 3.0, min_samples: int = 12) -> AnomalyReport:
    """Points more than `fences` interquartile ranges outside the quartiles.

    J. Tukey, Exploratory Data Analysis (1977) 44: 1.5 marks points that are "outside", 3 those that are "far out",
    which one normal value in 400,000 is. When at least half of the values are equal the range is 0; then the mean
    absolute deviation from the median takes its place, as in B. Iglewicz, D. Hoaglin, How to Detect and Handle
    Outliers (1993) 11-13.
    """
    series = np.asarray(values, dtype=np.float64)
    positions = np.flatnonzero(np.isfinite(series))
    found = series[positions]
    if len(found) < min_samples:
        return _too_few(len(found), min_samples)
    first, median, third = np.quantile(found, [0.25, 0.5, 0.75])
    # The interquartile range of a normal distribution is 1.349 standard deviations; sqrt(pi / 2) turns a mean absolute
    # deviation into one of those.
    spread = (third - first) or 1.349 * sqrt(np.pi / 2) * float(np.abs(found - median).mean())
    low, high = float(first - fences * spread), float(third + fences * spread)
    odd = tuple(
        Anomaly(OUTLIER, int(at), int(at), f"{series[at]:.4g} at {at} is outside {low:.4g} to {high:.4g}")
        for at in positions[(found < low) | (found > high)]
    )
    return _report(odd, len(found), low, high)


Rule = Callable[[Values], NDArray[np.bool_]]
"""Takes distances from the centre in standard deviations; says for which windows of them the rule holds."""


def _same_side(beyond: float, needed: int) -> Rule:
    return lambda windows: np.maximum((windows > beyond).sum(axis=1), (windows < -beyond).sum(axis=1)) >= needed


def _monotone(windows: Values) -> NDArray[np.bool_]:
    steps = np.diff(windows, axis=1)
    return np.asarray((steps > 0).all(axis=1) | (steps < 0).all(axis=1))


def _alternating(windows: Values) -> NDArray[np.bool_]:
    steps = np.diff(windows, axis=1)
    return np.asarray((steps[:, 1:] * steps[:, :-1] < 0).all(axis=1))


_RULES: Final[Sequence[tuple[str, int, Rule]]] = (
    ("a point beyond 3 standard deviations", 1, _same_side(3, 1)),
    ("9 points in a row on one side of the centre", 9, _same_side(0, 9)),
    ("6 points in a row all rising or all falling", 6, _monotone),
    ("14 points in a row alternating up and down", 14, _alternating),
    ("2 of 3 points beyond 2 standard deviations on one side", 3, _same_side(2, 2)),
    ("4 of 5 points beyond 1 standard deviation on one side", 5, _same_side(1, 4)),
)


def patterns(values: ArrayLike, baseline: int, period: int = 1) -> AnomalyReport:
    """Run rules of a control chart on what follows the first `baseline` values, which are taken as normal.

    L. Nelson, The Shewhart control chart: tests for special causes, J. Qual. Technol. 16 (1984) 237-239, tests 1 to 6.
    The centre is the baseline's median; the standard deviation is its mean moving range divided by 1.128, which a slow
    drift within the baseline hardly inflates. With a `period`, every value is first compared with the
    baseline's median at the same phase (hour of the day, say), so that a daily rhythm is normal. Normal independent
    values break one of the six rules about once in 80 points. Raises `ValueError` unless period >= 1.
    """
    if period < 1:
        raise ValueError(f"a period is at least 1, not {period}")
    series = np.asarray(values, dtype=np.float64)
    needed = max(20, 3 * period)
    normal = series[:baseline]
    if np.isfinite(normal).sum() < needed or not np.isfinite(series[baseline:]).any():
        return _too_few(int(np.isfinite(normal).sum()), needed)
    phases = np.array([_median(normal[phase::period]) for phase in range(period)])
    residuals = series - phases[np.arange(len(series)) % period]
    usual = residuals[:baseline][np.isfinite(residuals[:baseline])]
    deviation = float(np.abs(np.diff(usual)).mean()) / 1.128
    if period > 1:
        # The n values of a phase are nearer to their own median than others will be: by their variance / n, and the
        # median's own variance is pi / 2 n of it.
        each = len(usual) / period
        deviation *= sqrt((each + np.pi / 2) / (each - 1))
    positions = np.flatnonzero(np.isfinite(residuals))
    positions = positions[positions >= baseline]
    # Any departure from a constant is infinitely many of its deviations; so many can be reckoned with.
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.nan_to_num(residuals[positions] / deviation, nan=0.0, posinf=1e9, neginf=-1e9)
    odd: list[Anomaly] = []
    for name, length, holds in _RULES:
        if len(distances) >= length:
            windows = np.lib.stride_tricks.sliding_window_view(distances, length)
            odd += _joined(name, np.flatnonzero(holds(windows)), length, positions)
    centre = float(np.median(phases)) if period == 1 else None
    low, high = (None, None) if centre is None else (centre - 3 * deviation, centre + 3 * deviation)
    return _report(tuple(sorted(odd, key=lambda one: (one.first, one.rule))), len(distances), low, high)


def trend(
    values: ArrayLike, worse: Literal["up", "down", "either"] = "either", alpha: float = 0.05, min_samples: int = 12
) -> Trend:
    """Whether the series goes steadily up or down, and how fast; fails on a trend in the direction that is `worse`.

    The test is H. Mann's, Nonparametric tests against trend, Econometrica 13 (1945) 245-259, with M. Kendall's tau;
    the slope and its interval are H. Theil's (1950) and P. Sen's, J. Amer. Statist. Assoc. 63 (1968) 1379-1389.
    Neighbouring values of a metric resemble each other, which would make chance look like a trend: the variance of the
    test is multiplied by (1 + r) / (1 - r), where r is the correlation of neighbours around the slope, if positive (S.
    Yue, C. Wang, Water Resour. Manag. 18 (2004) 201-218); the interval is widened by the root of that.
    """
    series = np.asarray(values, dtype=np.float64)
    at = np.flatnonzero(np.isfinite(series))
    found = series[at]
    if len(found) < min_samples:
        message = f"{len(found)} values; {min_samples} are needed"
        return Trend(Verdict.INCONCLUSIVE, nan, Interval(nan, nan), nan, nan, len(found), message)
    fit = stats.theilslopes(found, at, alpha=1 - alpha)
    slope = float(fit.slope)
    inflation = _inflation(found - slope * at)
    if np.ptp(found) == 0:
        tau, p_value = 0.0, 1.0
    else:
        test = stats.kendalltau(at, found, method="asymptotic")
        tau = float(test.statistic)
        p_value = float(2 * stats.norm.sf(stats.norm.isf(test.pvalue / 2) / sqrt(inflation)))
    wider = sqrt(inflation)
    interval = Interval(slope - wider * (slope - float(fit.low_slope)), slope + wider * (float(fit.high_slope) - slope))
    there = p_value <= alpha
    bad = there and (worse == "either" or (tau > 0) == (worse == "up"))
    direction = ("rises" if tau > 0 else "falls") if there else "has no clear trend"
    message = (
        f"the series {direction}: {slope:.3g} per step ({interval.low:.3g} to {interval.high:.3g}), p {p_value:.2g}, "
        f"{len(found)} values"
    )
    return Trend(Verdict.FAIL if bad else Verdict.PASS, slope, interval, tau, p_value, len(found), message)


def _inflation(residuals: Values) -> float:
    """How much the correlation of neighbours adds to the variance of a sum."""
    centred = residuals - residuals.mean()
    total = float(np.square(centred).sum())
    r = float((centred[1:] * centred[:-1]).sum()) / total if total > 0 else 0.0
    r = min(max(r, 0.0), 0.99)
    return (1 + r) / (1 - r)


def _median(values: Values) -> float:
    found = values[np.isfinite(values)]
    return float(np.median(found)) if found.size else nan


def _joined(name: str, starts: NDArray[np.intp], length: int, positions: NDArray[np.intp]) -> list[Anomaly]:
    """One anomaly for windows that overlap or touch."""
    odd: list[Anomaly] = []
    for run in np.split(starts, np.flatnonzero(np.diff(starts) > 1) + 1):
        if run.size:
            first, last = int(positions[run[0]]), int(positions[run[-1] + length - 1])
            odd.append(Anomaly(name, first, last, f"{name}: {first} to {last}"))
    return odd


def _report(odd: tuple[Anomaly, ...], samples: int, low: float | None, high: float | None) -> AnomalyReport:
    message = "; ".join(one.message for one in odd) or f"{samples} values without an anomaly"
    return AnomalyReport(Verdict.FAIL if odd else Verdict.PASS, odd, samples, low, high, message)


def _too_few(samples: int, needed: int) -> AnomalyReport:
    message = f"{samples} normal values; {needed} are needed"
    return AnomalyReport(Verdict.INCONCLUSIVE, (), samples, None, None, message)
