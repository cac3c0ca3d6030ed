"""The table of events: each is kept once, however often it is told."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.event import Event, Page
from monitor.store.dialect import inserting
from monitor.store.schema import MICROSECONDS, events

FIELDS = tuple(Event.model_fields)


async def insert(connection: AsyncConnection, given: Iterable[Event]) -> Sequence[tuple[int, Event]]:
    """Keep those whose key is new; they, each with the number of its row."""
    by_key = {event.key: event for event in given}
    if not by_key:
        return []
    statement = inserting(connection, events).on_conflict_do_nothing(index_elements=["key"])
    rows = [event.model_dump() | {"at": round(event.at * MICROSECONDS)} for event in by_key.values()]
    found = await connection.execute(statement.returning(events.c.id, events.c.key), rows)
    return [(row.id, by_key[row.key]) for row in found]


async def page(connection: AsyncConnection, wanted: Mapping[str, str | None], after: int | None, limit: int) -> Page:
    """The newest events whose columns have the wanted values (None: any), or those before the row `after`."""
    query = select(events).order_by(events.c.at.desc(), events.c.id.desc()).limit(limit)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(events.c[name] == value)
    if after is not None:
        place = select(events.c.at, events.c.id).where(events.c.id == after)
        query = query.where(tuple_(events.c.at, events.c.id) < place.scalar_subquery())
    rows = (await connection.execute(query)).all()
    return Page([event_of(row) for row in rows], rows[-1].id if len(rows) == limit else None)


def event_of(row: Any) -> Event:
    """The event in a row that has its columns. It was checked when it came in."""
    values = {name: getattr(row, name) for name in FIELDS}
    return Event.model_construct(**values | {"at": row.at / MICROSECONDS})
