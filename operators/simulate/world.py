"""Ray Serve, the routers, the requests and the people, as frozen values.

A world changes in three ways, each of which gives another world: time passes (`passed`), something happens that the
scenario describes (`after`), and the operator's decision is carried out (`carried_out`). Times are seconds since the
manifest was applied. What is left out: a change is seen at once (the real controller looks at Ray Serve every 0.3 s),
copies are never shed, and requests are counted when they come, not when they are answered.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from random import Random
from typing import Final

from operators.api import ModelRollout, revision_of
from operators.observe import RouteObservation
from operators.plan import Command, Plan
from operators.simulate.draws import binomial, poisson
from operators.simulate.scenario import Happening, Scenario, Version
from router.ir import BASIS_POINTS, BackendKey, Route, RouteKey, TrafficCounters
from serving.spec import ReplicaAddress, ServeTarget, TargetPhase, TargetState

NOTHING: Final = TrafficCounters()
_PORT: Final = 9000


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the operator, at `now`.

    `versions` says how versions behave, by id. `bounds` are those of all latency histograms. `wanted` is what Ray Serve
    was asked to run last, `ready_at` when the replicas of what it runs answer. `published` is the route that was given
    to the routers last, `in_force` the one that they run. `counters` are the routers', `unanswered` the requests that
    no version got.
    """

    scenario: Scenario
    versions: Mapping[str, Version]
    bounds: tuple[float, ...]
    rollout: ModelRollout
    now: float = 0.0
    wanted: tuple[ServeTarget, ...] = ()
    ready_at: Mapping[str, float] = field(default_factory=dict)
    published: Route | None = None
    published_at: float = -inf
    in_force: Route | None = None
    counters: Mapping[BackendKey, TrafficCounters] = field(default_factory=dict)
    unanswered: int = 0

    @property
    def key(self) -> RouteKey:
        """The name of the rollout's route."""
        return RouteKey(self.rollout.metadata.namespace, self.rollout.metadata.name)

    # What the operator sees.

    @property
    def serve(self) -> Mapping[str, TargetState] | None:
        """What Ray Serve says, by version; None while it cannot be reached."""
        if not self.scenario.ray_reachable(self.now):
            return None
        return {target.key.version: self._state(target) for target in self.wanted if self._runs(target.key.version)}

    @property
    def route(self) -> RouteObservation:
        """What the routers say."""
        return RouteObservation(self.published, acknowledged=self.in_force == self.published)

    @property
    def next_change(self) -> float:
        """When something changes by itself; infinity when nothing will."""
        moments = self.scenario.moments
        after = bisect_right(moments, self.now)
        coming = [at for at in (*moments[after : after + 1], *self.ready_at.values()) if at > self.now]
        if self.in_force != self.published:
            coming.append(self.scenario.acknowledged_at(self.published_at))
        return min(coming, default=inf)

    # What happens.

    def passed(self, until: float, dice: Random) -> "World":
        """The world at a time not after `next_change`: requests came, and what became ready is."""
        requests = poisson(dice, self.scenario.rate(self.now) * (until - self.now))
        counters, answered = dict(self.counters), 0
        for backend, number in self._divided(requests, dice):
            gained = self._answered(backend.version, number, dice)
            counters[backend] = _sum(counters.get(backend, NOTHING), gained)
            answered += 0 if backend.mirrored else number
        unanswered = self.unanswered + requests - answered
        later = replace(self, now=until, counters=counters, unanswered=unanswered)
        acknowledged = until >= self.scenario.acknowledged_at(self.published_at)
        return replace(later, in_force=self.published if acknowledged else self.in_force)._deployed()

    def after(self, event: Happening) -> "World":
        """The world after something happened to it. What lasts a while is looked up in the scenario."""
        if event.command is not None:
            return self._told(*event.command.split())
        if event.replicas_lost is not None:
            return self._without_replicas(event.replicas_lost)
        if event.apply is not None:
            return self.applied(event.apply, event.behaves)
        return self

    def applied(self, manifest: ModelRollout, behaves: Version | None = None) -> "World":
        """The world after somebody applied a manifest; its version is healthy if it is new and nothing is said."""
        before, version = self.rollout, revision_of(manifest).id
        known = self.versions.get(version, Version())
        metadata = manifest.metadata.model_copy(
            update={
                "generation": before.metadata.generation + 1,
                "annotations": {
                    **{command.annotation: value for command, value in before.commands.items()},
                    **manifest.metadata.annotations,
                },
            }
        )
        rollout = manifest.with_status(before.status).model_copy(update={"metadata": metadata})
        return replace(self, rollout=rollout, versions={**self.versions, version: behaves or known})

    def carried_out(self, plan: Plan) -> "World":
        """The world after a decision was stored and carried out, as far as Ray Serve can be reached."""
        rollout = self.rollout.with_status(plan.status).without_commands(plan.consumed)
        after = replace(self, rollout=rollout, wanted=plan.targets)
        if plan.route != self.published:
            after = replace(after, published=plan.route, published_at=self.now)
        return after._deployed()

    # How it works.

    def _runs(self, version: str) -> bool:
        return version in self.ready_at

    def _state(self, target: ServeTarget) -> TargetState:
        version = target.key.version
        if self.now < self.ready_at[version]:
            return TargetState(TargetPhase.STARTING)
        broken = self.versions[version].cannot_load
        if broken is not None:
            return TargetState(TargetPhase.FAILED, message=broken)
        names = [f"{version}-{number}" for number in range(target.replicas)]
        return TargetState(TargetPhase.RUNNING, tuple(ReplicaAddress(name, _PORT, name) for name in names))

    def _deployed(self) -> "World":
        """Ray Serve runs what was wanted last, if it can be reached: new versions start, others are gone."""
        names = [target.key.version for target in self.wanted]
        if set(names) == self.ready_at.keys() or not self.scenario.ray_reachable(self.now):
            return self
        ready_at = {name: self.ready_at.get(name, self.now + self.versions[name].ready_after) for name in names}
        return replace(self, ready_at=ready_at)

    def _without_replicas(self, role: str) -> "World":
        status = self.rollout.status
        candidate = status.candidate.revision if status.candidate is not None else None
        revision = status.stable if role == "stable" else candidate
        if revision is None or not self._runs(revision.id):
            return self
        back = self.now + self.versions[revision.id].ready_after
        return replace(self, ready_at={**self.ready_at, revision.id: back})

    def _told(self, command: str, *options: str) -> "World":
        rollout = self.rollout
        if command in ("pause", "resume"):
            spec = rollout.spec.model_copy(update={"paused": command == "pause"})
            metadata = rollout.metadata.model_copy(update={"generation": rollout.metadata.generation + 1})
            return replace(self, rollout=rollout.model_copy(update={"spec": spec, "metadata": metadata}))
        value = ""
        if command == "promote":
            value = ("full" if "--full" in options else "step") + (",force" if "--force" in options else "")
        annotations = {**rollout.metadata.annotations, Command(command).annotation: value}
        metadata = rollout.metadata.model_copy(update={"annotations": annotations})
        return replace(self, rollout=rollout.model_copy(update={"metadata": metadata}))

    def _divided(self, requests: int, dice: Random) -> Iterator[tuple[BackendKey, int]]:
        """The requests by version, and their copies; nothing while the route has no weights."""
        route = self.in_force
        if route is None or not any(backend.weight for backend in route.backends):
            return
        left, share = requests, BASIS_POINTS
        for backend in route.backends:
            if backend.weight:
                number = binomial(dice, left, backend.weight / share)
                left, share = left - number, share - backend.weight
                yield BackendKey(route.key, backend.version, mirrored=False), number
        if route.mirror is not None:
            copies = binomial(dice, requests, route.mirror.share / BASIS_POINTS)
            yield BackendKey(route.key, route.mirror.version, mirrored=True), copies

    def _answered(self, version: str, requests: int, dice: Random) -> TrafficCounters:
        """What Envoy counts for so many requests to a version.

        One that takes longer than the route's timeout is answered 504 and counts as slower than anything. One that no
        replica was there for is answered 503 and has no latency.
        """
        nothing = (0,) * (len(self.bounds) + 1)
        if self.now < self.ready_at.get(version, inf):
            return TrafficCounters(requests, requests, self.bounds, nothing)
        error_rate, latency = self.versions[version].answers(self.now)
        timeout = self.rollout.spec.traffic.timeout * 1000
        in_time = latency.within(timeout)
        late = binomial(dice, requests, 1 - in_time)
        errors = late + binomial(dice, requests - late, error_rate)
        counts, left = [], requests - late
        edges = [0.0, *(min(latency.within(bound), in_time) for bound in self.bounds)]
        for below, upto in pairwise(edges):
            counts.append(binomial(dice, left, (upto - below) / (in_time - below) if in_time > below else 0.0))
            left -= counts[-1]
        return TrafficCounters(requests, errors, self.bounds, (*counts, left + late))


def _sum(one: TrafficCounters, other: TrafficCounters) -> TrafficCounters:
    counts = one.bucket_counts or (0,) * len(other.bucket_counts)
    return TrafficCounters(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        bucket_bounds=other.bucket_bounds,
        bucket_counts=tuple(a + b for a, b in zip(counts, other.bucket_counts, strict=True)),
    )
