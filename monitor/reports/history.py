"""How versions did over time: their tallies and latencies by bucket, and whether they get worse."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import cast, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.anomaly import trend
from monitor.answers.figures import finite
from monitor.answers.history import Bucket, MetricTrend, Oddity, PerformanceReport, VersionHistory
from monitor.reports.labels import Judged, errors, judged_columns, macro_f1, regressive, scored
from monitor.reports.oddities import Series, oddities
from monitor.reports.rows import MOST_ROWS, Of, read
from monitor.reports.tables import name_of
from monitor.store.schema import MICROSECONDS, MINUTE, feedback, records, tallies
from monitor.store.service import Store
from monitor.verdict import worst

ALPHA: Final = 0.05
MOST_BUCKETS: Final = 1_000
"""Buckets of all versions together, and of the series in which a trend is looked for: the newest."""
_ENOUGH: Final = 30
"""Requests, labels or rewards that a bucket needs to stand out: of fewer nearly anything is an accident."""
_DAY: Final = 86_400 * MICROSECONDS


class _Metric(NamedTuple):
    """Which direction is worse, what it is in a bucket, and how many values that rests on."""

    worse: Literal["up", "down"]
    value: Callable[[Bucket], float | None]
    basis: Callable[[Bucket], int]


_METRICS: Final[Mapping[str, _Metric]] = {
    # How many numbers are hit exactly says nothing about a regression.
    "accuracy": _Metric("down", lambda one: one.accuracy if one.mae is None else None, lambda one: one.labels),
    "macro-f1": _Metric("down", lambda one: one.macro_f1, lambda one: one.labels),
    "mean-absolute-error": _Metric("up", lambda one: one.mae, lambda one: one.labels),
    "reward": _Metric("down", lambda one: one.reward_mean, lambda one: one.rewards),
    "error-rate": _Metric("up", lambda one: _share(one.errors, one.requests), lambda one: one.requests),
    "latency-p95-ms": _Metric("up", lambda one: one.p95_ms, lambda one: one.requests),
}
_SHARES: Final = {"accuracy", "error-rate"}
"""Metrics that count successes or failures."""
_SUMS: Final = ("requests", "errors", "labels", "correct", "rewards", "reward_sum")


@dataclass(slots=True)
class _Rows:
    """What was read of one version and bucket."""

    sums: Mapping[str, float]
    milliseconds: list[float] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)


_Buckets = dict[tuple[str, int], _Rows]


async def performance(store: Store, of: Of, bucket: float) -> PerformanceReport:
    """Count since `of.since` in buckets of so many seconds, whole minutes. Buckets begin at multiples of that."""
    width = round(bucket * MICROSECONDS)
    found: _Buckets = {}
    async with store.reading() as connection:
        cut = [
            f"{name}: only the newest {most} were read; ask for a shorter time or wider buckets"
            for name, most, more in (
                ("buckets", MOST_BUCKETS, await _tallies(connection, of, width, found)),
                ("latencies", MOST_ROWS, await _latencies(connection, of, width, found)),
                ("labels", MOST_ROWS, await _labels(connection, of, width, found)),
            )
            if more
        ]
    versions = await asyncio.to_thread(_histories, found, width)
    return PerformanceReport(of.namespace, of.model, of.since, bucket, versions, tuple(cut))


async def _tallies(connection: AsyncConnection, of: Of, width: int, found: _Buckets) -> bool:
    """Read the newest buckets; whether there are more."""
    start = (tallies.c.minute * MINUTE // width).label("start")
    sums = [cast(func.sum(tallies.c[name]), tallies.c[name].type) for name in _SUMS]
    query = (
        select(tallies.c.version, start, *sums)
        .where(of.model_of(tallies), tallies.c.minute >= round(of.since * MICROSECONDS) // MINUTE)
        .group_by(tallies.c.version, start)
        .order_by(start.desc(), tallies.c.version)
        .limit(MOST_BUCKETS + 1)
    )
    rows = (await connection.execute(query)).all()
    for version, place, *values in rows[:MOST_BUCKETS]:
        found[version, place] = _Rows(dict(zip(_SUMS, values, strict=True)))
    return len(rows) > MOST_BUCKETS


async def _latencies(connection: AsyncConnection, of: Of, width: int, found: _Buckets) -> bool:
    query = select(records.c.version, records.c.at, records.c.ms).where(
        of.within(records), records.c.mirrored == false(), records.c.status < 500
    )
    latest = await read(connection, query.order_by(records.c.at.desc()))
    for version, at, ms in latest.rows:
        if (rows := found.get((version, at // width))) is not None:
            rows.milliseconds.append(ms)
    return latest.cut


async def _labels(connection: AsyncConnection, of: Of, width: int, found: _Buckets) -> bool:
    query = select(*judged_columns()).where(of.within(feedback), feedback.c.label.is_not(None))
    latest = await read(connection, query.order_by(feedback.c.at.desc()))
    for row in map(Judged._make, latest.rows):
        if (rows := found.get((row.version, row.at // width))) is not None:
            rows.judged.append(row)
    return latest.cut


def _histories(found: _Buckets, width: int) -> tuple[VersionHistory, ...]:
    by_version: defaultdict[str, dict[int, _Rows]] = defaultdict(dict)
    for (version, place), rows in sorted(found.items()):
        by_version[version][place] = rows
    return tuple(_history(version, of_version, width) for version, of_version in by_version.items())


def _history(version: str, found: Mapping[int, _Rows], width: int) -> VersionHistory:
    numbers = regressive([one for rows in found.values() for one in scored(rows.judged)])
    buckets = {place: _bucket(place * width / MICROSECONDS, rows, numbers) for place, rows in found.items()}
    series = {
        metric: {place: value for place, one in buckets.items() if (value := of.value(one)) is not None}
        for metric, of in _METRICS.items()
    }
    measured = {metric: points for metric, points in series.items() if points}
    # One of several trends is found by chance more often than a single one.
    last = max(buckets)
    trends = tuple(_trend(metric, _values(points, last), ALPHA / len(measured)) for metric, points in measured.items())
    odd: list[Oddity] = []
    for metric, points in measured.items():
        counts = {place: float(_METRICS[metric].basis(buckets[place])) for place in points}
        counts = {place: count for place, count in counts.items() if count >= _ENOUGH}
        if counts:
            values = _values({place: points[place] for place in counts}, last)
            of = _values(counts, last) if metric in _SHARES else None
            odd += oddities(Series(metric, values, of, last, width / MICROSECONDS, _DAY // width))
    return VersionHistory(version, worst(one.verdict for one in trends), trends, tuple(odd), tuple(buckets.values()))


def _bucket(start: float, rows: _Rows, numbers: bool) -> Bucket:
    sums, judged = rows.sums, scored(rows.judged)
    apart = np.abs(errors(judged)) if numbers and judged else np.empty(0)
    apart = apart[np.isfinite(apart)]
    pairs = Counter((name_of(one.label), name_of(one.answer)) for one in judged)
    return Bucket(
        start=start,
        requests=int(sums["requests"]),
        errors=int(sums["errors"]),
        mean_ms=float(np.mean(rows.milliseconds)) if rows.milliseconds else None,
        p95_ms=float(np.quantile(rows.milliseconds, 0.95)) if rows.milliseconds else None,
        labels=int(sums["labels"]),
        accuracy=_share(sums["correct"], sums["labels"]),
        macro_f1=None if numbers else macro_f1(pairs),
        mae=float(apart.mean()) if apart.size else None,
        rewards=int(sums["rewards"]),
        reward_mean=_share(sums["reward_sum"], sums["rewards"]),
    )


def _values(points: Mapping[int, float], last: int) -> NDArray[np.float64]:
    """One value for each bucket up to the last one; NaN where there is none."""
    series = np.full(min(last - min(points) + 1, MOST_BUCKETS), np.nan)
    for place, value in points.items():
        if last - place < len(series):
            series[place - last - 1] = value
    return series


def _trend(metric: str, series: NDArray[np.float64], alpha: float) -> MetricTrend:
    found = trend(series, _METRICS[metric].worse, alpha)
    return MetricTrend(
        metric=metric,
        verdict=found.verdict,
        slope=finite(found.slope),
        low=finite(found.interval.low),
        high=finite(found.interval.high),
        p_value=finite(found.p_value),
        buckets=found.samples,
        message=found.message,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
