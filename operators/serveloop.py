"""Keeps Ray Serve at what the fleet wants, and knows what it runs.

One task does both in turn, so that an observation never overlaps a change: what it saw is either from before or from
after. A change can take seconds (Ray starts processes); decisions go on meanwhile and only the newest wish counts.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from operators.ports import PortUnavailable, ServePort
from serving.spec import ServeTarget, TargetKey, TargetPhase, TargetState

MOVING_PERIOD: Final = 0.3
"""Seconds between observations while a wanted version is not complete or an unwanted one not yet gone."""
RESTING_PERIOD: Final = 1.5
"""Seconds between observations otherwise: Envoy's own health checks cover the moments in between."""
GRACE: Final = 3
"""Failed attempts in a row after which Ray Serve counts as unreachable; until then the last answer stands."""
REPAIR_DELAY: Final = 3.0
"""Seconds after which a wish that Ray Serve refused or does not show is sent again; doubles up to `REPAIR_LIMIT`."""
REPAIR_LIMIT: Final = 60.0
BACKOFF_LIMIT: Final = 5.0
"""The longest pause between attempts while Ray Serve is unreachable, in seconds."""

log = logging.getLogger(__name__)


class ServeLoop:
    """Applies the newest wish and observes, forever.

    `on_change` is called with the keys whose state became another, and with None when Ray Serve was lost or came back.
    """

    def __init__(self, port: ServePort, on_change: Callable[[Sequence[TargetKey] | None], None]) -> None:
        """Nothing is known and nothing wanted yet: until `want` is called for the first time nothing is changed."""
        self._port = port
        self._on_change = on_change
        self._state: dict[TargetKey, TargetState] | None = None
        self._wanted: tuple[ServeTarget, ...] | None = None
        self._sent: tuple[ServeTarget, ...] | None = None
        self._taken = False
        self._repair_at = 0.0
        self._repair_delay = REPAIR_DELAY
        self._failures = 0
        self._news = asyncio.Event()
        self.seen = False
        """Whether Ray Serve has answered at least once."""

    @property
    def state(self) -> Mapping[TargetKey, TargetState] | None:
        """What Ray Serve runs; None before its first answer and while it is unreachable."""
        return self._state

    @property
    def settled(self) -> bool:
        """Whether there is something to decide on: an answer, or the certainty that there is none."""
        return self.seen or self._failures >= GRACE

    def want(self, targets: Sequence[ServeTarget]) -> None:
        """Make exactly these versions run, soon."""
        wanted = tuple(sorted(targets, key=lambda target: target.key))
        if wanted != self._wanted:
            self._wanted = wanted
            self._news.set()

    async def run(self) -> None:
        """Apply and observe until cancelled."""
        while True:
            try:
                await self._turn()
            except PortUnavailable as error:
                self._failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period()):
                    await self._news.wait()
            self._news.clear()

    async def _turn(self) -> None:
        wanted = self._wanted
        if self._state is not None and wanted is not None and self._must_apply(self._state, wanted):
            await self._apply(self._state, wanted)
        state = dict(await self._port.observe())
        if self._failures >= GRACE:
            log.info("Ray Serve answers again")
        self._failures = 0
        self.seen = True
        self._see(state)

    def _must_apply(self, state: Mapping[TargetKey, TargetState], wanted: tuple[ServeTarget, ...]) -> bool:
        if wanted != self._sent:
            return True
        return _monotonic() >= self._repair_at and not (self._taken and _heard(state, wanted))

    async def _apply(self, state: Mapping[TargetKey, TargetState], wanted: tuple[ServeTarget, ...]) -> None:
        # What is about to go counts as going from here on: nobody may route to it on the strength of an older look.
        keys = {target.key for target in wanted}
        self._see({key: seen if key in keys else _going(seen) for key, seen in state.items()})
        again, self._sent = wanted == self._sent, wanted
        self._repair_delay = min(2 * self._repair_delay, REPAIR_LIMIT) if again else REPAIR_DELAY
        try:
            await self._port.apply(wanted)
        except PortUnavailable as error:
            if self._taken or not again:
                log.warning("Ray Serve did not take the new versions: %s; trying again", error)
            self._taken = False
        else:
            self._taken = True
        self._repair_at = _monotonic() + self._repair_delay

    def _see(self, state: dict[TargetKey, TargetState]) -> None:
        before, self._state = self._state, state
        if before is None:
            self._on_change(None)
        elif before != state:
            self._on_change([key for key in before.keys() | state.keys() if before.get(key) != state.get(key)])

    def _failed(self, error: PortUnavailable) -> None:
        self._failures += 1
        if self._failures == GRACE:
            log.warning("Ray Serve cannot be reached: %s; traffic stays as it is, rollouts wait", error)
            self._state = None
            self._on_change(None)

    def _period(self) -> float:
        if self._failures:
            return float(min(MOVING_PERIOD * 2 ** min(self._failures, 8), BACKOFF_LIMIT))
        if self._wanted is not None and _moving(self._state or {}, self._wanted):
            return MOVING_PERIOD
        return RESTING_PERIOD


def _going(seen: TargetState) -> TargetState:
    return TargetState(TargetPhase.STOPPING) if seen.phase in (TargetPhase.STARTING, TargetPhase.RUNNING) else seen


def _heard(state: Mapping[TargetKey, TargetState], wanted: Sequence[ServeTarget]) -> bool:
    """Whether Ray Serve has heard the wish: every wanted version is there in some phase, every other one is going."""
    keys = {target.key for target in wanted}
    present = {key for key, seen in state.items() if seen.phase not in (TargetPhase.MISSING, TargetPhase.STOPPING)}
    return keys == present


def _moving(state: Mapping[TargetKey, TargetState], wanted: Sequence[ServeTarget]) -> bool:
    """Whether Ray Serve is still on its way to the wish. A version that failed is at rest."""
    complete = {
        target.key
        for target in wanted
        if (seen := state.get(target.key)) is not None
        and (seen.phase is TargetPhase.FAILED or len(seen.replicas) >= target.replicas)
    }
    return complete != {target.key for target in wanted} or complete != {
        key for key, seen in state.items() if seen.phase is not TargetPhase.MISSING
    }


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
