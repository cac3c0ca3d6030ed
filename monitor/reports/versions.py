"""The versions of a model that have been seen."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.answers.audit import VersionSeen, VersionsSeen
from monitor.reports.rows import Of
from monitor.store import sums
from monitor.store.schema import MICROSECONDS, records
from monitor.store.service import Store


async def seen(store: Store, namespace: str, model: str) -> VersionsSeen:
    """All of which records are kept."""
    of = Of(namespace, model)
    async with store.reading() as connection:
        tallies = await sums.total(connection, namespace, model, 0, None)
        found = []
        for version in await newest(connection, of):
            mine = of.model_of(records), records.c.version == version
            count = (await connection.execute(select(func.count()).where(*mine))).scalar_one()
            one = select(records.c.at).where(*mine).limit(1)
            first = (await connection.execute(one.order_by(records.c.id))).scalar_one()
            last = (await connection.execute(one.order_by(records.c.id.desc()))).scalar_one()
            tally = tallies.get(version)
            found.append(
                VersionSeen(
                    version,
                    first_at=first / MICROSECONDS,
                    last_at=last / MICROSECONDS,
                    records=count,
                    requests=tally.requests if tally else 0,
                    errors=tally.errors if tally else 0,
                    labels=tally.labels.count if tally else 0,
                    rewards=tally.rewards.count if tally else 0,
                )
            )
    return VersionsSeen(tuple(found))


async def newest(connection: AsyncConnection, of: Of) -> list[str]:
    """The versions, the one whose first record was stored last before the others.

    Each is one step in the index: reading all records to find a handful of names would take long.
    """
    mine, first = of.model_of(records), func.min(records.c.id)
    found: list[tuple[int, str]] = []
    version = ""
    while True:
        following = select(func.min(records.c.version)).where(mine, records.c.version > version)
        version = (await connection.execute(following)).scalar_one()
        if version is None:
            return [name for _, name in sorted(found, reverse=True)]
        found.append((await connection.scalar(select(first).where(mine, records.c.version == version)), version))
