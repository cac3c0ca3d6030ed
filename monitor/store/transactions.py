"""One transaction for many entries: a commit costs the same for one batch as for fifty."""

from collections.abc import Callable, Sequence

from monitor.store import feedback, ingest, planner
from monitor.store.database import Database, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.feedback import FeedbackConflict, Heard
from monitor.store.ingest import Found
from monitor.store.metrics import Metrics
from monitor.store.schema import MICROSECONDS
from monitor.store.senders import Taken

Entry = Batch | Feedback
Outcome = Taken | Heard | Exception


def size_of(entry: Entry) -> int:
    """What an entry costs: its records or items, and one."""
    return 1 + len(entry.records if isinstance(entry, Batch) else entry.items)


class Transactions:
    """Stores entries, and counts what became of them."""

    def __init__(self, database: Database, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock

    async def store(self, entries: Sequence[Entry]) -> list[Outcome]:
        """What became of each entry; one that is refused does not take the others with it.

        An entry that came to `StoreUnavailable` is not stored, and neither is any after it.
        """
        try:
            with self._metrics.seconds.time():
                outcomes, found = await self._store(entries)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one entry, who hands in others is served
            self._metrics.failures.inc()
            if isinstance(error, StoreUnavailable) or len(entries) == 1:
                return [error] * len(entries)
            return await self._one_by_one(entries)
        self._metrics.joined.inc(found.feedback)
        self._metrics.pairs.inc(found.pairs)
        for entry, outcome in zip(entries, outcomes, strict=True):
            self._measure(entry, outcome)
        return outcomes

    async def _one_by_one(self, entries: Sequence[Entry]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for entry in entries:
            outcomes += await self.store([entry])
            if isinstance(outcomes[-1], StoreUnavailable):
                return outcomes + outcomes[-1:] * (len(entries) - len(outcomes))
        return outcomes

    async def _store(self, entries: Sequence[Entry]) -> tuple[list[Outcome], Found]:
        now = round(self._clock() * MICROSECONDS)
        batches = [entry for entry in entries if isinstance(entry, Batch)]
        heard: dict[int, Outcome] = {}
        async with self._database.writing() as connection:
            await planner.learn(connection)
            taken, found = await ingest.take(connection, batches, now) if batches else ([], Found())
            for place, entry in enumerate(entries):
                if isinstance(entry, Feedback):
                    try:
                        heard[place] = await feedback.take(connection, entry, now)
                    except FeedbackConflict as conflict:
                        heard[place] = conflict
        rest = iter(taken)
        return [heard[place] if place in heard else next(rest) for place in range(len(entries))], found

    def _measure(self, entry: Entry, outcome: Outcome) -> None:
        metrics = self._metrics
        match outcome:
            case Taken():
                if isinstance(entry, Batch) and not outcome.repeated:
                    metrics.traffic.count(entry)
                metrics.records.inc(outcome.accepted)
                metrics.dropped.inc(outcome.dropped)
                metrics.repeated.inc(outcome.repeated)
            case Heard():
                metrics.feedback.inc(outcome.accepted)
                metrics.unknown.inc(outcome.unknown)
            case FeedbackConflict():
                metrics.conflicts.inc()
