"""The store as the API sees it: it takes entries, answers questions, and does its housekeeping by itself."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import exposures, partitions, sums
from monitor.store.database import AGAIN_SECONDS, Database, StoreRefused, StoreTooNew, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.exposures import Page
from monitor.store.feedback import Heard
from monitor.store.metrics import Metrics
from monitor.store.partitions import DAY
from monitor.store.replay import Replay
from monitor.store.retention import forget, records_go
from monitor.store.schema import MICROSECONDS
from monitor.store.senders import Taken
from monitor.store.spool import Spool
from monitor.store.transactions import Transactions
from monitor.store.writer import Writer
from monitor.tallies import VersionTally

CLEAN_SECONDS: Final = 60.0
"""How often rows that have become too old are looked for."""

log = logging.getLogger(__name__)


class Store:
    """Records and feedback, while `run` runs.

    Every method raises `StoreUnavailable` while the database is away, also at the very beginning: it is waited for in
    the background. With a spool, `store` and `hear` do not: then they promise to store it.
    """

    def __init__(
        self,
        url: URL,
        retention: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        spool: Spool | None = None,
    ) -> None:
        """`retention`: after how many seconds rows are deleted."""
        self._database = Database(url)
        self._retention = retention
        self._metrics = metrics
        self._clock = clock
        transactions = Transactions(self._database, metrics, clock)
        self._replay = Replay(spool, transactions, metrics) if spool else None
        self._writer = Writer(transactions, self._replay, metrics)
        self._before_deleting: list[Callable[[int], Awaitable[None]]] = []

    async def store(self, batch: Batch) -> Taken:
        """Return once the batch is on disk. Raises `StoreRefused` too.

        While the database is away nobody knows whether it is there already: then it counts as accepted, and is stored
        once all the same.
        """
        self._require_place()
        return await self._writer.store(batch)

    async def hear(self, given: Feedback) -> Heard:
        """Return once the feedback is on disk. Raises `FeedbackConflict` and `StoreRefused` too.

        While the database is away no request is known, and a contradiction comes out later: it is logged and counted.
        """
        self._require_place()
        return await self._writer.hear(given)

    async def tallies(
        self, namespace: str, model: str, since: float, until: float | None
    ) -> Mapping[str, VersionTally]:
        """The tallies of requests from `since` until before `until` (seconds since the epoch), by version."""
        async with self.reading() as connection:
            return await sums.total(connection, namespace, model, since, until)

    async def exposures(self, namespace: str, model: str, after: int, limit: int) -> Page:
        """The exposures that follow `after`, at most `limit`."""
        async with self.reading() as connection:
            return await exposures.page(connection, namespace, model, after, limit)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of all tables."""
        async with self._database.reading() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed when the block ends; only one at a time, so keep it short.

        Raises `StoreRefused` too.
        """
        async with self._database.writing() as connection:
            yield connection

    async def ready(self) -> None:
        """Return when the database answers."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    def before_deleting(self, tell: Callable[[int], Awaitable[None]]) -> None:
        """Have somebody told the time (µs) before which records are deleted, each time before that is done."""
        self._before_deleting.append(tell)

    async def clean(self) -> None:
        """Delete what is too old."""
        before = round((self._clock() - self._retention) * MICROSECONDS)
        for tell in self._before_deleting:
            await tell(records_go(self._database, before))
        async with contextlib.aclosing(forget(self._database, before)) as steps:
            async for count in steps:
                self._metrics.deleted.inc(count)

    async def run(self) -> None:
        """Work until cancelled. Raises `StoreTooNew`, and `OSError` when the spool cannot be used."""
        if self._replay is not None:
            await self._replay.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._writer.run())
                if self._replay is not None:
                    tasks.create_task(self._replay.run())
                await self._migrate()
                tasks.create_task(self._keep_clean())
        except ExceptionGroup as group:
            if found := group.subgroup(StoreTooNew):
                raise found.exceptions[0] from None
            raise

    async def close(self) -> None:
        """Close all connections."""
        if self._replay is not None:
            self._replay.close()
        await self._database.close()

    async def _migrate(self) -> None:
        while True:
            try:
                await self._database.migrate()
                break
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(AGAIN_SECONDS)
        log.info("records are kept in %s", self._database.name)

    async def _keep_clean(self) -> None:
        while True:
            try:
                await self.clean()
                await self._prepare()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("old rows are not deleted now: %s", error)
            await asyncio.sleep(CLEAN_SECONDS)

    async def _prepare(self) -> None:
        """Make tomorrow's partition while nobody waits for it."""
        if self._database.has_partitions:
            tomorrow = round(self._clock() * MICROSECONDS) // DAY + 1
            async with self.writing() as connection:
                await partitions.prepare(connection, [tomorrow])

    def _require_place(self) -> None:
        if self._replay is None:
            self._database.require_tables()
