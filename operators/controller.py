"""The loop that does the work: level-triggered, one pass at a time, over the whole fleet.

Watchers only mark rollouts as dirty. A pass reads the list of rollouts when it may have changed, decides about the
dirty ones against one observation, and brings the world closer to the plans of all. Every pass may be the last one: the
process can die after any step, and the next one goes on from the stored status. The order within a pass follows from
that:

1.  The status is stored **first**, together with the consumption of the commands that it answers. It is the intention;
    everything after it is computed again from it. The other way round, a crash after stopping a version and before
    storing that another one is stable would leave a status whose stable version does not run.
2.  Routes are published, then versions wanted. Their order does not matter: `reconcile` drops a version only after it
    saw every router acknowledge a route without it, and gives weight only to versions that are ready.
3.  Events are recorded; losing one is harmless, as the status keeps the history.
4.  Rollouts that hold nothing any more are forgotten.

Nothing is published or sent to Ray Serve before the first full list was read and Ray Serve was seen once: a route
without the endpoints, or a configuration without the applications, would take away what is serving.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from operators.api import ModelRollout, RolloutKey
from operators.fleet import compose, conflicts
from operators.inquiries import STALE_INTERVALS, Inquiries, judged
from operators.observe import Observed, RouteObservation
from operators.outage import RETRY_LIMIT, RETRY_SECONDS, Outage, backoff
from operators.plan import Event, Plan
from operators.ports import (
    Clock,
    MetricsPort,
    MonitorPort,
    Observer,
    PortUnavailable,
    RolloutStore,
    RouterPort,
    ServePort,
    StoreRefused,
)
from operators.reconcile import reconcile
from operators.serveloop import ServeLoop
from operators.status import RolloutStatus
from operators.traffic import Windows
from operators.unchanged import as_it_is
from router.ir import Route, RouteKey
from serving.spec import TargetKey, TargetState

SETTLE_SECONDS: Final = 0.01
"""A decision that changed the status is looked at again after this pause, until nothing changes any more."""

K = TypeVar("K")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """What the controller knows of one rollout. `rollout` carries the status that was stored last."""

    rollout: ModelRollout
    conflict: str | None = None
    plan: Plan | None = None
    failures: int = 0
    read_due: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Controller:
    """Makes the world follow the rollouts. `run` it in one task; it holds no state that it could not read again."""

    def __init__(
        self,
        store: RolloutStore,
        serve: ServePort,
        router: RouterPort,
        clock: Clock,
        reconcile: Callable[[ModelRollout, Observed], Plan] = reconcile,
        *,
        observer: Observer | None = None,
        monitor: MonitorPort | None = None,
        metrics: MetricsPort | None = None,
    ) -> None:
        """Wire the ports; nothing is touched before `run`. What there is no port for is never known."""
        self._reconcile = reconcile
        self._observer = observer or _Nobody()
        self._store = store
        self._router = router
        self._clock = clock
        self._serve = ServeLoop(serve, self._serve_changed)
        self._inquiries = Inquiries(monitor, metrics, clock, self._mark)
        self._entries: dict[RolloutKey, _Entry] = {}
        self._dirty: set[RolloutKey] = set()
        self._listed = False
        self._list_due = True
        self._acted = False
        self._windows = Windows()
        self._wake = asyncio.Event()
        self._store_outage = Outage("the store of rollouts")
        self._router_outage = Outage("the router")

    async def run(self) -> None:
        """Watch and work until cancelled. Being cancelled is safe at any moment; traffic stays as it is."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(self._store.changes, self._store_changed, self._store_outage))
                tasks.create_task(self._watch(self._router.changes, self._route_changed, self._router_outage))
                tasks.create_task(self._serve.run())
                tasks.create_task(self._inquiries.run())
                tasks.create_task(self._work())
        finally:
            for entry in self._entries.values():
                _cancel(entry.timer)

    # What the watchers do: mark.

    async def _watch(
        self, changes: Callable[[], AsyncIterator[K | None]], mark: Callable[[K | None], None], outage: Outage
    ) -> None:
        while True:
            try:
                async for key in changes():
                    mark(key)
            except PortUnavailable as error:
                await asyncio.sleep(outage.failed(error))
            else:
                await asyncio.sleep(RETRY_SECONDS)
            mark(None)  # something may have changed while nobody was listening

    def _store_changed(self, _key: RolloutKey | None) -> None:
        self._list_due = True
        self._wake.set()

    def _route_changed(self, key: RouteKey | None) -> None:
        self._mark(self._entries if key is None else [RolloutKey(key.namespace, key.name)])

    def _serve_changed(self, keys: Sequence[TargetKey] | None) -> None:
        self._mark(self._entries if keys is None else [RolloutKey(key.namespace, key.name) for key in keys])

    def _mark(self, keys: Iterable[RolloutKey]) -> None:
        self._dirty.update(keys)
        self._wake.set()

    # What the worker does: one pass after another.

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._pass()

    async def _pass(self) -> None:
        if self._list_due:
            await self._list()
        if not (self._listed and self._serve.settled):
            return
        dirty = [self._entries[key] for key in sorted(self._dirty & self._entries.keys())]
        self._dirty.clear()
        self._observer.queued(len(dirty))
        await self._read_traffic(dirty)
        await self._decide(dirty)
        self._observer.queued(len(self._dirty))
        if self._serve.seen:
            await self._act()

    async def _list(self) -> None:
        self._list_due = False
        try:
            listed = {rollout.key: rollout for rollout in await self._store.list()}
        except PortUnavailable as error:
            self._later(self._store_outage.failed(error), lambda: self._store_changed(None))
            return
        self._store_outage.over()
        self._listed = True
        for key in self._entries.keys() - listed.keys():
            self._drop(key)
        for key, rollout in listed.items():
            self._take(key, rollout)
        quarrels = conflicts([entry.rollout for entry in self._entries.values()])
        for key, entry in self._entries.items():
            if entry.conflict != quarrels.get(key):
                entry.conflict = quarrels.get(key)
                self._dirty.add(key)

    def _take(self, key: RolloutKey, rollout: ModelRollout) -> None:
        entry = self._entries.get(key)
        if entry is None or (entry.rollout.metadata.uid, entry.rollout.held) != (rollout.metadata.uid, rollout.held):
            if entry is not None:
                self._drop(key)
            self._entries[key] = _Entry(rollout)
            self._dirty.add(key)
            return
        # Nobody else writes the status, so what was stored last is what holds.
        rollout = rollout.with_status(entry.rollout.status)
        if rollout != entry.rollout:
            entry.rollout = rollout
            self._dirty.add(key)

    def _drop(self, key: RolloutKey) -> None:
        _cancel(self._entries.pop(key).timer)
        self._windows.forget(_route_key(key))
        self._inquiries.forget(key)
        self._observer.dropped(key)

    async def _read_traffic(self, entries: Sequence[_Entry]) -> None:
        """Read the routers' counters once, for the rollouts whose interval has passed."""
        due = [entry for entry in entries if judged(entry.rollout) and entry.read_due <= _monotonic()]
        if not due:
            return
        counters = await self._router.traffic()
        now = self._clock.now()
        for entry in due:
            entry.read_due = _monotonic() + entry.rollout.spec.analysis.interval
            since = entry.rollout.status.evidence_since
            if counters is not None and since is not None:
                self._windows.read(_route_key(entry.rollout.key), since, counters, now)

    async def _decide(self, entries: Sequence[_Entry]) -> None:
        """Decide about each rollout and store what was decided. One that cannot be decided or stored waits alone."""
        serve = _by_rollout(self._serve.state)
        published = self._router.published()
        now = self._clock.now()
        for entry in entries:
            began, before, route = _monotonic(), entry.rollout, published.get(_route_key(entry.rollout.key))
            plan = None
            if before.held and before.metadata.deletion_timestamp is None:
                entry.plan = plan = as_it_is(before, route, serve)
            else:
                try:
                    plan = self._reconcile(before, self._observed(entry, serve, published, now))
                except Exception as error:  # noqa: BLE001 - a defect in one rollout must not stop the others
                    await self._undecided(entry, error)
                else:
                    await self._adopt(entry, plan)
            self._observer.decided(before, plan if entry.plan is plan else None, _monotonic() - began)
            if entry.plan is None:  # just started, and no decision yet: what the status names goes on running
                entry.plan = as_it_is(entry.rollout, route, serve)

    def _observed(
        self,
        entry: _Entry,
        serve: Mapping[RolloutKey, Mapping[str, TargetState]] | None,
        published: Mapping[RouteKey, Route],
        now: float,
    ) -> Observed:
        rollout, key = entry.rollout, _route_key(entry.rollout.key)
        said = self._router.status(key)
        max_age = STALE_INTERVALS * rollout.spec.analysis.interval
        return Observed(
            now=now,
            serve=None if serve is None else serve.get(rollout.key, {}),
            route=RouteObservation(published.get(key), said.acknowledged, said.rejected),
            traffic=self._windows.evidence(key, rollout.status.evidence_since, now, max_age),
            counting_since=self._windows.counting_since(key, rollout.status.evidence_since),
            feedback=self._inquiries.feedback(rollout),
            evidence=self._inquiries.evidence(rollout),
            measured=self._inquiries.measured(rollout),
            conflict=entry.conflict,
        )

    async def _adopt(self, entry: _Entry, plan: Plan) -> None:
        """Store the plan's status, then let the plan count: never the one without the other."""
        before, key = entry.rollout.status, entry.rollout.key
        if plan.status != before or plan.consumed:
            if self._store_outage.waiting():
                self._requeue(entry, RETRY_SECONDS)
                return
            try:
                await self._store.put_status(key, plan.status, plan.consumed)
            except StoreRefused as error:
                await self._undecided(entry, error)
                return
            except PortUnavailable as error:
                self._requeue(entry, self._store_outage.failed(error))
                return
            self._store_outage.over()
            entry.rollout = entry.rollout.with_status(plan.status).without_commands(plan.consumed)
        entry.plan, entry.failures = plan, 0
        if plan.status.evidence_since != before.evidence_since:
            entry.read_due = 0.0
        if not judged(entry.rollout):
            self._windows.forget(_route_key(key))
        self._inquiries.want(entry.rollout)
        self._requeue(entry, self._next_look(entry, plan, before))
        await self._tell(key, plan.events)

    def _next_look(self, entry: _Entry, plan: Plan, before: RolloutStatus) -> float | None:
        """Seconds until time alone may change the decision; None when only something new can."""
        if plan.status != before:
            return SETTLE_SECONDS
        reading = max(entry.read_due - _monotonic(), SETTLE_SECONDS) if judged(entry.rollout) else None
        return min((seconds for seconds in (plan.requeue_after, reading) if seconds is not None), default=None)

    async def _undecided(self, entry: _Entry, error: Exception) -> None:
        """Say once that deciding failed, let things stay as they are, and try again later."""
        entry.failures += 1
        self._requeue(entry, backoff(entry.failures))
        if entry.failures == 1:
            log.error("no decision about %s", entry.rollout.key, exc_info=error)
            message = f"deciding failed, the last decision stands: {type(error).__name__}: {error}"
            await self._tell(entry.rollout.key, [Event("ReconcileFailed", message, warning=True)])

    async def _act(self) -> None:
        """Bring the world closer to the plans of all."""
        fleet = compose([entry.plan for entry in self._entries.values() if entry.plan is not None])
        routes = {route.key: route for route in fleet.routes}
        before = self._router.published()
        if routes != before or not self._acted:
            try:
                await self._router.publish(fleet.routes)
            except PortUnavailable as error:
                self._later(self._router_outage.failed(error), self._wake.set)
                return
            self._router_outage.over()
            self._acted = True
            changed = [key for key in routes.keys() | before.keys() if routes.get(key) != before.get(key)]
            self._mark(RolloutKey(key.namespace, key.name) for key in changed)
        self._serve.want(fleet.targets)
        for key in [key for key, entry in self._entries.items() if entry.plan is not None and entry.plan.finished]:
            try:
                await self._store.forget(key)
            except StoreRefused as error:
                log.warning("%s cannot be let go: %s; trying again", key, error)
                self._requeue(self._entries[key], RETRY_LIMIT)
            except PortUnavailable as error:
                self._requeue(self._entries[key], self._store_outage.failed(error))
            else:
                self._drop(key)
                self._store_changed(None)  # its host is free for the next in age, and no store tells of our own writes

    async def _tell(self, key: RolloutKey, events: Sequence[Event]) -> None:
        """Log events and keep them. One that cannot be kept is in the log, and in the status's history."""
        for event in events:
            log.log(logging.WARNING if event.warning else logging.INFO, "%s %s: %s", key, event.reason, event.message)
        if events:
            try:
                await self._store.record(key, events)
            except PortUnavailable as error:
                log.warning("events of %s could not be kept: %s", key, error)

    def _requeue(self, entry: _Entry, seconds: float | None) -> None:
        """Look at a rollout again after so many seconds, and not before unless something changes."""
        _cancel(entry.timer)
        key = entry.rollout.key
        entry.timer = None if seconds is None else self._later(seconds, lambda: self._mark([key]))

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, action)


class _Nobody:
    """An observer that looks away."""

    def queued(self, depth: int) -> None:
        """Nothing."""

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
        """Nothing."""

    def dropped(self, key: RolloutKey) -> None:
        """Nothing."""


def _by_rollout(state: Mapping[TargetKey, TargetState] | None) -> Mapping[RolloutKey, Mapping[str, TargetState]] | None:
    """Ray Serve's answer, divided among the rollouts."""
    if state is None:
        return None
    divided: dict[RolloutKey, dict[str, TargetState]] = {}
    for key, seen in state.items():
        divided.setdefault(RolloutKey(key.namespace, key.name), {})[key.version] = seen
    return divided


def _route_key(key: RolloutKey) -> RouteKey:
    return RouteKey(key.namespace, key.name)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
