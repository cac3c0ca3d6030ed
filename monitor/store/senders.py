"""Which batches of a server are new, and which it sends a second time because it has not seen the answer.

A server numbers its batches and sends one at a time, but one that a monitor kept while the database was away may be
stored after later ones that another monitor took. So what is known is not only the last number, but the gaps before it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.dialect import chunks, inserting
from monitor.store.entries import Batch
from monitor.store.schema import senders

MOST_GAPS: Final = 64
"""Gaps that are remembered of one server, the latest ones; batches in others count as stored."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch. `dropped`: the records that its sender has lost since the batch before."""

    accepted: int
    dropped: int = 0
    repeated: bool = False


@dataclass(slots=True)
class Sender:
    """The batches of one server: the last one, and those before it that have not come, as (first, last)."""

    batch: int = 0
    dropped: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def take(self, batch: Batch) -> Taken:
        """Note the batch, unless it is stored already."""
        if not self._is_new(batch.batch):
            return Taken(0, repeated=True)
        lost = max(0, batch.dropped - self.dropped)
        self.dropped += lost
        return Taken(len(batch.records), dropped=lost)

    def _is_new(self, number: int) -> bool:
        if number > self.batch:
            self.gaps = [*self.gaps, *_range(self.batch + 1, number - 1)][-MOST_GAPS:]
            self.batch = number
            return True
        for place, (first, last) in enumerate(self.gaps):
            if first <= number <= last:
                self.gaps[place : place + 1] = [*_range(first, number - 1), *_range(number + 1, last)]
                return True
        return False


async def take(connection: AsyncConnection, batches: Sequence[Batch], now: int) -> list[Taken]:
    """Tell new batches from those that are stored already, and remember the new ones."""
    names = sorted({batch.replica for batch in batches})
    known = {name: Sender() for name in names}
    for some in chunks(names):
        query = select(senders.c.replica, senders.c.batch, senders.c.dropped, senders.c.gaps)
        for name, last, dropped, gaps in await connection.execute(query.where(senders.c.replica.in_(some))):
            known[name] = Sender(last, dropped, [(first, end) for first, end in gaps or ()])
    taken = [known[batch.replica].take(batch) for batch in batches]
    statement = inserting(connection, senders)
    newest = {name: statement.excluded[name] for name in ("batch", "dropped", "gaps", "seen_at")}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["replica"], set_=newest),
        [{"replica": name, "seen_at": now} | asdict(known[name]) for name in names],
    )
    return taken


def _range(first: int, last: int) -> list[tuple[int, int]]:
    return [(first, last)] if first <= last else []
