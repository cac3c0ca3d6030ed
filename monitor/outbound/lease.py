"""Work that only one of the monitors on one database does at a time."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import delete, or_, select

from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.dialect import inserting
from monitor.store.schema import MICROSECONDS, leases
from monitor.store.service import Store

LEASE_SECONDS: Final = 15.0
"""How long a lease holds; when its holder was killed, another process takes over after that."""
RENEW_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 1.0
"""The pause while the store is away."""

log = logging.getLogger(__name__)


class Lease:
    """The right to do the work of this name, which at most one process has: as long as it renews it."""

    def __init__(self, name: str, store: Store, clock: Callable[[], float]) -> None:
        self._name = name
        self._store = store
        self._clock = clock
        self._holder = uuid4().hex

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work whenever this process has the lease, until cancelled; what the work raises comes out."""
        while True:
            taken = await self._take()
            if taken:
                async with self._released(), _during(work) as task:
                    await self._keep(task)
            await asyncio.sleep(RENEW_SECONDS if taken is False else AGAIN_SECONDS)

    async def _keep(self, task: asyncio.Task[None]) -> None:
        """Renew the lease until it is lost or may have run out. Raises what the work raises."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LEASE_SECONDS
        while loop.time() < until - RENEW_SECONDS:
            await asyncio.wait([task], timeout=RENEW_SECONDS)
            if task.done():
                return task.result()
            began = loop.time()
            taken = await self._take()
            if taken is False:
                log.warning("another process has taken over: %s", self._name)
                return None
            if taken:
                until = began + LEASE_SECONDS
        return None

    async def _take(self) -> bool | None:
        """Take the lease or renew it; False when another process has it, None when the store is away."""
        now = self._clock()
        try:
            async with asyncio.timeout(LEASE_SECONDS / 3), self._store.writing() as connection:
                until = round((now + LEASE_SECONDS) * MICROSECONDS)
                statement = inserting(connection, leases).values(name=self._name, holder=self._holder, until=until)
                free = or_(leases.c.holder == self._holder, leases.c.until < round(now * MICROSECONDS))
                new = {name: statement.excluded[name] for name in ("holder", "until")}
                statement = statement.on_conflict_do_update(index_elements=["name"], set_=new, where=free)
                await connection.execute(statement)
                holder = await connection.scalar(select(leases.c.holder).where(leases.c.name == self._name))
        except (StoreUnavailable, StoreRefused, TimeoutError):
            return None
        return bool(holder == self._holder)

    @contextlib.asynccontextmanager
    async def _released(self) -> AsyncIterator[None]:
        """Give the lease back at the end, so that the next process need not wait for it."""
        try:
            yield
        finally:
            mine = (leases.c.name == self._name, leases.c.holder == self._holder)
            with contextlib.suppress(StoreUnavailable, StoreRefused):
                async with self._store.writing() as connection:
                    await connection.execute(delete(leases).where(*mine))


@contextlib.asynccontextmanager
async def _during(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.Task[None]]:
    """The work as a task, which is ended with the block."""
    task = asyncio.ensure_future(work())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
