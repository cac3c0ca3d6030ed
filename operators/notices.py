"""Tells the monitor what happened to rollouts, so that people hear of it.

A rollout's stored history is the outbox: each of its lines is posted until the monitor has taken it, with a key that
follows from the line, so that one that is posted again, be it after a restart, is the same event. A phase has no line:
the phase that the monitor heard of last is compared with the one that holds, and the difference is told. Nothing here
holds the controller up, and no more is kept than the newest status of each rollout.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Final

from monitor.client import MonitorClient, MonitorUnavailable
from monitor.event import Event
from operators.api import ModelRollout, RolloutKey
from operators.outage import backoff
from operators.plan import Plan
from operators.ports import Observer
from operators.status import Decision, Phase, RolloutStatus

AT_ONCE: Final = 200
"""Events in one post."""
MOST_GONE: Final = 1_000
"""Deleted rollouts of which something may still have to be told."""
SEARCHED: Final = 100
"""Newest events among which the phase that the monitor heard of last is looked for."""
YOUNG: Final = 86_400.0
"""Seconds for which a rollout of whose phase the monitor has never heard counts as new: then everything since `Pending`
is news. Of older ones the monitor may have forgotten it, or it was not there yet."""
WARNINGS: Final = frozenset({"Aborted", "CommandRefused", "TakenOut"})
"""Reasons in a history that are warnings; the lines themselves do not say so."""
_PHASES: Final = frozenset(phase.value for phase in Phase)

log = logging.getLogger(__name__)


class Notices:
    """Posts what it observes while `run` runs. Implements `operators.ports.Observer`."""

    def __init__(self, client: MonitorClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._rollouts: dict[str, _Rollout] = {}
        self._news = asyncio.Event()

    def queued(self, depth: int) -> None:
        """See `Observer`."""

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:  # noqa: ARG002 - of `Observer`
        """See `Observer`."""
        if plan is None:
            return
        uid = rollout.metadata.uid
        known = self._rollouts.get(uid)
        if known is None:
            known = self._rollouts[uid] = _Rollout(rollout, self._clock())
        if known.see(plan.status, self._clock()):
            self._news.set()

    def dropped(self, key: RolloutKey) -> None:
        """See `Observer`. What the monitor has not taken yet is still told."""
        for one in self._rollouts.values():
            one.gone = one.gone or one.key == key
        self._news.set()

    async def run(self) -> None:
        """Post until cancelled."""
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while await self._post():
                    pass
            except MonitorUnavailable as error:
                failures += 1
                if failures == 1:
                    log.warning("the monitor does not hear of rollouts: %s; it is told later", error)
                self._news.set()
                await asyncio.sleep(backoff(failures))
            else:
                if failures:
                    log.info("the monitor hears of rollouts again")
                failures = 0
            self._forget()

    async def _post(self) -> bool:
        """Post some of what the monitor has not taken; whether there was any. Raises `MonitorUnavailable`."""
        for one in tuple(self._rollouts.values()):
            if one.told_phase is None:
                one.told_phase = await self._last_phase(one)
        batch = list(islice(((one, event) for one in self._rollouts.values() for event in one.untold()), AT_ONCE))
        if not batch:
            return False
        try:
            await self._client.post_events([event for _, event in batch])
        except MonitorUnavailable:
            for one, _ in batch:
                one.told_phase = None  # the monitor may have taken it all the same
            raise
        for one, event in batch:
            one.took(event)
        return True

    async def _last_phase(self, one: "_Rollout") -> Phase:
        """The phase of a rollout that the monitor heard of last; the one that it began with, if it heard of none."""
        for event in await self._client.events(one.key.namespace, one.key.name, "rollout", SEARCHED):
            if event.details.get("uid") == one.uid and event.details.get("phase") in _PHASES:
                return Phase(event.details["phase"])
        return one.first

    def _forget(self) -> None:
        gone = [one for one in self._rollouts.values() if one.gone]
        kept = [one for one in gone if any(one.untold())]
        for one in gone:
            if one not in kept[-MOST_GONE:]:
                del self._rollouts[one.uid]


class _Rollout:
    """The newest status of one rollout, and what of it the monitor has taken."""

    def __init__(self, rollout: ModelRollout, now: float) -> None:
        metadata, status = rollout.metadata, rollout.status
        self.uid = metadata.uid
        self.key = rollout.key
        self.first = Phase.PENDING if now - metadata.creation_timestamp < YOUNG else status.phase
        self.told_phase: Phase | None = None
        """None: nobody knows; the monitor has to be asked."""
        self.gone = False
        self._status = status
        self._since = now
        self._told: frozenset[str] = frozenset()

    def see(self, status: RolloutStatus, now: float) -> bool:
        """Take over a status; whether there is something to tell."""
        if status.phase is not self._status.phase:
            self._since = now
        self._status = status
        return self.told_phase is not status.phase or any(self.untold())

    def untold(self) -> Iterator[Event]:
        """What the monitor has not taken, oldest first."""
        for line in self._status.history:
            event = self._of_line(line)
            if event.key not in self._told:
                yield event
        if self.told_phase not in (None, self._status.phase):
            yield self._of_phase(self.told_phase)

    def took(self, event: Event) -> None:
        """Note that the monitor has an event."""
        if "phase" in event.details:
            self.told_phase = Phase(event.details["phase"])
        else:
            still = {self._key_of(line) for line in self._status.history}
            self._told = (self._told | {event.key}) & (still | {event.key})

    def _of_line(self, line: Decision) -> Event:
        return Event(
            key=self._key_of(line),
            namespace=self.key.namespace,
            model=self.key.name,
            kind="rollout",
            severity="warning" if line.reason in WARNINGS else "info",
            at=line.at,
            title=f"{line.reason}: {line.version}",
            message=line.message,
            details={"uid": self.uid, "reason": line.reason, "version": line.version},
        )

    def _of_phase(self, before: Phase) -> Event:
        status = self._status
        now = status.phase
        version = status.candidate.revision.id if status.candidate else status.stable.id if status.stable else ""
        return Event(
            key=self._digest("phase", now.value, round(self._since * 1_000)),
            namespace=self.key.namespace,
            model=self.key.name,
            kind="rollout",
            severity="warning" if now is Phase.DEGRADED else "info",
            at=self._since,
            title=f"{before.value} → {now.value}",
            message=status.message,
            details={"uid": self.uid, "before": before.value, "phase": now.value, "version": version},
        )

    def _key_of(self, line: Decision) -> str:
        return self._digest("line", round(line.at * 1_000), line.reason, line.version, line.message)

    def _digest(self, *parts: object) -> str:
        return f"rollout/{sha256(repr((self.uid, *parts)).encode(errors='replace')).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class Observers:
    """Several observers as one."""

    every: tuple[Observer, ...] = field(default=())

    def queued(self, depth: int) -> None:
        """See `Observer`."""
        for one in self.every:
            one.queued(depth)

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
        """See `Observer`."""
        for one in self.every:
            one.decided(rollout, plan, seconds)

    def dropped(self, key: RolloutKey) -> None:
        """See `Observer`."""
        for one in self.every:
            one.dropped(key)
