"""The store as the API sees it: it takes entries, answers questions, and does its housekeeping by itself."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from sqlalchemy import URL, text

from monitor.store import exposures, sums
from monitor.store.database import Database, StoreRefused, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.exposures import Page
from monitor.store.feedback import Heard
from monitor.store.ingest import Taken
from monitor.store.metrics import Metrics
from monitor.store.retention import forget
from monitor.store.schema import MICROSECONDS
from monitor.store.writer import Writer
from monitor.tallies import VersionTally

CLEAN_SECONDS: Final = 60.0
"""How often rows that have become too old are looked for."""
AGAIN_SECONDS: Final = 1.0
"""The pause between attempts to reach the database at the start."""

log = logging.getLogger(__name__)


class Store:
    """Records and feedback, while `run` runs.

    Every method raises `StoreUnavailable` while the database is away, also at the very beginning: it is waited for in
    the background.
    """

    def __init__(self, url: URL, retention: float, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        """`retention`: after how many seconds rows are deleted."""
        self._database = Database(url)
        self._retention = retention
        self._metrics = metrics
        self._clock = clock
        self._writer = Writer(self._database, metrics, clock)
        self._migrated = False

    async def store(self, batch: Batch) -> Taken:
        """Return once the batch is committed. Raises `StoreRefused` too."""
        self._require_tables()
        return await self._writer.store(batch)

    async def hear(self, given: Feedback) -> Heard:
        """Return once the feedback is committed. Raises `FeedbackConflict` and `StoreRefused` too."""
        self._require_tables()
        return await self._writer.hear(given)

    async def tallies(
        self, namespace: str, model: str, since: float, until: float | None
    ) -> Mapping[str, VersionTally]:
        """The tallies of requests from `since` until before `until` (seconds since the epoch), by version."""
        self._require_tables()
        async with self._database.reading() as connection:
            return await sums.total(connection, namespace, model, since, until)

    async def exposures(self, namespace: str, model: str, after: int, limit: int) -> Page:
        """The exposures that follow `after`, at most `limit`."""
        self._require_tables()
        async with self._database.reading() as connection:
            return await exposures.page(connection, namespace, model, after, limit)

    async def ready(self) -> None:
        """Return when the database answers."""
        self._require_tables()
        async with self._database.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def clean(self) -> None:
        """Delete what is too old."""
        before = round((self._clock() - self._retention) * MICROSECONDS)
        async with aclosing(forget(self._database, before)) as steps:
            async for count in steps:
                self._metrics.deleted.inc(count)

    async def run(self) -> None:
        """Work until cancelled. Raises `StoreTooNew`."""
        await self._migrate()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run())
            tasks.create_task(self._keep_clean())

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def _migrate(self) -> None:
        while not self._migrated:
            try:
                await self._database.migrate()
                self._migrated = True
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(AGAIN_SECONDS)
        log.info("records are kept in %s", self._database.name)

    async def _keep_clean(self) -> None:
        while True:
            try:
                await self.clean()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("old rows are not deleted now: %s", error)
            await asyncio.sleep(CLEAN_SECONDS)

    def _require_tables(self) -> None:
        if not self._migrated:
            raise StoreUnavailable(f"{self._database.name} has not been reached yet")
