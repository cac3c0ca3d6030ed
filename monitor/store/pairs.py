"""Pairs on their way into the table, as soon as both halves are stored, whichever came first.

In the transaction of the half that came last: records and pairs cannot miss each other.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.dialect import among, append, chunks
from monitor.store.entries import Batch
from monitor.store.pairing import Half, Paired, paired
from monitor.store.schema import MICROSECONDS, MINUTE, pairs, records

APART: Final = 10 * MINUTE
"""Halves of a pair come at the same time, but for what clocks differ and requests wait. It bounds what is searched."""


async def join(connection: AsyncConnection, batches: Sequence[Batch]) -> int:
    """Store the pairs that these records, which are stored already, complete; how many."""
    found = 0
    by_model: defaultdict[tuple[str, str], list[Batch]] = defaultdict(list)
    for batch in batches:
        by_model[batch.namespace, batch.model].append(batch)
    for (namespace, model), of in by_model.items():
        found += await _Search(connection, namespace, model).join(of)
    return found


class _Search:
    """What is looked for in one model's records."""

    def __init__(self, connection: AsyncConnection, namespace: str, model: str) -> None:
        self._connection = connection
        self._of_records = (records.c.namespace == namespace, records.c.model == model)
        self._of_pairs = (pairs.c.namespace == namespace, pairs.c.model == model)
        self._fixed = {"namespace": namespace, "model": model}

    async def join(self, batches: Sequence[Batch]) -> int:
        fresh = [record for batch in batches for record in batch.records if record.status < 500 and record.outputs]
        if not fresh or not await self._has_copies():
            return 0
        times = [round(record.at * MICROSECONDS) for record in fresh]
        period = (min(times) - APART, max(times) + APART)
        live = [record.id for record in fresh if not record.mirrored]
        names = {record.id for record in fresh if record.mirrored} | await self._copied(live, period)
        rows = []
        for some in chunks(sorted(names)):
            known = await self._known(some)
            rows += [
                self._fixed | _row(one)
                for one in paired(await self._halves(some, period))
                if (one.request_id, one.stable, one.candidate) not in known
            ]
        await append(self._connection, pairs, rows)
        return len(rows)

    async def _has_copies(self) -> bool:
        """Most models have no shadow, and need no search."""
        query = select(records.c.id).where(*self._of_records, records.c.mirrored == true()).limit(1)
        return (await self._connection.execute(query)).first() is not None

    async def _copied(self, names: Sequence[str], period: tuple[int, int]) -> set[str]:
        """Those that a mirrored record is there of."""
        found: set[str] = set()
        for some in chunks(names):
            query = select(records.c.request_id).where(
                *self._of_records,
                records.c.mirrored == true(),
                among(self._connection, records.c.request_id, some),
                records.c.at.between(*period),
            )
            found.update((await self._connection.execute(query)).scalars())
        return found

    async def _halves(self, names: Sequence[str], period: tuple[int, int]) -> list[Half]:
        query = (
            select(*(records.c[name] for name in Half._fields))
            .where(
                *self._of_records,
                among(self._connection, records.c.request_id, names),
                records.c.at.between(*period),
                records.c.status < 500,
                records.c.outputs.is_not(None),
            )
            .order_by(records.c.id)
        )
        return [Half(*values) for values in await self._connection.execute(query)]

    async def _known(self, names: Sequence[str]) -> set[tuple[str, str, str]]:
        query = select(pairs.c.request_id, pairs.c.stable, pairs.c.candidate)
        found = await self._connection.execute(
            query.where(*self._of_pairs, among(self._connection, pairs.c.request_id, names))
        )
        return {(name, stable, candidate) for name, stable, candidate in found}


def _row(one: Paired) -> dict[str, object]:
    return {
        "request_id": one.request_id,
        "at": one.at,
        "stable": one.stable,
        "candidate": one.candidate,
        "one": one.one,
        "other": one.other,
        "agree": one.agreement.agree,
        "difference": one.agreement.difference,
        "relative": one.agreement.relative,
    }
