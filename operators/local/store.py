"""The local `RolloutStore`: the SQLite file as the control loop sees it.

SQLite calls block: usually for less than a millisecond, but a commit waits for the disk and may wait seconds for
another process's transaction. The event loop that runs the controller also answers Envoy, so these calls are made on
one worker thread, one after another.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from operators.api import (
    API_VERSION,
    KIND,
    InvalidManifest,
    ModelRollout,
    RolloutKey,
    parse_manifest,
    status_to_json,
)
from operators.api.fields import format_time
from operators.local.database import Database, Row
from operators.local.home import Home
from operators.local.wake import listening
from operators.plan import Command, Event
from operators.ports import Clock, StoreUnavailable
from operators.status import RolloutStatus

LOOK_SECONDS: Final = 2.0
"""How often the file is asked whether another process wrote to it, in case a tap on the shoulder was lost."""

R = TypeVar("R")


def parse_row(row: Row) -> ModelRollout:
    """The rollout that a row holds. Raises `StoreUnavailable` when this version of Tidegate cannot read it."""
    try:
        return parse_manifest(manifest_of(row))
    except InvalidManifest as error:
        raise StoreUnavailable(
            f"modelrollout/{row.key.name} in the store cannot be read by this version of Tidegate: {error}; "
            "apply a corrected manifest, or delete it"
        ) from error


def manifest_of(row: Row) -> dict[str, object]:
    """The whole manifest, as an API server would answer it."""
    deleted = {} if row.deleted_at is None else {"deletionTimestamp": format_time(row.deleted_at)}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": row.key.name,
            "namespace": row.key.namespace,
            "uid": row.uid,
            "generation": row.generation,
            "creationTimestamp": format_time(row.created_at),
            "annotations": dict(row.annotations),
            **deleted,
        },
        "spec": row.spec,
        **({} if row.status is None else {"status": row.status}),
    }


class SqliteStore:
    """Rollouts in the state folder's SQLite file. Get one from `opened`."""

    def __init__(self, database: Database, clock: Clock, news: asyncio.Event) -> None:
        """`news` is set by whoever hears that the file changed."""
        self._database = database
        self._clock = clock
        self._news = news
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._parsed: dict[RolloutKey, tuple[Row, ModelRollout]] = {}

    async def list(self) -> Sequence[ModelRollout]:
        """All rollouts. A row that did not change since the last call is not parsed again."""
        return await self._call(self._list)

    async def changes(self) -> AsyncIterator[RolloutKey | None]:
        """None at the beginning, and whenever another process has written to the file."""
        seen = await self._call(self._database.data_version)
        yield None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            self._news.clear()
            version = await self._call(self._database.data_version)
            if version != seen:
                seen = version
                yield None

    async def put_status(self, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()) -> None:
        """Replace the status and take back the annotations of commands that it answers, in one transaction."""
        names = [command.annotation for command in consumed]
        await self._call(lambda: self._database.put_status(key, status_to_json(status), names))

    async def record(self, key: RolloutKey, events: Sequence[Event]) -> None:
        """Keep events."""
        await self._call(lambda: self._database.record(key, events, self._clock.now()))

    async def forget(self, key: RolloutKey) -> None:
        """Remove the rollout."""
        await self._call(lambda: self._database.forget(key))

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        await self._call(self._database.close)
        self._thread.shutdown()

    async def _call(self, function: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _list(self) -> Sequence[ModelRollout]:
        known, self._parsed = self._parsed, {}
        for row in self._database.rows():
            before = known.get(row.key)
            rollout = before[1] if before is not None and before[0] == row else parse_row(row)
            self._parsed[row.key] = (row, rollout)
        return [rollout for _, rollout in self._parsed.values()]


@contextlib.asynccontextmanager
async def opened(home: Home, clock: Clock) -> AsyncIterator[SqliteStore]:
    """The store of `home`, woken by whoever writes to it through the CLI.

    Raises `StoreUnavailable` when the file is damaged or too new, `WakeError` when another control loop is running.
    """
    news = asyncio.Event()
    with listening(home.control_socket, news.set):
        store = SqliteStore(Database(home.store), clock, news)
        try:
            yield store
        finally:
            await store.close()
