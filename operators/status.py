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

    `value` is the estimate (or the estimated difference from stable), `bound` what it is held against, `low` and `high`
    its confidence interval, None where there is none or an end is not known; `samples` is what it rests on: requests,
    pairs of answers, labels, rewards, values or readings. `message` is a sentence for a person. `dry_run`: it is only
    shown. `idle`: it is not judged in this step, and says what it said when it last was.
    """

    name: str
    verdict: Verdict
    value: float | None
    bound: float
    low: float | None
    high: float | None
    samples: int
    message: str
    dry_run: bool = False
    idle: bool = False

    @property
    def gates(self) -> bool:
        """Whether it has a say in what happens."""
        return not (self.dry_run or self.idle)


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
class Variant:
    """A version of an experiment beside the stable one, which is its control.

    `weight` is what it is meant to get, in basis points. `failure` says why it was taken out; it is empty while the
    variant takes part. `ready` and `starting_since` are as in a candidate.
    """

    name: str
    revision: Revision
    weight: int = 0
    ready: int = 0
    starting_since: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Samples of some number: how many, their sum, and the sum of their squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(self.count + other.count, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True, slots=True)
class Arm:
    """One version of an experiment: `control`, `candidate`, or a variant's name.

    `counted` are the samples of the goal's metric since the experiment began, `earlier` those of them from before
    `Experiment.counting_since`. `value` is their mean, `low` and `high` its interval. For a bandit, `best` is the
    probability that the version is the best, and `worth` what it would earn per request if it got all of them, which
    the mean does not say where shares follow rewards; None where nobody gives feedback.
    """

    name: str
    version: str
    weight: int = 0
    counted: Tally = Tally()
    earlier: Tally = Tally()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: float | None = None
    worth: float | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an A/B test or a bandit has found so far.

    `counting_since` is when the reading began that `Arm.earlier` does not hold yet; it changes when the operator or a
    router starts to count anew. `decided_at` is when a bandit last chose the weights. `winner` names an arm and is
    empty while there is none; `message` is a sentence.
    """

    started_at: float
    arms: tuple[Arm, ...] = ()
    counting_since: float | None = None
    decided_at: float | None = None
    winner: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Retiring:
    """A version without traffic whose replicas stay until `until` (and until no router names it any more).

    `replicas` is its size where that is not the manifest's: a candidate that leaves does not grow before it goes.
    """

    revision: Revision
    until: float
    replicas: int | None = None


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

    `step` is the index of the step in work (equal to the number of steps once all are done), None when nothing is
    rolling out; `step_started_at` belongs to it. `weight` and `shadow` are what the candidate is meant to get, in
    basis points; `selected` says whether it answers the requests that the manifest selects for it, `replicas` how
    many replicas it is meant to have where that is not the manifest's number. `strategy` tells whose steps they are:
    the steps of another strategy begin anew. `evidence_since` is when the traffic
    shares last changed (acknowledged): checks count from there. `variants` run beside the stable version,
    `experiment` compares them (or the candidate) with it; `trial` is the digest of the experiment with variants that
    runs or, when there are no variants any more, is over and does not begin again.

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
    strategy: str | None = None
    step: int | None = None
    step_started_at: float | None = None
    weight: int = 0
    shadow: int = 0
    selected: bool = False
    replicas: int | None = None
    evidence_since: float | None = None
    variants: tuple[Variant, ...] = ()
    experiment: Experiment | None = None
    trial: str = ""
    failed: str | None = None
    failure: str = ""
    awaits_promotion: bool = False
    checks: tuple[CheckResult, ...] = ()
    conditions: tuple[Condition, ...] = ()
    revisions: tuple[Revision, ...] = ()
    history: tuple[Decision, ...] = ()
