"""What PostgreSQL's planner must know in time: how large and how varied the tables are in which requests are looked up.

Autovacuum comes after a minute at the earliest. Until then PostgreSQL looks through a whole table for each lookup.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_GROWN: Final = text("""
    SELECT oid::regclass::text FROM pg_class
    WHERE (oid IN ('feedback'::regclass, 'pairs'::regclass)
           OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'records'::regclass))
      AND pg_relation_size(oid) > greatest(16, 4 * relpages) * 8192::bigint
""")
"""The tables that are four times as large (in pages of 8 KiB) as when their statistics were made."""


async def learn(connection: AsyncConnection) -> None:
    """Analyze the tables that have grown much. SQLite needs none of it."""
    if connection.dialect.name == "postgresql":
        for name in (await connection.execute(_GROWN)).scalars().all():
            await connection.execute(text(f"ANALYZE {name}"))
