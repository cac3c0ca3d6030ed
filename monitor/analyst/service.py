"""The analyst at work: a look every few seconds at what is new, for a bounded time, models in turn."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select

from monitor.analyst import courses, feedback, watching
from monitor.analyst.figures import Version
from monitor.analyst.gauges import MOST_VERSIONS, Metrics
from monitor.analyst.news import Model, Newspaper
from monitor.analyst.watching import Watches, name_of
from monitor.analyst.windows import judge
from monitor.event import Event, Kind
from monitor.outbound.lease import Lease
from monitor.outbound.outbox import Outbox
from monitor.reports import history
from monitor.reports.following import Family, Recorded
from monitor.reports.labels import Judged
from monitor.reports.references import Reference, References
from monitor.reports.rows import Of, read, recorded_columns
from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.schema import records
from monitor.store.service import Store

LOOK_SECONDS: Final = 5.0
BUDGET: Final = 0.5
"""Seconds of a look; what has not been looked at then comes first the next time."""
WINDOW: Final = 1_000
"""Records of a version that are looked at, the newest; of more that came since the last look the older are passed over.
Which those are does not depend on their values, so what is said of the others is as true as before."""
CELLS: Final = 20_000
"""Values in a window: one with many columns has fewer records."""
FEEDBACK_SECONDS: Final = 30.0
"""The pause between two looks at the feedback of one model."""
_PATIENCE: Final = 20
"""Who has no reference is asked again after that many times what asking took: at most a twentieth of the time."""

log = logging.getLogger(__name__)

Kept = tuple[Version, Family, Watches]


@dataclass(slots=True)
class _News:
    """What of a model is to be looked at."""

    versions: set[Version] = field(default_factory=set)
    judged: bool = False
    paired: bool = False


@dataclass(slots=True)
class _Model:
    """When the parts of a model were looked at last."""

    judged_at: float = 0.0
    trend: float = 0.0
    odd: float = 0.0


class Analyst:
    """Looks at new records and feedback while `run` runs, in one process at a time. For one event loop."""

    def __init__(self, store: Store, outbox: Outbox, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._lease = Lease("analyst", store, clock)
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet: another process may have worked in the meantime."""
        self._references = References(self._store)
        self._newspaper = Newspaper()
        self._waiting: OrderedDict[Model, _News] = OrderedDict()
        self._models: OrderedDict[Model, _Model] = OrderedDict()
        self._watches: OrderedDict[tuple[Version, Family], Watches] = OrderedDict()
        self._without: dict[Version, float] = {}

    async def run(self) -> None:
        """Look until cancelled. A look that fails is counted, and said in the log."""
        await self._lease.run(self._work)

    async def _work(self) -> None:
        self._begin()
        while True:
            try:
                with self._metrics.seconds.time():
                    await self.look()
            except (StoreUnavailable, StoreRefused) as error:
                self._metrics.failures.inc()
                log.warning("records are not looked at now: %s", error)
            except Exception:
                self._metrics.failures.inc()
                log.exception("records could not be looked at")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, budget: float = BUDGET) -> None:
        """Look at what is new, and at what waited, for about so many seconds. Raises `StoreUnavailable`."""
        async with self._store.reading() as connection:
            news = await self._newspaper.read(connection)
        for version in news.versions:
            self._news_of((version.namespace, version.model)).versions.add(version)
        for model in news.judged:
            self._news_of(model).judged = True
        for model in news.paired:
            self._news_of(model).paired = True
        until = time.monotonic() + budget
        for model in list(self._waiting):
            if time.monotonic() >= until:
                break
            # Whoever brings a look down is not looked at again before there is news of him.
            await self._look_at(model, self._waiting.pop(model))
        self._metrics.waiting.set(len(self._waiting))

    def _news_of(self, model: Model) -> _News:
        return self._waiting.setdefault(model, _News())

    async def _look_at(self, model: Model, news: _News) -> None:
        now = self._clock()
        known = self._known(model)
        for version in sorted(news.versions):
            await self._look_at_version(version, now)
        if news.judged and now - known.judged_at >= FEEDBACK_SECONDS:
            known.judged_at = now
            await self._tell(await self._feedback(model, now))
        elif news.judged:
            self._news_of(model).judged = True
        if news.paired:
            async with self._store.reading() as connection:
                for pair, figures in (await feedback.newest_pairs(connection, *model)).items():
                    self._metrics.figures.pairs.put(pair, figures)
        if news.versions:
            await self._look_back(model, known, now)

    def _known(self, model: Model) -> _Model:
        known = self._models.setdefault(model, _Model())
        self._models.move_to_end(model)
        if len(self._models) > MOST_VERSIONS:
            self._models.popitem(last=False)
        return known

    async def _look_at_version(self, version: Version, now: float) -> None:
        references = {family: await self._reference(version, family) for family in Family}
        width = sum(len(one.profile.columns) for one in references.values() if one.profile is not None)
        query = (
            select(*recorded_columns())
            .where(Of(version.namespace, version.model).model_of(records), records.c.version == version.version)
            .order_by(records.c.id.desc())
        )
        async with self._store.reading() as connection:
            rows = (await read(connection, query, max(10, min(WINDOW, CELLS // max(1, width))))).rows
        if not rows:  # too old by now
            return
        entries = [Recorded._make(row) for row in reversed(rows)]
        watches = {
            family: await self._watched(version, family, one)
            for family, one in references.items()
            if one.profile is not None
        }
        try:
            found = await asyncio.to_thread(judge, version, entries, references, watches, now)
            await self._tell(found.events, [(version, *one) for one in watches.items()])
        except BaseException:
            for family in watches:
                self._watches.pop((version, family), None)  # they have seen more than is kept
            raise
        self._metrics.figures.windows.put(version, found.figures)

    async def _reference(self, version: Version, family: Family) -> Reference:
        if time.monotonic() < self._without.get(version, 0.0):
            return Reference(version.version)
        began = time.monotonic()
        found = await self._references.of_version(*version, family)
        if found.profile is None:
            took = time.monotonic() - began
            self._without = {one: until for one, until in self._without.items() if until > began}
            self._without[version] = began + took * _PATIENCE
        return found

    async def _watched(self, version: Version, family: Family, reference: Reference) -> Watches:
        """What has been watched so far; from the beginning when the reference is another one."""
        key = (version, family)
        known = self._watches.pop(key, None)
        if known is None:
            async with self._store.reading() as connection:
                known = await watching.load(connection, version, family)
        if known is None or known.reference != name_of(reference):
            known = await asyncio.to_thread(Watches.new, reference)
        self._watches[key] = known
        if len(self._watches) > 2 * MOST_VERSIONS:
            self._watches.popitem(last=False)
        return known

    async def _feedback(self, model: Model, now: float) -> list[Event]:
        async with self._store.reading() as connection:
            rows = (await read(connection, feedback.newest_feedback(*model), feedback.MOST)).rows
        figures, events = await asyncio.to_thread(feedback.told, *model, [Judged._make(row) for row in rows], now)
        for version, one in figures.items():
            self._metrics.figures.feedback.put(version, one)
        return events

    async def _look_back(self, model: Model, known: _Model, now: float) -> None:
        """Judge periods that are over, each once."""
        period = courses.period_before(now, courses.TREND_SECONDS)
        if known.trend < period[1]:
            report = await history.performance(self._store, Of(*model, *period), courses.TREND_BUCKET)
            await self._tell(list(courses.worsening(report, period, now)))
            known.trend = period[1]
        period = courses.period_before(now, courses.ODD_SECONDS)
        if known.odd < period[1]:
            report = await history.performance(self._store, Of(*model, *period), courses.ODD_BUCKET)
            await self._tell(list(courses.standing_out(report, period, now)))
            known.odd = period[1]

    async def _tell(self, events: Sequence[Event], watches: Sequence[Kept] = ()) -> None:
        """Keep events, and in the same transaction what the watches have seen, so that no alarm is lost or repeated."""
        if not events and not watches:
            return
        new: dict[Kind, int] = {}
        async with self._store.writing() as connection:
            for kind in {event.kind for event in events}:
                new[kind] = await self._outbox.add(connection, [one for one in events if one.kind == kind])
            for version, family, one in watches:
                await watching.keep(connection, version, family, one)
        for kind, count in new.items():
            self._metrics.findings.labels(kind).inc(count)
