"""A version's newest records against its references: figures for Prometheus, drift, and quality. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.analyst.figures import ColumnFigures, Version, WindowFigures
from monitor.analyst.findings import drifted, faulty
from monitor.analyst.watching import Watches
from monitor.drift import compare
from monitor.event import Event
from monitor.profiles import NumericColumn, Profile
from monitor.quality import check, schema_of
from monitor.reports.following import Family, Recorded, profile, rows_of
from monitor.reports.references import Reference
from monitor.reports.tables import Row, columns, kinds_of_predictions

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_FAULTS: Final = 20
"""Faults of one window that are told."""

_Named = Sequence[tuple[str, Row]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came out of a window."""

    figures: WindowFigures
    events: tuple[Event, ...]


def judge(
    version: Version,
    entries: Sequence[Recorded],
    references: Mapping[Family, Reference],
    watches: Mapping[Family, Watches],
    at: float,
) -> Judged:
    """Judge the newest records, in the order in which they were stored; watches see those that they had not seen.

    What a reference was made of is judged by nothing.
    """
    events: list[Event] = []
    found = {}
    faults = None
    for family, reference in references.items():
        recorded = [one for one in entries if one.entry(family).content is not None]
        rows = rows_of([one.entry(family) for one in recorded], family)
        seen = _profile(rows, reference.profile, family)
        moved: dict[str, float | None] = {}
        alarmed = frozenset[str]()
        if reference.profile is not None:
            begin = reference.made_at if reference.source == "records" else -1
            fresh = [(one, row) for one, row in zip(recorded, rows, strict=True) if one.at > begin]
            judged = [row for _, row in fresh]
            window = seen if len(judged) == len(rows) else profile(judged, reference.profile)
            moved = {one.feature: one.psi for one in compare(reference.profile, window).features}
            watched = watches[family]
            shown = watched.take([row for one, (_, row) in fresh if one.id > watched.position], entries[-1].id)
            events += (drifted(version, family, name, one, psi=moved.get(name), at=at) for name, one in shown.items())
            alarmed = watched.alarmed
            if family is Family.FEATURES:
                faulted = _faults(version, judged, reference.profile, at)
                faults, events = len(faulted), events + faulted[:MOST_FAULTS]
        found[family] = _columns(seen, moved, alarmed)
    figures = WindowFigures(len(entries), found[Family.FEATURES], found[Family.PREDICTIONS], faults)
    return Judged(figures, tuple(events))


def _profile(rows: _Named, reference: Profile | None, family: Family) -> Profile:
    if reference is not None:
        return profile(rows, reference)
    table = columns([row for _, row in rows])
    return Profile.of(table, kinds_of_predictions(table) if family is Family.PREDICTIONS else None)


def _faults(version: Version, rows: _Named, reference: Profile, at: float) -> list[Event]:
    found = check(columns([row for _, row in rows]), schema_of(reference)).findings
    return [faulty(version, one, tuple(rows[row][0] for row in one.rows), at) for one in found if not one.tolerated]


def _columns(seen: Profile, moved: Mapping[str, float | None], alarmed: frozenset[str]) -> tuple[ColumnFigures, ...]:
    return tuple(
        ColumnFigures(
            name=name,
            psi=moved.get(name),
            alarmed=name in alarmed,
            missing=column.missing / total if (total := column.count + column.missing) else None,
            quantiles=_quantiles(column) if isinstance(column, NumericColumn) else {},
        )
        for name, column in seen.columns.items()
    )


def _quantiles(column: NumericColumn) -> dict[float, float]:
    found = ((q, column.quantile(q)) for q in QUANTILES)
    return {q: value for q, value in found if value is not None}
