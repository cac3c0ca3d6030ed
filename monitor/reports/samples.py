"""Values out of a version's newest records, and out of its reference: what a drift report compares."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from monitor.answers.samples import Family as Compared
from monitor.answers.samples import Sample, Table
from monitor.profiles import CategoricalColumn, Kind, NumericColumn, Profile, category
from monitor.reports.following import Family, Recorded, rows_of
from monitor.reports.references import References
from monitor.reports.rows import Of, read, recorded_columns
from monitor.reports.tables import columns, kinds_of_predictions
from monitor.reports.versions import newest
from monitor.store.schema import records
from monitor.store.service import Store

MOST_OF_REFERENCE = 2_048
"""Values of one column: as many as a profile has of numbers."""


async def sample(store: Store, references: References, of: Of, version: str | None, window: int) -> Sample:
    """The values of the newest `window` records, by default of the version that was first seen last.

    What its reference is made of is no part of them.
    """
    async with store.reading() as connection:
        version = version or next(iter(await newest(connection, of)), "")
    found = {family: await references.of_version(of.namespace, of.model, version, family) for family in Family}
    after = max(one.made_at if one.source == "records" else -1 for one in found.values())
    query = select(*recorded_columns()).where(of.model_of(records), records.c.version == version, records.c.at > after)
    async with store.reading() as connection:
        rows = (await read(connection, query.order_by(records.c.id.desc()), window)).rows
    entries = [Recorded._make(row) for row in reversed(rows)]
    compared = {
        family: await asyncio.to_thread(_compared, entries, family, one.profile) for family, one in found.items()
    }
    return Sample(of.namespace, of.model, version, compared[Family.FEATURES], compared[Family.PREDICTIONS])


def _compared(entries: Sequence[Recorded], family: Family, reference: Profile | None) -> Compared:
    found = columns([row for _, row in rows_of([one.entry(family) for one in entries], family)])
    kinds = reference.kinds if reference else kinds_of_predictions(found) if family is Family.PREDICTIONS else {}
    categorical = tuple(name for name, kind in kinds.items() if kind is Kind.CATEGORICAL)
    current = {name: [*map(category, values)] if name in categorical else values for name, values in found.items()}
    return Compared(_table_of(reference or Profile()), Table(current, categorical))


def _table_of(profile: Profile) -> Table:
    categorical = tuple(name for name, kind in profile.kinds.items() if kind is Kind.CATEGORICAL)
    return Table({name: _values(column) for name, column in profile.columns.items()}, categorical)


def _values(column: NumericColumn | CategoricalColumn) -> list[Any]:
    """A sample of numbers; categories as often as they were, scaled down to a sample of that size."""
    if isinstance(column, NumericColumn):
        return list(column.sample)
    scale = min(1.0, MOST_OF_REFERENCE / max(1, column.count))
    return [name for name, count in column.categories.items() for _ in range(max(1, round(count * scale)))]
