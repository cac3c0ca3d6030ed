"""What is too old goes, a little at a time: other work waits for a deletion no longer than for a batch."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from sqlalchemy import Delete, Table, delete, select, tuple_

from monitor.store.database import Database
from monitor.store.schema import MINUTE, exposures, feedback, records, senders, tallies

STEP: Final = 1_000
"""Rows that one transaction deletes at most."""


async def forget(database: Database, before: int) -> AsyncGenerator[int, None]:
    """Delete what is older than the minute of `before` (µs), a step at a time; the number of rows of each step.

    Raises `StoreUnavailable`.
    """
    minute = before // MINUTE
    for table in (records, tallies):
        async for namespace, model in _models(database, table):
            async for count in _steps(database, _old_of(table, namespace, model, minute)):
                yield count
    for table, column in ((feedback, "received_at"), (exposures, "first_at"), (senders, "seen_at")):
        async for count in _steps(database, _old(table, table.c[column] < minute * MINUTE)):
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


def _old_of(table: Table, namespace: str, model: str, minute: int) -> Delete:
    old = table.c.minute < minute if table is tallies else table.c.at < minute * MINUTE
    return _old(table, (table.c.namespace == namespace) & (table.c.model == model) & old)


def _old(table: Table, condition: Any) -> Delete:
    key = tuple_(*table.primary_key.columns)
    return delete(table).where(key.in_(select(*table.primary_key.columns).where(condition).limit(STEP)))
