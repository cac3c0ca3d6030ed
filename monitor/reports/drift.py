"""Whether a version's newest records are still what its reference is, and its errors what they were."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import select

from monitor.answers.moves import ColumnDrift, Concept, ErrorChange, Fault, Moved, Quality, VersionDrift
from monitor.concept import Adwin, Detector, PageHinkleyTest, watch
from monitor.conformal import WatchResult, watches
from monitor.drift import FeatureDrift, compare
from monitor.profiles import Profile
from monitor.quality import check, schema_of
from monitor.reports.following import Family, Recorded, profile, rows_of
from monitor.reports.labels import Judged, detectable, judged_columns, scored
from monitor.reports.references import FIRST, Reference, References
from monitor.reports.rows import Of, read, recorded_columns
from monitor.reports.tables import Row, columns
from monitor.reports.versions import newest
from monitor.store.schema import MICROSECONDS, feedback, records
from monitor.store.service import Store
from monitor.verdict import Verdict

ALPHA: Final = 0.05
MOST_LABELS: Final = 10_000
"""Labels in which a change of the error is looked for: the newest."""
_WATCHED: Final = 100_000
"""Values that watches are shown, two seconds of work; of a table with very many columns the newest rows."""


async def drift(
    store: Store, references: References, of: Of, *, version: str | None, reference: str | None, window: int
) -> VersionDrift:
    """Compare the newest `window` records with the reference of `reference`, by default the version's own.

    By default it is the version that was first seen last. What its reference is made of is no part of the window.
    """
    async with store.reading() as connection:
        version = version or next(iter(await newest(connection, of)), "")
    basis = reference or version
    found = {family: await references.of_version(of.namespace, of.model, basis, family) for family in Family}
    after = max(one.made_at if one.source == "records" and basis == version else -1 for one in found.values())
    recorded = select(*recorded_columns())
    mine = of.model_of(records), records.c.version == version
    judged = select(*judged_columns()).where(of.model_of(feedback), feedback.c.version == version)
    judged = judged.where(feedback.c.label.is_not(None)).order_by(feedback.c.at.desc())
    async with store.reading() as connection:
        rows = (await read(connection, recorded.where(*mine).order_by(records.c.id.desc()), window)).rows
        labels = (await read(connection, judged, MOST_LABELS)).rows
    entries = [Recorded._make(row) for row in reversed(rows) if row.at > after]
    said = [Judged._make(row) for row in reversed(labels)]
    return VersionDrift(
        namespace=of.namespace,
        model=of.model,
        version=version,
        reference_version=basis,
        window=len(entries),
        first_at=entries[0].at / MICROSECONDS if entries else None,
        last_at=entries[-1].at / MICROSECONDS if entries else None,
        features=await asyncio.to_thread(_moved, entries, Family.FEATURES, found[Family.FEATURES]),
        predictions=await asyncio.to_thread(_moved, entries, Family.PREDICTIONS, found[Family.PREDICTIONS]),
        quality=await asyncio.to_thread(_quality, entries, found[Family.FEATURES].profile),
        concept=await asyncio.to_thread(_concept, said),
    )


def _moved(entries: Sequence[Recorded], family: Family, reference: Reference) -> Moved:
    if reference.profile is None:
        message = f"there is no reference: {reference.samples} of the {FIRST} records that make one"
        return Moved("", reference.samples, Verdict.INCONCLUSIVE, message, ())
    rows = rows_of([one.entry(family) for one in entries], family)
    report = compare(reference.profile, profile(rows, reference.profile))
    watched = _watched([row for _, row in rows], reference.profile)
    found = tuple(_column(one, watched.get(one.feature)) for one in report.features)
    return Moved(reference.source, reference.samples, report.verdict, report.message, found)


def _column(one: FeatureDrift, watched: WatchResult | None) -> ColumnDrift:
    return ColumnDrift(
        name=one.feature,
        verdict=one.verdict,
        message=one.message,
        reference_samples=one.reference_samples,
        samples=one.samples,
        test=one.test,
        statistic=one.statistic,
        p_value=one.p_value,
        adjusted_p_value=one.adjusted_p_value,
        effect=one.effect,
        psi=one.psi,
        jensen_shannon=one.jensen_shannon,
        e_value=watched.e_value if watched else None,
        alarm_at=watched.alarm_at if watched else None,
    )


def _watched(rows: Sequence[Row], reference: Profile) -> dict[str, WatchResult]:
    """What every column's watch says, with its part of alpha; a column that cannot be watched is left out."""
    width = max(1, len(reference.columns))
    table = columns(rows[-max(1, _WATCHED // width) :])
    return {name: one.update(table.get(name, [])) for name, one in watches(reference, ALPHA / width).items()}


def _quality(entries: Sequence[Recorded], reference: Profile | None) -> Quality | None:
    """All rows of the window, not one of each request: what is wrong with a value is a fact and no estimate."""
    if reference is None:
        return None
    requests: list[str] = []
    rows: list[dict[str, Any]] = []
    for entry in entries:
        inputs = orjson.loads(entry.inputs) if entry.inputs is not None else {}
        simple = {
            name: values for name, values in inputs.items() if not any(isinstance(it, list | dict) for it in values)
        }
        count = max(map(len, simple.values()), default=0)
        rows += ({name: values[at] for name, values in simple.items() if at < len(values)} for at in range(count))
        requests += [entry.request_id] * count
    found = check(columns(rows), schema_of(reference))
    return Quality(
        verdict=found.verdict,
        rows=found.rows,
        faults=tuple(
            Fault(
                field=one.field,
                rule=one.rule.value,
                count=one.count,
                share=one.share,
                requests=tuple(dict.fromkeys(requests[row] for row in one.rows)),
                tolerated=one.tolerated,
                message=one.message,
            )
            for one in found.findings
        ),
        message=found.message,
    )


def _concept(rows: Sequence[Judged]) -> tuple[Concept, ...]:
    """What both detectors say of the errors: 0 or 1 for classes, distances for numbers."""
    judged, series, scale = detectable(scored(rows))
    detectors: tuple[tuple[str, Detector], ...] = (
        ("ADWIN", Adwin(scale=scale)),
        ("Page-Hinkley", PageHinkleyTest(threshold=20 * scale, tolerance=0.05 * scale)),
    )
    found = []
    for name, detector in detectors:
        result = watch(detector, series)
        changes = (ErrorChange(judged[one.since].at / MICROSECONDS, one.before, one.after) for one in result.changes)
        found.append(Concept(name, result.verdict, result.samples, tuple(changes), result.message))
    return tuple(found)
