"""Everything that waits to be stored goes into one transaction: a commit costs the same for one batch as for fifty."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from monitor.store import feedback, ingest
from monitor.store.database import Database, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.feedback import FeedbackConflict, Heard
from monitor.store.ingest import Taken
from monitor.store.metrics import Metrics
from monitor.store.schema import MICROSECONDS

GROUP: Final = 10_000
"""Records and feedback items that one transaction is filled up to."""
WAITING: Final = 100_000
"""Records and feedback items that may wait. Who comes later is sent away, and comes again."""

Out = TypeVar("Out", Taken, Heard)
_Outcome = Taken | Heard | FeedbackConflict


@dataclass(frozen=True)
class _Waiting(Generic[Out]):
    entry: Batch | Feedback
    outcome: asyncio.Future[Out]

    @property
    def size(self) -> int:
        entry = self.entry
        return 1 + len(entry.records if isinstance(entry, Batch) else entry.items)


class Writer:
    """Stores what is handed in while `run` runs. For one event loop."""

    def __init__(self, database: Database, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[_Waiting[Any]] = deque()
        self._size = 0
        self._news = asyncio.Event()

    async def store(self, batch: Batch) -> Taken:
        """Return once the batch is committed. Raises `StoreUnavailable` or `StoreRefused`."""
        return await self._hand_in(_Waiting[Taken](batch, asyncio.get_running_loop().create_future()))

    async def hear(self, given: Feedback) -> Heard:
        """Return once the feedback is committed. Raises `FeedbackConflict`, `StoreUnavailable` or `StoreRefused`."""
        return await self._hand_in(_Waiting[Heard](given, asyncio.get_running_loop().create_future()))

    async def run(self) -> None:
        """Store what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while group := self._next():
                await self._write(group)

    async def _hand_in(self, waiting: _Waiting[Out]) -> Out:
        if self._size + waiting.size > WAITING:
            raise StoreUnavailable(f"{self._size} records and feedback items wait for {self._database.name} already")
        self._waiting.append(waiting)
        self._count(waiting.size)
        self._news.set()
        return await waiting.outcome

    def _next(self) -> list[_Waiting[Any]]:
        """What goes into the next transaction. Those who do not wait any more are served, too: they will ask again."""
        group: list[_Waiting[Any]] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= GROUP):
            group.append(self._waiting.popleft())
            size += group[-1].size
        self._count(-size)
        return group

    def _count(self, change: int) -> None:
        self._size += change
        self._metrics.waiting.set(self._size)

    async def _write(self, group: Sequence[_Waiting[Any]]) -> None:
        """Store the group, and tell who waits. One part that is refused does not take the others with it."""
        try:
            with self._metrics.seconds.time():
                outcomes, joined = await self._transaction([waiting.entry for waiting in group])
        except StoreUnavailable as error:
            self._metrics.failures.inc()
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one entry, who hands in others is served
            self._metrics.failures.inc()
            if len(group) == 1:
                _fail(group, error)
                return
            for waiting in group:
                await self._write([waiting])
        else:
            self._metrics.joined.inc(joined)
            for waiting, outcome in zip(group, outcomes, strict=True):
                self._measure(outcome)
                if waiting.outcome.done():  # the client has gone
                    continue
                if isinstance(outcome, FeedbackConflict):
                    waiting.outcome.set_exception(outcome)
                else:
                    waiting.outcome.set_result(outcome)

    async def _transaction(self, entries: Sequence[Batch | Feedback]) -> tuple[list[_Outcome], int]:
        """What became of each; and the feedback that has found its record."""
        now = round(self._clock() * MICROSECONDS)
        batches = [entry for entry in entries if isinstance(entry, Batch)]
        heard: dict[int, _Outcome] = {}
        async with self._database.writing() as connection:
            taken, joined = await ingest.take(connection, batches, now) if batches else ([], 0)
            for place, entry in enumerate(entries):
                if isinstance(entry, Feedback):
                    try:
                        heard[place] = await feedback.take(connection, entry, now)
                    except FeedbackConflict as conflict:
                        heard[place] = conflict
        rest = iter(taken)
        return [heard[place] if place in heard else next(rest) for place in range(len(entries))], joined

    def _measure(self, outcome: _Outcome) -> None:
        metrics = self._metrics
        match outcome:
            case Taken():
                metrics.records.inc(outcome.accepted)
                metrics.dropped.inc(outcome.dropped)
                metrics.repeated.inc(outcome.repeated)
            case Heard():
                metrics.feedback.inc(outcome.accepted)
                metrics.unknown.inc(outcome.unknown)
            case FeedbackConflict():
                metrics.conflicts.inc()


def _fail(group: Sequence[_Waiting[Any]], error: Exception) -> None:
    for waiting in group:
        if not waiting.outcome.done():
            waiting.outcome.set_exception(error)
