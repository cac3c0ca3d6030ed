"""What came of a simulated rollout."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from operators.simulate.world import NOTHING, World
from operators.status import Phase, Verdict
from router.ir import BackendKey, TrafficCounters


class Outcome(Enum):
    """How a rollout ended, as far as it was simulated."""

    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    HELD = "Held"


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the rollout stands from a time on, and what was decided or happened then.

    `at` is in seconds since the manifest was applied. `weight` and `shadow` are what the candidate is meant to get,
    `weights` what the routers give to each version, all in basis points. `step` counts from 1 (one more than there are
    when all are done) and is None when nothing is rolling out or the candidate is not ready.
    """

    at: float
    phase: Phase
    step: int | None
    weight: int
    shadow: int
    weights: tuple[tuple[str, int], ...]
    checks: tuple[tuple[str, Verdict], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionTotals:
    """What a version answered: requests of users and errors among them, copies and errors among those."""

    version: str
    requests: int
    errors: int
    copies: int
    failed_copies: int


@dataclass(frozen=True, slots=True)
class Result:
    """The whole story. `at` is when the outcome was decided, `end` when nothing could happen any more (or time was up).

    `unanswered` requests reached no version; they were answered 503.
    """

    name: str
    seed: int
    outcome: Outcome
    at: float
    end: float
    message: str
    stable: str
    candidate: str
    moments: tuple[Moment, ...]
    totals: tuple[VersionTotals, ...]
    unanswered: int

    @property
    def requests(self) -> int:
        """All requests of users."""
        return self.unanswered + sum(version.requests for version in self.totals)

    @property
    def errors(self) -> int:
        """Those that were answered with a status of 500 or above."""
        return self.unanswered + sum(version.errors for version in self.totals)


def moment(world: World, notes: Sequence[str]) -> Moment:
    """Where a world stands."""
    status = world.rollout.status
    judged = status.candidate is not None or bool(status.failure)
    backends = world.in_force.backends if world.in_force is not None else ()
    return Moment(
        at=round(world.now, 3),
        phase=status.phase,
        step=None if status.step is None else status.step + 1,
        weight=status.weight,
        shadow=status.shadow,
        weights=tuple((backend.version, backend.weight) for backend in backends),
        checks=tuple((check.name, check.verdict) for check in status.checks) if judged else (),
        notes=tuple(notes),
    )


def totals(world: World) -> tuple[VersionTotals, ...]:
    """What each version answered."""

    def counted(version: str, mirrored: bool) -> TrafficCounters:
        return world.counters.get(BackendKey(world.key, version, mirrored), NOTHING)

    found = ((version, counted(version, False), counted(version, True)) for version in world.versions)
    return tuple(
        VersionTotals(version, live.requests, live.errors, copies.requests, copies.errors)
        for version, live, copies in found
    )
