"""A tiny world for the pure core: one rollout, a Ray Serve and routers that do what plans say, and a clock that is set.

The operator in it forgets everything but the status, which goes through JSON after every decision. Every decision is
checked against what must hold in every world (`_check`).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from monitor.evidence import Evidence
from operators.api import ModelRollout, full_size, parse_manifest, revision_of, status_from_json, status_to_json
from operators.observe import Measured, Observed, RouteObservation, VersionFeedback, VersionTraffic
from operators.plan import Event, Plan
from operators.reconcile import reconcile
from operators.status import RolloutStatus
from operators.strategies import strategy_for
from router.ir import BASIS_POINTS, Route, TrafficCounters
from serving.spec import ReplicaAddress, TargetPhase, TargetState

EPOCH = 1_800_000_000.0
LATENCY_BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0)


def model(number: int) -> dict[str, Any]:
    """The model block of a version."""
    return {"uri": f"file:///models/{number}", "runtime": "sklearn"}


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    """A canary strategy."""
    return {"canary": {"steps": list(steps)}}


ERRORS = {"name": "errors", "metric": "error-rate", "max": 0.05}


def counters(requests: int, errors: int = 0, milliseconds: float = 3.0) -> TrafficCounters:
    """Requests of which some failed and all took equally long."""
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    counts[sum(bound < milliseconds for bound in LATENCY_BOUNDS)] = requests
    return TrafficCounters(requests, errors, LATENCY_BOUNDS, tuple(counts))


@dataclass
class World:
    """Everything outside the operator, and the status that it stored."""

    spec: dict[str, Any]
    now: float = EPOCH
    annotations: dict[str, str] = field(default_factory=dict)
    deleted_at: float | None = None
    generation: int = 1
    stored: dict[str, Any] = field(default_factory=dict)
    conflict: str | None = None
    # Ray Serve: versions that it runs; those of `stuck` never get ready, those of `broken` fail to load.
    reachable: bool = True
    serve: dict[str, TargetState] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    # Routers: what was sent last, what they run, whether they answer, what they refuse.
    published: Route | None = None
    started: bool = True
    in_force: Route | None = None
    lagging: bool = False
    refuses: str | None = None
    # Evidence since the shares changed last.
    traffic: dict[str, VersionTraffic] | None = field(default_factory=dict)
    counting_since: float = EPOCH
    feedback: dict[str, VersionFeedback] | None = None
    evidence: Evidence | None = None
    measured: dict[str, Measured] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    plan: Plan | None = None
    decided: int = 0
    """The generation of the spec that the last plan is about."""
    events: list[Event] = field(default_factory=list)
    writes: int = 0
    _ports: "count[int]" = field(default_factory=lambda: count(9000))

    # What tests read.

    @property
    def rollout(self) -> ModelRollout:
        """The rollout as the store gives it."""
        metadata: dict[str, Any] = {
            "name": "iris",
            "generation": self.generation,
            "creationTimestamp": EPOCH,
            "annotations": dict(self.annotations),
        }
        if self.deleted_at is not None:
            metadata["deletionTimestamp"] = self.deleted_at
        document = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ModelRollout", "metadata": metadata}
        return parse_manifest({**document, "spec": self.spec, "status": self.stored})

    @property
    def status(self) -> RolloutStatus:
        """The stored status."""
        return status_from_json(self.stored)

    def id(self, number: int) -> str:
        """The id of the version with this model, under the rest of today's spec."""
        return revision_of(self.rollout.model_copy(update={"spec": self._spec_with(number)})).id

    def weight(self, number: int) -> int:
        """Basis points of the live requests that the version gets from the routers."""
        return self.weights.get(self.id(number), 0)

    @property
    def weights(self) -> dict[str, int]:
        """What the routers do, by version id."""
        return {backend.version: backend.weight for backend in self.in_force.backends} if self.in_force else {}

    @property
    def shadow(self) -> int:
        """Basis points that the routers mirror."""
        return self.in_force.mirror.share if self.in_force and self.in_force.mirror else 0

    @property
    def selected(self) -> str | None:
        """The version that answers the requests that the manifest selects."""
        return self.in_force.selection.version if self.in_force and self.in_force.selection else None

    @property
    def sizes_wanted(self) -> dict[str, int]:
        """How many replicas Ray Serve was told to run, by version id."""
        return {target.key.version: target.replicas for target in self.plan.targets} if self.plan else {}

    @property
    def running(self) -> set[str]:
        """The versions that Ray Serve was told to run."""
        return {target.key.version for target in self.plan.targets} if self.plan else set()

    def condition(self, kind: str) -> tuple[bool | None, str, str]:
        """Status, reason and message of a condition."""
        return next((one.status, one.reason, one.message) for one in self.status.conditions if one.type == kind)

    def reasons(self) -> list[str]:
        """The reasons of the history."""
        return [line.reason for line in self.status.history]

    # What tests do.

    def apply(self, **fields: Any) -> None:
        """Change the spec."""
        self.spec = deepcopy(self.spec) | fields
        self.generation += 1

    def say(self, command: str, value: str = "") -> None:
        """Annotate the rollout with a command."""
        self.annotations[f"tidegate.dev/{command}"] = value

    def replicas(self, number: int, ready: int) -> None:
        """Let a running version have so many ready replicas, all of them new."""
        state = self.serve[self.id(number)]
        self.serve[self.id(number)] = replace(state, replicas=self._replicas(ready))

    def saw(self, number: int, live: TrafficCounters | None = None, mirrored: TrafficCounters | None = None) -> None:
        """Let a version have answered requests since the shares changed."""
        assert self.traffic is not None
        self.traffic[self.id(number)] = VersionTraffic(live or TrafficCounters(), mirrored or TrafficCounters())

    def recount(self) -> None:
        """Let the counters begin anew, as after a restart of the operator or of a router."""
        self.traffic, self.counting_since = {}, max(self.now, self.counting_since + 0.001)

    def restart(self) -> None:
        """Restart the operator: it knows nothing but what is stored. The routers go on with what they have."""
        self.published = None
        self.started = False

    def settle(self, seconds: float = 0.0) -> "World":
        """Let time pass, then decide and carry out until nothing changes."""
        self.now += seconds
        for _ in range(60):
            before = self._state()
            self.turn()
            if self._state() == before:
                return self
        raise AssertionError(f"no rest after 60 turns: {self.status.message}")

    def lag_once(self, reached: Callable[[], bool]) -> None:
        """Decide and carry out until `reached`; the routers have not heard of that last decision, nor of any later."""
        self.lagging = True
        for _ in range(60):
            self.turn()
            if reached():
                return
            self.in_force = self.published
        raise AssertionError(f"not reached in 60 turns: {self.status.message}")

    def turn(self) -> Plan:
        """One decision, carried out as far as the world lets it."""
        rollout = self.rollout
        plan = reconcile(rollout, self.observed())
        self._check(rollout, plan)
        self.decided = self.generation
        before, self.stored = self.stored, status_to_json(plan.status)
        self.writes += self.stored != before
        assert status_from_json(self.stored) == plan.status
        for command in plan.consumed:
            del self.annotations[f"tidegate.dev/{command.value}"]
        self.events += plan.events
        self.plan = plan
        if plan.status.evidence_since != rollout.status.evidence_since and self.traffic is not None:
            self.recount()
        if plan.status.evidence_since != rollout.status.evidence_since:
            self.evidence, self.measured = None, {}
        self.started = True
        self.published = plan.route
        if not self.lagging and self.refuses is None:
            self.in_force = self.published
        if self.reachable:
            self._run(plan)
        return plan

    def observed(self) -> Observed:
        """What the operator sees."""
        return Observed(
            now=self.now,
            serve=dict(self.serve) if self.reachable else None,
            route=RouteObservation(
                published=self.published,
                acknowledged=self.started and self.in_force == self.published,
                rejected=self.refuses if self.in_force != self.published else None,
            ),
            traffic=None if self.traffic is None else dict(self.traffic),
            counting_since=None if self.traffic is None else self.counting_since,
            feedback=self.feedback,
            evidence=self.evidence,
            measured=dict(self.measured),
            conflict=self.conflict,
        )

    # How the world works.

    def _run(self, plan: Plan) -> None:
        wanted = {target.key.version: target for target in plan.targets}
        self.serve = {version: state for version, state in self.serve.items() if version in wanted}
        for version, target in wanted.items():
            state = self.serve.get(version)
            if state is None:
                self.serve[version] = TargetState(TargetPhase.STARTING, message="Ray is starting it")
            elif version in self.broken:
                self.serve[version] = TargetState(TargetPhase.FAILED, message=self.broken[version])
            elif state.phase is TargetPhase.STARTING and version not in self.stuck:
                self.serve[version] = TargetState(TargetPhase.RUNNING, self._replicas(target.replicas))
            elif state.phase is TargetPhase.RUNNING and self.sizes.get(version) != target.replicas:
                more = self._replicas(max(target.replicas - len(state.replicas), 0))
                most = target.replicas if target.autoscaling is None else target.autoscaling.max_replicas
                kept = (*state.replicas, *more)[:most]
                self.serve[version] = replace(state, replicas=kept)
        self.sizes = {version: target.replicas for version, target in wanted.items()}

    def _state(self) -> object:
        commands = tuple(self.annotations)
        return (self.stored, self.started, self.published, self.in_force, dict(self.serve), commands)

    def _replicas(self, number: int) -> tuple[ReplicaAddress, ...]:
        ports = [next(self._ports) for _ in range(number)]
        return tuple(ReplicaAddress("127.0.0.1", port, f"replica-{port}") for port in ports)

    def _spec_with(self, number: int) -> Any:
        spec = self.rollout.spec
        return spec.model_copy(update={"model": spec.model.model_copy(update={"uri": model(number)["uri"]})})

    def _check(self, rollout: ModelRollout, plan: Plan) -> None:
        """What must hold of every decision in every world."""
        targets = {target.key.version for target in plan.targets}
        assert len(targets) == len(plan.targets)
        for route in (self.in_force, plan.route):
            missing = {backend.version for backend in route.backends} - targets if route is not None else set()
            assert not missing, f"{missing} is named by a route but not kept running"
        if plan.route is not None:
            assert sum(backend.weight for backend in plan.route.backends) in (0, BASIS_POINTS)
            for backend in plan.route.backends:
                assert backend.weight == 0 or backend.endpoints, f"{backend.version} has weight without endpoints"
            self._check_who_is_known(plan.route, plan.status)
            _check_strategy(rollout, plan.route, plan.status)
        self._check_sizes(rollout, plan)
        assert plan.requeue_after is None or plan.requeue_after >= 0

    def _check_who_is_known(self, route: Route, status: RolloutStatus) -> None:
        """A version gets requests of any kind only once every router knew endpoints of it.

        The stable one is what there is when nothing else is. What routers know that have just been asked for the first
        time, or run no route at all, is not known.
        """
        if self.published is None or self.in_force is None or not self.started:
            return
        served = {backend.version for backend in route.backends if backend.weight > 0}
        served |= {beside.version for beside in (route.mirror, route.selection) if beside is not None}
        known = {backend.version for backend in self.in_force.backends if backend.endpoints}
        stable = {status.stable.id} if status.stable is not None else set()
        assert served <= known | stable, f"{served - known - stable} gets requests before every router knew it"

    def _check_sizes(self, rollout: ModelRollout, plan: Plan) -> None:
        """Stable is whole, what gets everything is whole, and a running version changes in nothing but its size."""
        status, serving = plan.status, rollout.spec.serving
        now = {target.key.version: target for target in plan.targets}
        before = {target.key.version: target for target in self.plan.targets} if self.plan is not None else {}
        for version in now.keys() & before.keys():
            one, other = (replace(target[version], replicas=0, autoscaling=None) for target in (now, before))
            assert one == other, f"{version} is restarted"
        if status.stable is not None and status.stable.id in now:
            taking_part = status.candidate is not None or any(not variant.failure for variant in status.variants)
            size = full_size(serving, status.stable_ready) if taking_part else serving.least
            assert now[status.stable.id].replicas == size, "stable is not in its full size"
        if status.candidate is not None and status.weight == BASIS_POINTS:
            full = full_size(serving, status.stable_ready)
            assert now[status.candidate.revision.id].replicas == full, "everything for a version that is not whole"
        promoted = status.stable is not None and _stable_id(self.plan) not in (None, status.stable.id)
        if promoted and status.stable is not None and self.plan is not None and self.decided == self.generation:
            size = serving.least if serving.autoscaling is not None else before[status.stable.id].replicas
            kept = replace(before[status.stable.id], replicas=size)
            assert now[status.stable.id] == kept, "promotion changes what runs"


def _check_strategy(rollout: ModelRollout, route: Route, status: RolloutStatus) -> None:
    """A shadow never gets a live request before its promotion, blue-green gives all of them or none."""
    if status.candidate is None or status.stable is None:
        return
    weight = {backend.version: backend.weight for backend in route.backends}[status.candidate.revision.id]
    if status.strategy == "shadow":
        promoted = status.step is not None and status.step >= strategy_for(rollout).count
        assert weight == 0 or promoted, "a live request for a shadow"
    if status.strategy in ("shadow", "blueGreen"):
        assert weight in (0, BASIS_POINTS), "a part of the live requests for what gets all or none"


def _stable_id(plan: Plan | None) -> str | None:
    return plan.status.stable.id if plan is not None and plan.status.stable is not None else None


def live(number: int = 1, **spec: Any) -> World:
    """A world in which version `number` is stable."""
    return World({"model": model(number), **spec}).settle()
