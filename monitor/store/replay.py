"""What was accepted while the database was away, on its way into the spool and, in the same order, out of it.

Some entries come out twice after a crash, which changes nothing: batches have numbers, and feedback said again is the
same feedback.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from monitor.store.database import AGAIN_SECONDS, StoreRefused, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.feedback import FeedbackConflict, Heard
from monitor.store.metrics import Metrics
from monitor.store.senders import Taken
from monitor.store.spool import Spool
from monitor.store.transactions import Entry, Outcome, Transactions

CHUNK: Final = 2 << 20
"""Bytes of entries in one transaction."""
_BATCH: Final = b"B"
_FEEDBACK: Final = b"F"

log = logging.getLogger(__name__)


class Unreadable(Exception):
    """An entry that another release wrote, with other fields."""


class Replay:
    """The spool of entries."""

    def __init__(self, spool: Spool, transactions: Transactions, metrics: Metrics) -> None:
        self._spool = spool
        self._transactions = transactions
        self._metrics = metrics

    @property
    def waits(self) -> bool:
        """Whether there is anything in it: then everything has to go behind."""
        return self._spool.entries > 0

    async def open(self) -> None:
        """Take over what an earlier process left. Raises `OSError`."""
        await self._spool.open()
        self._metrics.spool_limit.set(self._spool.limit)
        self._measure()

    async def keep(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Return what is promised for each entry once all are on disk. Raises `SpoolFull`.

        That it may be a batch that is stored already, or feedback that contradicts what is known, comes out later. No
        request is known here, so all feedback is about unknown ones.
        """
        await self._spool.append([_written(entry) for entry in entries])
        self._measure()
        return [
            Taken(len(it.records)) if isinstance(it, Batch) else Heard(len(it.items), unknown=len(it.items))
            for it in entries
        ]

    async def run(self) -> None:
        """Store what is kept whenever the database is there, until cancelled."""
        while True:
            await self._spool.news.wait()
            if not await self._store_some():
                await asyncio.sleep(AGAIN_SECONDS)

    def close(self) -> None:
        """Let another process have the spool."""
        self._spool.close()

    async def _store_some(self) -> bool:
        """Whether the database was there."""
        chunk = await self._spool.first(CHUNK)
        read = [_read(entry) for entry in chunk.entries]
        stored = iter(await self._transactions.store([it for it in read if not isinstance(it, Unreadable)]))
        outcomes = [it if isinstance(it, Unreadable) else next(stored) for it in read]
        done = next((n for n, it in enumerate(outcomes) if isinstance(it, StoreUnavailable)), len(outcomes))
        await self._spool.remove(chunk, done)
        refused = [it for it in outcomes[:done] if isinstance(it, Exception)]
        for error in refused:
            known = isinstance(error, StoreRefused | FeedbackConflict | Unreadable)
            log.error(
                "what was accepted while the database was away is not stored: %s", error, exc_info=not known and error
            )
        self._metrics.refused.inc(len(refused))
        self._metrics.replayed.inc(done - len(refused))
        self._measure()
        return done == len(outcomes)

    def _measure(self) -> None:
        self._metrics.spooled.set(self._spool.entries)
        self._metrics.spool_bytes.set(self._spool.size)


def _written(entry: Entry) -> bytes:
    return (_BATCH if isinstance(entry, Batch) else _FEEDBACK) + entry.model_dump_json().encode()


def _read(content: bytes) -> Entry | Unreadable:
    kind = Batch if content[:1] == _BATCH else Feedback
    try:
        return kind.model_validate_json(content[1:])
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return Unreadable(f"a {kind.__name__.lower()} of another release: {first['loc']}: {first['msg']}")
