"""Which models have something new since the last look: a step in an index when there is nothing."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.analyst.figures import Version
from monitor.store.schema import feedback, pairs, records

MOST: Final = 20_000
"""Records, and pairs, among which names are looked for: the newest. Whoever is not among them now comes later."""

Model = tuple[str, str]
"""A namespace and a model."""


@dataclass(frozen=True, slots=True)
class News:
    """Versions that answered users, models that feedback came for, and models with new pairs."""

    versions: frozenset[Version] = frozenset()
    judged: frozenset[Model] = frozenset()
    paired: frozenset[Model] = frozenset()


class Newspaper:
    """Reads what came since it was read last; at first, the newest."""

    def __init__(self) -> None:
        self._record = self._pair = 0
        self._heard_at: int | None = None

    async def read(self, connection: AsyncConnection) -> News:
        """The news. Raises `StoreUnavailable`; what was not read then is read the next time."""
        record = await connection.scalar(select(func.max(records.c.id))) or 0
        pair = await connection.scalar(select(func.max(pairs.c.id))) or 0
        heard_at = await connection.scalar(select(func.max(feedback.c.received_at))) or 0
        versions: frozenset[Version] = frozenset()
        if record > self._record:
            live = records.c.id > max(self._record, record - MOST), records.c.mirrored == false()
            query = select(records.c.namespace, records.c.model, records.c.version).where(*live).distinct()
            versions = frozenset(Version(*row) for row in await connection.execute(query))
        paired: frozenset[Model] = frozenset()
        if pair > self._pair:
            fresh = pairs.c.id > max(self._pair, pair - MOST)
            query = select(pairs.c.namespace, pairs.c.model).where(fresh).distinct()
            paired = frozenset((row[0], row[1]) for row in await connection.execute(query))
        judged: frozenset[Model] = frozenset()
        if self._heard_at is None or heard_at > self._heard_at:
            newest = select(feedback).where(feedback.c.received_at > (self._heard_at or 0))
            table = newest.order_by(feedback.c.received_at.desc()).limit(MOST).subquery()
            query = select(table.c.namespace, table.c.model).where(table.c.version.is_not(None)).distinct()
            judged = frozenset((row[0], row[1]) for row in await connection.execute(query))
        self._record, self._pair, self._heard_at = record, pair, heard_at
        return News(versions, judged, paired)
