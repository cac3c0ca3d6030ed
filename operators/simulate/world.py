"""Ray Serve, the routers, the requests and the people, as frozen values.

A world changes in three ways, each of which gives another world: time passes (`passed`), something happens that the
scenario describes (`after`), and the operator's decision is carried out (`carried_out`). Times are seconds since the
manifest was applied. What is left out: a change is seen at once (the real controller looks at Ray Serve every 0.3 s),
copies are never shed, and requests are counted when they come, not when they are answered. Feedback about the answers
of a while all comes at once, so long after the last of them.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import Final

from monitor.evidence import Evidence
from operators.api import ModelRollout, revision_of
from operators.api.strategies import CANDIDATE
from operators.experiment import FEEDBACK, goal_of
from operators.observe import Measured, RouteObservation, VersionFeedback
from operators.plan import Command, Plan, Promotion
from operators.simulate.answers import NOTHING, Coming, Said, answered, refused, said_about, together
from operators.simulate.behaviour import Version
from operators.simulate.comparison import Compared, asks_the_monitor, measured
from operators.simulate.draws import binomial, poisson
from operators.simulate.scenario import Happening, Scenario
from operators.status import Revision
from router.ir import BASIS_POINTS, BackendKey, Route, RouteKey, TrafficCounters
from serving.spec import ReplicaAddress, ServeTarget, TargetPhase, TargetState

_PORT: Final = 9000


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the operator, at `now`.

    `versions` says how versions behave, by id, and `variants` what those of them that are variants are called. `bounds`
    are those of all latency histograms. `wanted` is what Ray Serve was asked to run last, `ready_at` when each replica
    of what it runs answers. `published` is the route that was given to the routers last, `in_force` the one that they
    run. `counters` are the routers', `unanswered` the requests that no version got, `said` is what people say about the
    answers since the experiment began, `compared` is what checks on predictions ask for.
    """

    scenario: Scenario
    versions: Mapping[str, Version]
    bounds: tuple[float, ...]
    rollout: ModelRollout
    variants: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0
    wanted: tuple[ServeTarget, ...] = ()
    ready_at: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    published: Route | None = None
    published_at: float = -inf
    in_force: Route | None = None
    counters: Mapping[BackendKey, TrafficCounters] = field(default_factory=dict)
    unanswered: int = 0
    said: Said = field(default_factory=Said)
    compared: Compared = field(default_factory=Compared)

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
        return {version: self._state(version) for version in self.ready_at}

    @property
    def route(self) -> RouteObservation:
        """What the routers say."""
        return RouteObservation(self.published, acknowledged=self.in_force == self.published)

    @property
    def feedback(self) -> Mapping[str, VersionFeedback] | None:
        """What is known of what people said, by version; None while nobody asks."""
        goal = goal_of(self.rollout.spec.strategy)
        asked = self.rollout.status.experiment is not None and goal is not None and goal.metric in FEEDBACK
        return self.said.known if asked else None

    @property
    def evidence(self) -> Evidence | None:
        """What the monitor knows of the answers of both versions; None while nobody asks."""
        return self.compared.evidence(self.rollout.spec.analysis.checks) if asks_the_monitor(self.rollout) else None

    @property
    def measured(self) -> Mapping[str, Measured]:
        """What others say."""
        return measured(self.rollout)

    @property
    def next_change(self) -> float:
        """When something changes by itself; infinity when nothing will."""
        moments = self.scenario.moments
        after = bisect_right(moments, self.now)
        ready = (at for version in self.ready_at.values() for at in version)
        coming = [at for at in (*moments[after : after + 1], *ready) if at > self.now]
        if self.in_force != self.published:
            coming.append(self.scenario.acknowledged_at(self.published_at))
        return min(coming, default=inf)

    # What happens.

    def passed(self, until: float, dice: Random) -> "World":
        """The world at a time not after `next_change`: requests came, and what became ready is."""
        requests = poisson(dice, self.scenario.rate(self.now) * (until - self.now))
        counters, unanswered, coming = dict(self.counters), self.unanswered + requests, list[Coming]()
        compared, asked = self.compared, asks_the_monitor(self.rollout)
        for backend, number in self._divided(requests, dice):
            gained = self._answered(backend.version, number, dice)
            counters[backend] = together(counters.get(backend, NOTHING), gained)
            answers = gained.requests - gained.errors
            if backend.mirrored:
                if asked:
                    agreement = self.versions[backend.version].at(self.now).agreement
                    compared = compared.copied(dice, answers, agreement)
                continue
            unanswered -= number
            if self.feedback is not None or asked:
                said = self._said(backend.version, gained, dice)
                coming.append((until + self.scenario.feedback.after, backend.version, said))
            if asked and self._is_candidate(backend.version):
                compared = replace(compared, answers=compared.answers + answers)
        later = replace(self, now=until, counters=counters, unanswered=unanswered)
        if self.feedback is not None:
            later = replace(later, said=self.said.and_then(coming, until))
        if asked:
            later = replace(later, compared=replace(compared, said=compared.said.and_then(coming, until)))
        acknowledged = until >= self.scenario.acknowledged_at(self.published_at)
        return replace(later, in_force=self.published if acknowledged else self.in_force)._deployed()

    def after(self, event: Happening) -> "World":
        """The world after something happened to it. What lasts a while is looked up in the scenario."""
        if event.command is not None:
            return self._told(event.command)
        if event.replicas_lost is not None:
            return self._without_replicas(event.replicas_lost)
        if event.apply is not None:
            return self.applied(event.apply, event.behaves)
        return self

    def applied(self, manifest: ModelRollout, behaves: Version | None = None) -> "World":
        """The world after somebody applied a manifest; its version is healthy if it is new and nothing is said."""
        before, version = self.rollout, revision_of(manifest).id
        names = {revision_of(manifest, variant.name).id: variant.name for variant in manifest.spec.variants}
        versions = dict(self.versions)
        versions[version] = behaves or versions.get(version, Version())
        for variant, name in names.items():
            versions.setdefault(variant, self.scenario.variants.get(name, Version()))
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
        return replace(self, rollout=rollout, versions=versions, variants={**self.variants, **names})

    def carried_out(self, plan: Plan) -> "World":
        """The world after a decision was stored and carried out, as far as Ray Serve can be reached."""
        rollout = self.rollout.with_status(plan.status).without_commands(plan.consumed)
        after = replace(self, rollout=rollout, wanted=plan.targets)
        before, begun = self.rollout.status.experiment, plan.status.experiment
        if begun is None or before is None or begun.started_at != before.started_at:
            after = replace(after, said=Said())
        if plan.status.evidence_since != self.rollout.status.evidence_since:
            after = replace(after, compared=Compared())
        if plan.route != self.published:
            after = replace(after, published=plan.route, published_at=self.now)
        return after._deployed()

    # How it works.

    def _state(self, version: str) -> TargetState:
        ready = sum(at <= self.now for at in self.ready_at[version])
        if not ready:
            return TargetState(TargetPhase.STARTING)
        broken = self.versions[version].cannot_load
        if broken is not None:
            return TargetState(TargetPhase.FAILED, message=broken)
        names = [f"{version}-{number}" for number in range(ready)]
        return TargetState(TargetPhase.RUNNING, tuple(ReplicaAddress(name, _PORT, name) for name in names))

    def _deployed(self) -> "World":
        """Ray Serve runs what was wanted last, if it can be reached: replicas start or are gone."""
        sizes = {target.key.version: target.replicas for target in self.wanted}
        running = {version: len(ready) for version, ready in self.ready_at.items()}
        if sizes == running or not self.scenario.ray_reachable(self.now):
            return self
        ready_at = {}
        for version, size in sizes.items():
            kept = self.ready_at.get(version, ())[:size]
            new = self.now + self.versions[version].ready_after
            ready_at[version] = (*kept, *(new for _ in range(size - len(kept))))
        return replace(self, ready_at=ready_at)

    def _without_replicas(self, of: str) -> "World":
        revision = self._revision(of)
        if revision is None or revision.id not in self.ready_at:
            return self
        back = self.now + self.versions[revision.id].ready_after
        return replace(self, ready_at={**self.ready_at, revision.id: (back,) * len(self.ready_at[revision.id])})

    def _revision(self, of: str) -> Revision | None:
        """The version in a role, or the variant of a name."""
        status = self.rollout.status
        if of == CANDIDATE:
            return status.candidate.revision if status.candidate is not None else None
        named = {variant.name: variant.revision for variant in status.variants}
        return status.stable if of == "stable" else named.get(of)

    def _is_candidate(self, version: str) -> bool:
        candidate = self.rollout.status.candidate
        return candidate is not None and candidate.revision.id == version

    def _told(self, line: str) -> "World":
        command, *options = line.split()
        rollout = self.rollout
        if command in ("pause", "resume"):
            spec = rollout.spec.model_copy(update={"paused": command == "pause"})
            metadata = rollout.metadata.model_copy(update={"generation": rollout.metadata.generation + 1})
            return replace(self, rollout=rollout.model_copy(update={"spec": spec, "metadata": metadata}))
        value = ""
        if command == "promote":
            variant = options[options.index("--variant") + 1] if "--variant" in options else None
            value = str(Promotion("--full" in options, variant, "--force" in options))
        annotations = {**rollout.metadata.annotations, Command(command).annotation: value}
        metadata = rollout.metadata.model_copy(update={"annotations": annotations})
        return replace(self, rollout=rollout.model_copy(update={"metadata": metadata}))

    def _divided(self, requests: int, dice: Random) -> Iterator[tuple[BackendKey, int]]:
        """The requests by version, and their copies; nothing while the route has no weights."""
        route = self.in_force
        if route is None or not any(backend.weight for backend in route.backends):
            return
        live = dict.fromkeys((backend.version for backend in route.backends), 0)
        left, share = requests, BASIS_POINTS
        if route.selection is not None:
            live[route.selection.version] = binomial(dice, requests, self.scenario.matching)
            left -= live[route.selection.version]
        copied = left
        for backend in route.backends:
            if backend.weight:
                number = binomial(dice, left, backend.weight / share)
                left, share = left - number, share - backend.weight
                live[backend.version] += number
        yield from (
            (BackendKey(route.key, version, mirrored=False), number) for version, number in live.items() if number
        )
        if route.mirror is not None:
            copies = binomial(dice, copied, route.mirror.share / BASIS_POINTS)
            yield BackendKey(route.key, route.mirror.version, mirrored=True), copies

    def _answered(self, version: str, requests: int, dice: Random) -> TrafficCounters:
        if self.now < min(self.ready_at.get(version, ()), default=inf):
            return refused(requests, self.bounds)
        timeout = self.rollout.spec.traffic.timeout * 1000
        return answered(dice, requests, self.versions[version].at(self.now), self.bounds, timeout)

    def _said(self, version: str, counted: TrafficCounters, dice: Random) -> VersionFeedback:
        behaviour, share = self.versions[version].at(self.now), self.scenario.feedback.share
        return said_about(dice, counted.requests - counted.errors, behaviour, share)
