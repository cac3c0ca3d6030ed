"""Days of records in PostgreSQL: a partition for each, so that retention drops a day without touching its rows.

There is no default partition: rows would gather there unseen, and every new day would have to look through them. A day
is made ahead by housekeeping, and otherwise by the transaction that needs it.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.database import StoreRefused
from monitor.store.schema import MICROSECONDS, records

DAY: Final = 86_400 * MICROSECONDS
MOST_NEW: Final = 100
"""Days that one transaction makes: PostgreSQL has a bounded number of locks, and no replica needs so many."""
DROP_SECONDS: Final = 1
"""How long a day that is over waits for those who read; it is tried again with the next cleaning."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PREFIX: Final = "records_"
_PARTS: Final = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'records'::regclass
"""


async def prepare(connection: AsyncConnection, days: Collection[int]) -> None:
    """Make the partitions of these days, counted from 1970-01-01 (UTC), that are not there yet.

    In a transaction that writes: two cannot make the same one. SQLite has none. Raises `StoreRefused` when too many are
    missing.
    """
    if connection.dialect.name != "postgresql":
        return
    missing = sorted(set(days) - await _made(connection))
    if len(missing) > MOST_NEW:
        raise StoreRefused(f"records of {len(missing)} days that have none yet come at once: is a clock wrong?")
    for day in missing:
        await connection.run_sync(attach, day)


async def over(connection: AsyncConnection, before: int) -> Sequence[tuple[int, int]]:
    """The days that there is a partition of and that end before this moment (µs), each with the number of its rows."""
    found = []
    for day in sorted(await _made(connection)):
        if (day + 1) * DAY <= before:
            inside = records.c.at.between(day * DAY, (day + 1) * DAY - 1)
            count = select(func.count()).select_from(records).where(inside)
            found.append((day, (await connection.execute(count)).scalar_one()))
    return found


async def drop(connection: AsyncConnection, day: int) -> None:
    """Take a day's records away. In a transaction that writes.

    It waits for those who are reading any records, and who begins to read meanwhile would wait for it: not for long.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{DROP_SECONDS}s'"))
    await connection.execute(text(f"DROP TABLE IF EXISTS {_name(day)}"))


def attach(connection: Connection, day: int) -> None:
    """Make the partition of a day that has none.

    Attaching a table locks out neither readers nor writers of the others, which creating a partition does:
    https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE
    """
    connection.execute(text(f"CREATE TABLE {_name(day)} (LIKE records INCLUDING DEFAULTS)"))
    bounds = f"FROM ({day * DAY}) TO ({(day + 1) * DAY})"
    connection.execute(text(f"ALTER TABLE records ATTACH PARTITION {_name(day)} FOR VALUES {bounds}"))


def _name(day: int) -> str:
    return f"{_PREFIX}{_EPOCH + timedelta(day):%Y%m%d}"


async def _made(connection: AsyncConnection) -> set[int]:
    names = (await connection.execute(text(_PARTS))).scalars()
    return {(datetime.strptime(f"{name}+0000", f"{_PREFIX}%Y%m%d%z") - _EPOCH).days for name in names}
