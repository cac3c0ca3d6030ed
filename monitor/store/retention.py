"""What is too old goes, a little at a time: other work waits for a deletion no longer than for a batch."""

from collections.abc import AsyncGenerator
from typing import Final

from sqlalchemy import ColumnElement, Delete, Table, delete, exists, select, tuple_

from monitor.store import partitions
from monitor.store.database import Database
from monitor.store.schema import (
    MINUTE,
    baselines,
    deliveries,
    events,
    exposures,
    feedback,
    pairs,
    records,
    senders,
    tallies,
    watches,
)

STEP: Final = 1_000
"""Rows that one transaction deletes at most."""


async def forget(database: Database, before: int) -> AsyncGenerator[int, None]:
    """Delete what is older than the minute of `before` (µs), a step at a time; the number of rows of each step.

    PostgreSQL keeps records in days, and a day until all of it is older. Raises `StoreUnavailable`.
    """
    minute = before // MINUTE
    if database.has_partitions:
        async for count in _days(database, before):
            yield count
    for table in (pairs, tallies) if database.has_partitions else (records, pairs, tallies):
        async for namespace, model in _models(database, table):
            async for count in _steps(database, _old_of(table, namespace, model, minute)):
                yield count
    old_events = select(events.c.id).where(events.c.at < minute * MINUTE)
    for table, condition in (
        (watches, _without_records(watches)),
        # A profile comes before the first record.
        (baselines, _without_records(baselines) & (baselines.c.made_at < minute * MINUTE)),
        (deliveries, deliveries.c.event_id.in_(old_events)),
        (events, events.c.at < minute * MINUTE),
        (feedback, feedback.c.received_at < minute * MINUTE),
        (exposures, exposures.c.first_at < minute * MINUTE),
        (senders, senders.c.seen_at < minute * MINUTE),
    ):
        async for count in _steps(database, _old(table, condition)):
            yield count


def records_go(database: Database, before: int) -> int:
    """The time (µs) before which records are deleted, when what is older than `before` is."""
    part = partitions.DAY if database.has_partitions else MINUTE
    return before // part * part


async def _days(database: Database, before: int) -> AsyncGenerator[int, None]:
    async with database.reading() as connection:
        days = await partitions.over(connection, before)
    for day, count in days:
        async with database.writing() as connection:
            await partitions.drop(connection, day)
        yield count


async def _steps(database: Database, statement: Delete) -> AsyncGenerator[int, None]:
    count = STEP
    while count == STEP:
        async with database.writing() as connection:
            count = (await connection.execute(statement)).rowcount
        yield count


async def _models(database: Database, table: Table) -> AsyncGenerator[tuple[str, str], None]:
    """Every namespace and model in the table: a look into its index for each, whatever the number of rows."""
    of = tuple_(table.c.namespace, table.c.model)
    last = ("", "")
    while True:
        query = select(table.c.namespace, table.c.model).where(of > last).order_by(*of).limit(1)
        async with database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return
        last = (row.namespace, row.model)
        yield last


def _without_records(table: Table) -> ColumnElement[bool]:
    """Whether a row is about a version of which no record is left."""
    return ~exists().where(*(records.c[name] == table.c[name] for name in ("namespace", "model", "version")))


def _old_of(table: Table, namespace: str, model: str, minute: int) -> Delete:
    old = table.c.minute < minute if table is tallies else table.c.at < minute * MINUTE
    return _old(table, (table.c.namespace == namespace) & (table.c.model == model) & old)


def _old(table: Table, condition: ColumnElement[bool]) -> Delete:
    key = tuple_(*table.primary_key.columns)
    return delete(table).where(key.in_(select(*table.primary_key.columns).where(condition).limit(STEP)))
