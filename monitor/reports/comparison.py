"""How two versions compare: their answers to the same requests, what labels and rewards say, latency and errors."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from sqlalchemy import false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.answers.comparison import ComparisonReport, Latency, Shadow, VersionReport
from monitor.answers.figures import Difference
from monitor.reports.differences import Values, mean, means, proportions
from monitor.reports.labels import Judged, errors, judged_columns, labels, regressive, scored
from monitor.reports.rows import MOST_ROWS, Of, Read, raw, read
from monitor.reports.shadow import Answered, shadow
from monitor.reports.versions import newest
from monitor.store import sums
from monitor.store.schema import MICROSECONDS, feedback, pairs, records
from monitor.store.service import Store

ALPHA: Final = 0.05


class Asked(NamedTuple):
    """A record, without what was asked and answered."""

    version: str
    status: int
    ms: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class _Side:
    """One version's rows."""

    version: str
    asked: Sequence[Asked]
    judged: Sequence[Judged]
    answers: int
    """Live requests that could have a label."""

    @property
    def failed(self) -> int:
        return sum(row.status >= 500 for row in self.asked)

    @property
    def milliseconds(self) -> Values:
        return np.array([row.ms for row in self.asked if row.status < 500], dtype=np.float64)

    @property
    def rewards(self) -> Values:
        return np.array([row.reward for row in self.judged if row.reward is not None], dtype=np.float64)


async def compare(store: Store, of: Of, stable: str | None, candidate: str | None) -> ComparisonReport:
    """Compare two versions, by default the two that were first seen last."""
    async with store.reading() as connection:
        versions = await _named(connection, of, stable, candidate)
        found = await _read(connection, of, versions)
        since = max(of.since, found["labels"].rows[-1].at / MICROSECONDS) if found["labels"].cut else of.since
        counted = await sums.total(connection, of.namespace, of.model, since, of.until)
    answers = {version: tally.requests - tally.errors for version, tally in counted.items()}
    report = await asyncio.to_thread(_report, of, versions, found, answers)
    if report.shadow is None or not report.shadow.examples:
        return report
    async with store.reading() as connection:
        return replace(report, shadow=await _with_inputs(connection, of, versions[0], report.shadow))


async def _named(connection: AsyncConnection, of: Of, stable: str | None, candidate: str | None) -> tuple[str, str]:
    """Both names; empty where there is no such version."""
    if stable and candidate:
        return stable, candidate
    seen = [version for version in await newest(connection, of) if version not in (stable, candidate)]
    candidate = candidate or next(iter(seen), "")
    return stable or next((version for version in seen if version != candidate), ""), candidate


async def _read(connection: AsyncConnection, of: Of, versions: tuple[str, str]) -> dict[str, Read]:
    """The newest rows of each kind."""
    asked = select(*(records.c[name] for name in Asked._fields))
    judged = select(*judged_columns())
    answered = select(*(raw(pairs.c[name]) if name in ("one", "other") else pairs.c[name] for name in Answered._fields))
    both = (pairs.c.stable == versions[0], pairs.c.candidate == versions[1])
    queries = {
        "records": asked.where(of.within(records), records.c.version.in_(versions)).order_by(records.c.at.desc()),
        "labels": judged.where(of.within(feedback), feedback.c.version.in_(versions)).order_by(feedback.c.at.desc()),
        "pairs": answered.where(of.within(pairs), *both).order_by(pairs.c.at.desc()),
    }
    return {name: await read(connection, query, MOST_ROWS) for name, query in queries.items()}


def _report(
    of: Of, versions: tuple[str, str], found: Mapping[str, Read], answers: Mapping[str, int]
) -> ComparisonReport:
    asked = [Asked._make(row) for row in found["records"].rows]
    judged = [Judged._make(row) for row in found["labels"].rows]
    sides = [
        _Side(
            version,
            [row for row in asked if row.version == version],
            [row for row in judged if row.version == version],
            answers.get(version, 0),
        )
        for version in versions
        if version
    ]
    return ComparisonReport(
        namespace=of.namespace,
        model=of.model,
        since=of.since,
        until=of.until,
        stable=versions[0],
        candidate=versions[1],
        confidence=1 - ALPHA,
        shadow=shadow([Answered._make(row) for row in found["pairs"].rows], ALPHA),
        versions=tuple(map(_version, sides)),
        differences=_differences(*sides) if len(sides) == 2 else (),
        cut=tuple(
            f"{name}: only the newest {len(one.rows)} were read, {MOST_ROWS} at most; ask for a shorter time"
            for name, one in found.items()
            if one.cut
        ),
    )


def _version(side: _Side) -> VersionReport:
    return VersionReport(
        version=side.version,
        records=len(side.asked),
        mirrored=sum(row.mirrored for row in side.asked),
        errors=side.failed,
        latency=_latency(side.milliseconds),
        labels=labels(side.judged, side.answers, ALPHA),
        reward=mean(side.rewards, ALPHA),
    )


def _latency(milliseconds: Values) -> Latency | None:
    if not milliseconds.size:
        return None
    p50, p95, p99 = np.quantile(milliseconds, [0.5, 0.95, 0.99]).tolist()
    return Latency(float(milliseconds.mean()), p50, p95, p99)


def _differences(stable: _Side, candidate: _Side) -> tuple[Difference, ...]:
    """What both have values of."""
    sides = stable, candidate
    failed = [(side.failed, len(side.asked)) for side in sides]
    found = [
        proportions("error-rate", failed, ALPHA, higher_is_better=False),
        means("latency-ms", [side.milliseconds for side in sides], ALPHA, higher_is_better=False),
    ]
    judged = [scored(side.judged) for side in sides]
    if regressive([*judged[0], *judged[1]]):
        apart = [np.abs(errors(rows)) for rows in judged]
        finite = [values[np.isfinite(values)] for values in apart]
        found.append(means("absolute-error", finite, ALPHA, higher_is_better=False))
    else:
        right = [(sum(row.correct for row in rows), len(rows)) for rows in judged]
        found.append(proportions("accuracy", right, ALPHA, higher_is_better=True))
    rewards = [side.rewards for side in sides]
    if all(np.isin(values, (0, 1)).all() for values in rewards):
        counted = [(int(values.sum()), len(values)) for values in rewards]
        found.append(proportions("reward", counted, ALPHA, higher_is_better=True))
    else:
        found.append(means("reward", rewards, ALPHA, higher_is_better=True))
    return tuple(one for one in found if one is not None)


async def _with_inputs(connection: AsyncConnection, of: Of, stable: str, given: Shadow) -> Shadow:
    """Say with each example what was asked, if it was recorded."""
    names = [one.request_id for one in given.examples]
    query = select(records.c.request_id, raw(records.c.inputs)).where(
        of.model_of(records),
        records.c.request_id.in_(names),
        records.c.version == stable,
        records.c.mirrored == false(),
        records.c.inputs.is_not(None),
    )
    inputs: dict[str, Any] = {}
    for request_id, text in await connection.execute(query.order_by(records.c.id)):
        inputs.setdefault(request_id, text)
    return replace(
        given,
        examples=tuple(
            replace(one, inputs=_at(orjson.loads(inputs[one.request_id]), one.row)) if one.request_id in inputs else one
            for one in given.examples
        ),
    )


def _at(columns: Mapping[str, Sequence[Any]], row: int) -> dict[str, Any]:
    return {name: values[row] for name, values in columns.items() if row < len(values)}
