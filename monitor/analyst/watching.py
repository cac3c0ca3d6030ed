"""Watches for drift that last as long as their version: what they have seen is kept in the store.

Each column has one, with its part of what may go wrong: in the whole life of a version, an alarm without drift in any
of its columns comes with probability `ALPHA` at most, however often one looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import conformal
from monitor.analyst.figures import Version
from monitor.conformal import DriftWatch, WatchResult
from monitor.profiles import Profile
from monitor.reports.following import Family
from monitor.reports.references import Reference
from monitor.reports.tables import Row
from monitor.store.dialect import inserting
from monitor.store.schema import watches as table

ALPHA: Final = 0.01
_KEY: Final = ("namespace", "model", "version", "family")


@dataclass(slots=True)
class Watches:
    """Of one family of columns. `reference` says from what; `position` is the last record that they have seen."""

    reference: str
    position: int
    columns: dict[str, DriftWatch]

    @classmethod
    def new(cls, reference: Reference) -> "Watches":
        """Nothing has been seen yet; a column that cannot be watched is left out."""
        profile = reference.profile or Profile()
        alpha = ALPHA / len(Family) / max(1, len(profile.columns))
        return cls(name_of(reference), 0, conformal.watches(profile, alpha))

    def take(self, rows: Sequence[Row], last: int) -> Mapping[str, WatchResult]:
        """Look at the next rows, up to the record `last`; the columns whose drift these have shown."""
        shown = {}
        for name, watch in self.columns.items():
            if watch.result.alarm_at is None:
                result = watch.update([row.get(name) for row in rows])
                if result.alarm_at is not None:
                    shown[name] = result
        self.position = max(self.position, last)
        return shown

    @property
    def alarmed(self) -> frozenset[str]:
        """The columns whose drift has been shown."""
        return frozenset(name for name, watch in self.columns.items() if watch.result.alarm_at is not None)


def name_of(reference: Reference) -> str:
    """Tells one reference of a version from another."""
    return f"{reference.source}/{reference.made_at}"


async def load(connection: AsyncConnection, version: Version, family: Family) -> Watches | None:
    """What was kept; None if there is nothing, or nothing that this release understands."""
    key = dict(zip(_KEY, (*version, family.value), strict=True))
    query = select(table).where(*(table.c[name] == value for name, value in key.items()))
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    try:
        columns = {name: DriftWatch.from_json(state) for name, state in row.state.items()}
    except ValueError:
        return None
    return Watches(row.reference, row.position, columns)


async def keep(connection: AsyncConnection, version: Version, family: Family, watches: Watches) -> None:
    """Keep what they have seen, in place of what was kept before."""
    state = {name: watch.to_json() for name, watch in watches.columns.items()}
    row = dict(zip(_KEY, (*version, family.value), strict=True))
    statement = inserting(connection, table).values(
        **row, reference=watches.reference, position=watches.position, state=state
    )
    newest = {name: statement.excluded[name] for name in ("reference", "position", "state")}
    await connection.execute(statement.on_conflict_do_update(index_elements=list(_KEY), set_=newest))
