"""The table of deliveries: what every channel has to tell, until it was told or given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.event import Event
from monitor.outbound.events import event_of
from monitor.store.dialect import chunks
from monitor.store.schema import MICROSECONDS, deliveries, events


@dataclass(frozen=True, slots=True)
class Due:
    """An event that a channel has to tell of now, after so many attempts that failed."""

    id: int
    attempts: int
    event: Event


async def note(connection: AsyncConnection, wanted: Sequence[tuple[int, str]], now: float) -> None:
    """Have channels (by name) tell of events (by row), at once."""
    if wanted:
        at = round(now * MICROSECONDS)
        rows = [{"event_id": row, "channel": channel, "attempts": 0, "next_at": at} for row, channel in wanted]
        await connection.execute(insert(deliveries), rows)


async def due(connection: AsyncConnection, channel: str, now: float, limit: int) -> Sequence[Due]:
    """What the channel has to tell now, in the order in which it came."""
    query = (
        select(deliveries.c.attempts, events)
        .join_from(deliveries, events, deliveries.c.event_id == events.c.id)
        .where(deliveries.c.channel == channel, deliveries.c.done_at.is_(None))
        .where(deliveries.c.next_at <= round(now * MICROSECONDS))
        .order_by(events.c.id)
        .limit(limit)
    )
    return [Due(row.id, row.attempts, event_of(row)) for row in await connection.execute(query)]


async def settle(
    connection: AsyncConnection, channel: str, ids: Sequence[int], now: float, error: str | None = None
) -> None:
    """Note that they need not be tried any more: they arrived or, with the `error`, were given up."""
    values: dict[str, Any] = {"done_at": round(now * MICROSECONDS), "error": error}
    if error is None:
        values["attempts"] = deliveries.c.attempts + 1
    await _change(connection, channel, ids, values)


async def postpone(connection: AsyncConnection, channel: str, ids: Sequence[int], until: float, error: str) -> None:
    """Note an attempt that failed, and when to try again."""
    values = {"attempts": deliveries.c.attempts + 1, "next_at": round(until * MICROSECONDS), "error": error}
    await _change(connection, channel, ids, values)


async def _change(connection: AsyncConnection, channel: str, ids: Sequence[int], values: Mapping[str, Any]) -> None:
    for some in chunks(ids):
        which = (deliveries.c.channel == channel, deliveries.c.event_id.in_(some))
        await connection.execute(update(deliveries).where(*which).values(values))
