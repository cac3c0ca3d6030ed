"""What a rollout remembers: the status of a `ModelRollout`, as frozen values.

All that the operator must know to go on after a restart is here; `operators.api` turns it into camelCase JSON and back.
Times are seconds since the epoch (UTC).
"""

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where a rollout stands, in one word."""

    PENDING = "Pending"
    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"


class Verdict(Enum):
    """What the evidence says about a check. Too little, stale or missing evidence is `INCONCLUSIVE`."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True)
class Condition:
    """A Kubernetes condition. `since` is when `status` last changed."""

    type: str
    status: bool | None
    reason: str
    message: str
    since: float


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict, with what it was decided on.

    `value` is the estimate, `bound` what it is held against, `low` and `high` the confidence interval of the value (or
    of the difference from stable), `samples` the candidate's requests it rests on, `message` a sentence for a person.
    """

    name: str
    verdict: Verdict
    value: float | None
    bound: float
    low: float | None
    high: float | None
    samples: int
    message: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A version that exists or existed: what must run to bring it back.

    `model` and `serving` are the canonical JSON text of the blocks it was made from. `promoted_at` is when it became
    stable, None while it never was.
    """

    id: str
    model: str
    serving: str
    promoted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version that is on its way. `ready` counts replicas that answer.

    `starting_since` is since when Ray Serve starts it without a pause of any kind: the progress deadline counts from
    there. None while it is ready, paused, or unknown to Ray Serve.
    """

    revision: Revision
    started_at: float
    ready: int = 0
    starting_since: float | None = None


@dataclass(frozen=True, slots=True)
class Retiring:
    """A version without traffic whose replicas stay until `until` (and until no router names it any more)."""

    revision: Revision
    until: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of a rollout's history: what was decided, when, about which version, and why."""

    at: float
    reason: str
    message: str
    version: str


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """The memory of one rollout.

    `step` is the index of the canary step in work (equal to the number of steps once all are done), None when nothing
    is rolling out; `step_started_at` belongs to it. `weight` and `shadow` are what the candidate is meant to get, in
    basis points. `evidence_since` is when the traffic shares last changed (acknowledged): checks count from there.
    `failed` is the id of the version that was aborted and is not tried again, `failure` the sentence that says why;
    it is empty when a person took the version back with `undo`. `awaits_promotion`: the step's time was over while a
    check was inconclusive, and the rollout waits for a person. `revisions` are stable versions, newest first (the
    stable one itself is the first), kept for `undo`; `history` has its newest line last.
    """

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    message: str = ""
    stable: Revision | None = None
    stable_ready: int = 0
    candidate: Candidate | None = None
    retiring: tuple[Retiring, ...] = ()
    step: int | None = None
    step_started_at: float | None = None
    weight: int = 0
    shadow: int = 0
    evidence_since: float | None = None
    failed: str | None = None
    failure: str = ""
    awaits_promotion: bool = False
    checks: tuple[CheckResult, ...] = ()
    conditions: tuple[Condition, ...] = ()
    revisions: tuple[Revision, ...] = ()
    history: tuple[Decision, ...] = ()
