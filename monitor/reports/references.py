"""What drift is measured from: a profile that came with the model, or that of a version's first live records."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, false, func, select

from monitor.profiles import Profile
from monitor.reports.following import Family, Recorded, rows_of
from monitor.reports.rows import read, recorded_columns
from monitor.reports.tables import columns, kinds_of_predictions
from monitor.store.dialect import inserting
from monitor.store.schema import MICROSECONDS, baselines, records
from monitor.store.service import Store

FIRST: Final = 1_000
"""Live records that make a reference, where none came with the model."""
_AMONG: Final = 100 * FIRST
"""The version's oldest records, among which these are looked for: of some only a sample has inputs and outputs."""
_KEPT: Final = 64
"""Profiles that are kept parsed."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`source` is `file` or `records`, and empty while there is none: then `samples` says how many records there are.

    `made_at`: when it was stored; of one made of records, when the last of them came. Microseconds.
    """

    version: str
    source: str = ""
    made_at: int = 0
    samples: int = 0
    profile: Profile | None = None


class References:
    """Finds references, and makes them of records as soon as there are enough."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parsed: OrderedDict[tuple[str, ...], Reference] = OrderedDict()

    async def of_candidate(
        self, namespace: str, model: str, versions: tuple[str, str], since: float, family: Family
    ) -> Reference:
        """What the second of these versions is compared with since then: what came with it, else the first one's own.

        Records that came since then are no reference: the candidate may have answered the same requests.
        """
        stable, candidate = versions
        own = await self._stored(namespace, model, candidate, family)
        if own is not None and own.source == "file":
            return own
        return await self.of_version(namespace, model, stable, family, round(since * MICROSECONDS))

    async def of_version(
        self, namespace: str, model: str, version: str, family: Family, before: int | None = None
    ) -> Reference:
        """The version's own, of records that came before that time (microseconds)."""
        stored = await self._stored(namespace, model, version, family)
        if stored is not None and (stored.source == "file" or before is None or stored.made_at < before):
            return stored
        return await self._made(namespace, model, version, family, before)

    async def _stored(self, namespace: str, model: str, version: str, family: Family) -> Reference | None:
        of = (
            baselines.c.namespace == namespace,
            baselines.c.model == model,
            baselines.c.version == version,
            baselines.c[family.value].is_not(None),
        )
        async with self._store.reading() as connection:
            found = (await connection.execute(select(baselines.c.source, baselines.c.made_at).where(*of))).first()
            if found is None:
                return None
            key = (namespace, model, version, family.value, found.source, str(found.made_at))
            if (known := self._parsed.get(key)) is not None:
                self._parsed.move_to_end(key)
                return known
            text = (await connection.execute(select(baselines.c[family.value]).where(*of))).scalar_one()
        profile = await asyncio.to_thread(Profile.from_json, text)
        return self._remember(key, Reference(version, found.source, found.made_at, profile.rows, profile))

    async def _made(self, namespace: str, model: str, version: str, family: Family, before: int | None) -> Reference:
        """Of the version's first live records, if there are enough; kept, unless another one is stored already."""
        key = (namespace, model, version, family.value, "made", str(before))
        if (known := self._parsed.get(key)) is not None:
            self._parsed.move_to_end(key)
            return known
        query = _first(namespace, model, version, before)
        async with self._store.reading() as connection:
            samples = (await connection.execute(select(func.count()).select_from(query.subquery()))).scalar_one()
            if samples < FIRST:
                return Reference(version, samples=samples)
            rows = (await read(connection, query, FIRST)).rows
        made_at = max(row.at for row in rows)
        profiles, texts = await asyncio.to_thread(_profiles, [Recorded._make(row) for row in rows])
        row: dict[str, object] = {"namespace": namespace, "model": model, "version": version}
        row |= {"source": "records", "made_at": made_at} | texts
        async with self._store.writing() as connection:
            await connection.execute(inserting(connection, baselines).values(row).on_conflict_do_nothing())
        return self._remember(key, Reference(version, "records", made_at, len(rows), profiles[family]))

    def _remember(self, key: tuple[str, ...], reference: Reference) -> Reference:
        self._parsed[key] = reference
        if len(self._parsed) > _KEPT:
            self._parsed.popitem(last=False)
        return reference


def _first(namespace: str, model: str, version: str, before: int | None) -> Select[Any]:
    of = (records.c.namespace == namespace, records.c.model == model, records.c.version == version)
    early = () if before is None else (records.c.at < before,)
    oldest = (
        select(*recorded_columns())
        .where(*of, *early, records.c.mirrored == false())
        .order_by(records.c.id)
        .limit(_AMONG)
    )
    table = oldest.subquery()
    recorded = (table.c[one.recorded].is_not(None) for one in Family)
    return select(table).where(*recorded).order_by(table.c.id).limit(FIRST)


def _profiles(records: Sequence[Recorded]) -> tuple[dict[Family, Profile], dict[str, str]]:
    """Of both families, and as they are stored."""
    made = {}
    for family in Family:
        given = rows_of([one.entry(family) for one in records], family)
        table = columns([row for _, row in given])
        kinds = kinds_of_predictions(table) if family is Family.PREDICTIONS else None
        made[family] = Profile.of(table, kinds, [request_id for request_id, _ in given])
    return made, {family.value: profile.to_json() for family, profile in made.items()}
