"""What the operator sees of the world when it decides about one rollout: pure values, nothing is looked up here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.evidence import Evidence
from operators.status import Tally
from router.ir import Route, TrafficCounters
from serving.spec import TargetState


@dataclass(frozen=True, slots=True)
class RouteObservation:
    """The route that was published last, and what every live router says about it."""

    published: Route | None = None
    acknowledged: bool = False
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class VersionTraffic:
    """What one version answered since `RolloutStatus.evidence_since`: live requests, and mirrored ones."""

    live: TrafficCounters = field(default_factory=TrafficCounters)
    mirrored: TrafficCounters = field(default_factory=TrafficCounters)


@dataclass(frozen=True, slots=True)
class VersionFeedback:
    """What people said about one version's live answers since its experiment began.

    `rewards` as they were given, `labels` with 1 for every answer that agreed with its label and 0 for the others.
    `worth` is the reward per request that the version would get if it answered all of them, None when that is unknown.
    """

    rewards: Tally = field(default_factory=Tally)
    labels: Tally = field(default_factory=Tally)
    worth: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What somebody outside (Prometheus, a web address) said for one check since `RolloutStatus.evidence_since`.

    `values` are the readings, oldest first; `problem` says why the last attempt brought none, empty when it did.
    """

    values: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """The world at `now` (seconds since the epoch).

    `serve` maps version ids to what Ray Serve says, None when Ray cannot be reached. `traffic` maps version ids to
    the evidence since `RolloutStatus.evidence_since`, None when there is none to be had: no reading, or a stale one.
    `counting_since` is when its first reading was taken; what was counted before that is lost, as after a restart.
    `feedback` maps version ids to what people said since `Experiment.started_at`, None when the monitor cannot be
    reached or nobody needs it. `evidence` is what the monitor knows of the answers since `evidence_since`, None when it
    cannot be asked, or not yet, or no check needs it; `measured` has what others say, by the names of checks.
    `conflict` says which older rollout owns this one's host and model name.
    """

    now: float
    serve: Mapping[str, TargetState] | None
    route: RouteObservation
    traffic: Mapping[str, VersionTraffic] | None = None
    counting_since: float | None = None
    feedback: Mapping[str, VersionFeedback] | None = None
    evidence: Evidence | None = None
    measured: Mapping[str, Measured] = field(default_factory=dict)
    conflict: str | None = None
