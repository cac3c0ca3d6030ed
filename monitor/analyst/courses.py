"""How a model did over some hours: what gets worse steadily, and minutes that stand out.

Every period is judged once, when it is over, so that chance has few occasions: a steady course must be so clear that
chance would make it once in 10,000 periods and metrics.
"""

from collections.abc import Callable, Iterator, Mapping
from math import nan
from typing import Final

from monitor.analyst.figures import Version
from monitor.analyst.findings import degrading, odd
from monitor.anomaly import outliers
from monitor.answers.history import Bucket, PerformanceReport
from monitor.event import Event
from monitor.verdict import Verdict

TREND_SECONDS: Final = 6 * 3_600.0
TREND_BUCKET: Final = 600.0
ODD_SECONDS: Final = 3_600.0
ODD_BUCKET: Final = 60.0
CLEAR: Final = 1e-4
"""The p-value of a trend that is told."""
_SERIES: Final[Mapping[str, Callable[[Bucket], float | None]]] = {
    "requests a minute": lambda one: float(one.requests),
    "error-rate": lambda one: one.errors / one.requests if one.requests else None,
    "latency-p95-ms": lambda one: one.p95_ms,
}


def period_before(now: float, seconds: float) -> tuple[float, float]:
    """The last whole period that is over; periods begin at multiples of their length."""
    end = now // seconds * seconds
    return end - seconds, end


def worsening(report: PerformanceReport, period: tuple[float, float], at: float) -> Iterator[Event]:
    """What got worse steadily in the period that the report begins with."""
    for history in report.versions:
        version = Version(report.namespace, report.model, history.version)
        for trend in history.trends:
            if trend.verdict is Verdict.FAIL and trend.p_value is not None and trend.p_value <= CLEAR:
                yield degrading(version, trend, period, at)


def standing_out(report: PerformanceReport, period: tuple[float, float], at: float) -> Iterator[Event]:
    """Minutes of the period that are far outside of what the others are."""
    for history in report.versions:
        version = Version(report.namespace, report.model, history.version)
        for metric, value in _SERIES.items():
            minutes = [nan] * round(ODD_SECONDS / ODD_BUCKET)
            for bucket in history.buckets:
                if period[0] <= bucket.start < period[1] and (found := value(bucket)) is not None:
                    minutes[int((bucket.start - period[0]) // ODD_BUCKET)] = found
            unusual = outliers(minutes)
            if unusual.verdict is Verdict.FAIL:
                yield odd(version, metric, unusual.anomalies, period, at)
