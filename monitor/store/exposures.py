"""Pages of exposures: which version answered which key first."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.schema import MICROSECONDS, exposures


@dataclass(frozen=True, slots=True)
class Exposure:
    """A key met a version for the first time at `first_at`, in seconds since the epoch.

    `share`: the basis points with which the version was chosen then.
    """

    key: str
    version: str
    share: int | None
    first_at: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some exposures in the order in which they were stored; `after` asks for the ones that follow, now or later."""

    exposures: Sequence[Exposure]
    after: int


async def page(connection: AsyncConnection, namespace: str, model: str, after: int, limit: int) -> Page:
    """The exposures that follow."""
    of = (exposures.c.namespace == namespace, exposures.c.model == model, exposures.c.id > after)
    names = ("id", "key", "version", "share", "first_at")
    query = select(*(exposures.c[name] for name in names)).where(*of).order_by(exposures.c.id).limit(limit)
    rows = (await connection.execute(query)).all()
    found = [Exposure(row.key, row.version, row.share, row.first_at / MICROSECONDS) for row in rows]
    return Page(found, rows[-1].id if rows else after)
