"""What is handed in waits here for the next transaction, or goes to the spool while the database is away."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from monitor.store.database import StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.feedback import Heard
from monitor.store.metrics import Metrics
from monitor.store.replay import Replay
from monitor.store.senders import Taken
from monitor.store.spool import SpoolFull
from monitor.store.transactions import Entry, Outcome, Transactions, size_of

GROUP: Final = 10_000
"""Records and feedback items that one transaction is filled up to."""
WAITING: Final = 100_000
"""Records and feedback items that may wait. Who comes later is sent away, and comes again."""

Out = TypeVar("Out", Taken, Heard)


@dataclass(frozen=True)
class _Waiting(Generic[Out]):
    entry: Entry
    outcome: asyncio.Future[Out]


class Writer:
    """Stores what is handed in while `run` runs. For one event loop."""

    def __init__(self, transactions: Transactions, replay: Replay | None, metrics: Metrics) -> None:
        """`replay` has the spool; without it, what comes while the database is away is not accepted."""
        self._transactions = transactions
        self._replay = replay
        self._metrics = metrics
        self._waiting: deque[_Waiting[Any]] = deque()
        self._size = 0
        self._news = asyncio.Event()

    async def store(self, batch: Batch) -> Taken:
        """Return once the batch is on disk. Raises `StoreUnavailable` or `StoreRefused`."""
        return await self._hand_in(_Waiting[Taken](batch, asyncio.get_running_loop().create_future()))

    async def hear(self, given: Feedback) -> Heard:
        """Return once the feedback is on disk. Raises `FeedbackConflict`, `StoreUnavailable` or `StoreRefused`."""
        return await self._hand_in(_Waiting[Heard](given, asyncio.get_running_loop().create_future()))

    async def run(self) -> None:
        """Store what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while group := self._next():
                await self._write(group)

    async def _hand_in(self, waiting: _Waiting[Out]) -> Out:
        size = size_of(waiting.entry)
        if self._size + size > WAITING:
            raise StoreUnavailable(f"{self._size} records and feedback items wait already")
        self._waiting.append(waiting)
        self._count(size)
        self._news.set()
        return await waiting.outcome

    def _next(self) -> list[_Waiting[Any]]:
        """What goes into the next transaction. Those who do not wait any more are served, too: they will ask again."""
        group: list[_Waiting[Any]] = []
        size = 0
        while self._waiting and (not group or size + size_of(self._waiting[0].entry) <= GROUP):
            group.append(self._waiting.popleft())
            size += size_of(group[-1].entry)
        self._count(-size)
        return group

    def _count(self, change: int) -> None:
        self._size += change
        self._metrics.waiting.set(self._size)

    async def _write(self, group: Sequence[_Waiting[Any]]) -> None:
        outcomes = await self._outcomes([waiting.entry for waiting in group])
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.outcome.done():  # the client has gone
                continue
            if isinstance(outcome, Exception):
                waiting.outcome.set_exception(outcome)
            else:
                waiting.outcome.set_result(outcome)

    async def _outcomes(self, entries: Sequence[Entry]) -> list[Outcome]:
        """What became of each: stored, or behind what is in the spool already."""
        replay = self._replay
        if replay is None:
            return await self._transactions.store(entries)
        outcomes = [] if replay.waits else await self._transactions.store(entries)
        done = [it for it in outcomes if not isinstance(it, StoreUnavailable)]  # none comes after one that is
        rest = entries[len(done) :]
        try:
            return done + await replay.keep(rest) if rest else done
        except SpoolFull as error:
            return done + [StoreUnavailable(str(error))] * len(rest)
