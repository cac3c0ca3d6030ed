"""What came of a simulated rollout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from operators.simulate.answers import NOTHING
from operators.simulate.world import World
from operators.status import Arm, Phase, Verdict
from router.ir import BackendKey, TrafficCounters


class Outcome(Enum):
    """How a rollout ended, as far as it was simulated. Kept: an experiment is over, and its control stays stable."""

    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    KEPT = "Kept"
    HELD = "Held"


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the rollout stands from a time on, and what was decided or happened then.

    `at` is in seconds since the manifest was applied. `weight` and `shadow` are what the candidate is meant to get,
    `weights` what the routers give to each version, all in basis points; `selected` is the version that answers the
    requests that the manifest selects, if any. `step` counts from 1 (one more than there are when all are done) and is
    None when nothing is rolling out or the candidate is not ready. `arms` are an experiment's, once there is one.
    """

    at: float
    phase: Phase
    step: int | None
    weight: int
    shadow: int
    weights: tuple[tuple[str, int], ...]
    selected: str | None
    checks: tuple[tuple[str, Verdict], ...]
    arms: tuple[Arm, ...]
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

    Beside variants `candidate` is the control. `variants` are names and versions, `arms` what the last experiment had
    found in the end. `unanswered` requests reached no version; they were answered 503. `taken_as_good` names checks on
    what is not simulated.
    """

    name: str
    seed: int
    outcome: Outcome
    at: float
    end: float
    message: str
    stable: str
    candidate: str
    variants: tuple[tuple[str, str], ...]
    moments: tuple[Moment, ...]
    arms: tuple[Arm, ...]
    totals: tuple[VersionTotals, ...]
    unanswered: int
    taken_as_good: tuple[str, ...] = ()

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
    route = world.in_force
    judged = status.candidate is not None or bool(status.variants) or bool(status.failure)
    return Moment(
        at=round(world.now, 3),
        phase=status.phase,
        step=None if status.step is None else status.step + 1,
        weight=status.weight,
        shadow=status.shadow,
        weights=tuple((backend.version, backend.weight) for backend in route.backends) if route is not None else (),
        selected=route.selection.version if route is not None and route.selection is not None else None,
        checks=tuple((check.name, check.verdict) for check in status.checks if check.gates) if judged else (),
        arms=status.experiment.arms if status.experiment is not None else (),
        notes=tuple(notes),
    )


def news(before: Moment, after: Moment) -> bool:
    """Whether there is more in a later moment than a few samples: a tenth more of some arm are something new."""
    if after.notes or replace(after, at=before.at, notes=before.notes, arms=before.arms) != before:
        return True
    known = {arm.name: arm.counted.count for arm in before.arms}
    return any(arm.counted.count > 1.1 * known.get(arm.name, 0) for arm in after.arms)


def totals(world: World) -> tuple[VersionTotals, ...]:
    """What each version answered."""

    def counted(version: str, mirrored: bool) -> TrafficCounters:
        return world.counters.get(BackendKey(world.key, version, mirrored), NOTHING)

    found = ((version, counted(version, False), counted(version, True)) for version in world.versions)
    return tuple(
        VersionTotals(version, live.requests, live.errors, copies.requests, copies.errors)
        for version, live, copies in found
    )
