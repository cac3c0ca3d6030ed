"""The status in words: phase, message, conditions.

`Ready`, `Reconciling` and `Stalled` follow kstatus (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus),
so that `kubectl wait`, Flux and Argo CD understand a rollout without knowing it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from operators.analysis import worst
from operators.api import revision_of
from operators.api.strategies import CONTROL
from operators.reconcile.draft import Draft
from operators.status import Condition, Phase, RolloutStatus, Verdict
from router.ir import Route
from serving.spec import TargetPhase


@dataclass(frozen=True, slots=True)
class Summary:
    """Where the rollout stands: one word for people, one for machines, and a sentence."""

    phase: Phase
    reason: str
    message: str


def describe(draft: Draft, route: Route | None) -> RolloutStatus:
    """The status of the draft with phase, message and conditions. What did not change keeps its time."""
    summary = _summary(draft)
    known = {condition.type: condition for condition in draft.rollout.status.conditions}
    conditions = tuple(
        replace(condition, since=before.since)
        if (before := known.get(condition.type)) is not None and before.status == condition.status
        else condition
        for condition in _conditions(draft, route, summary)
    )
    return replace(
        draft.status,
        observed_generation=draft.rollout.metadata.generation,
        phase=summary.phase,
        message=summary.message,
        conditions=conditions,
    )


def _summary(draft: Draft) -> Summary:
    status, observed = draft.status, draft.observed
    if draft.rollout.metadata.deletion_timestamp is not None:
        return Summary(Phase.PROGRESSING, "Deleting", "being deleted: first the route goes, then the replicas")
    if observed.conflict is not None:
        phase = Phase.PENDING if status.stable is None else Phase.DEGRADED
        return Summary(phase, "RouteConflict", observed.conflict)
    summary = _way(draft) if status.candidate is not None else _experiment(draft) if status.variants else _rest(draft)
    if observed.serve is None:
        message = f"Ray Serve cannot be reached: traffic stays as it is and the rollout waits; {summary.message}"
        return Summary(summary.phase, "RayUnreachable", message)
    return summary


def _rest(draft: Draft) -> Summary:
    """Nothing is rolling out."""
    status, stable = draft.status, draft.status.stable
    if status.failure:
        return Summary(Phase.DEGRADED, "Aborted", status.failure)
    wanted = revision_of(draft.rollout).id
    if stable is None or wanted not in (stable.id, status.failed):
        phase = Phase.PENDING if stable is None else Phase.PROGRESSING
        if draft.observed.serve is None:
            return Summary(phase, "Waiting", f"{wanted} has not been started")
        return Summary(phase, "Waiting", f"{wanted} failed before: waiting for Ray Serve to clear it away")
    if status.stable_ready == 0:
        state = draft.state(stable)
        reason = f": {state.message}" if state.message else ""
        message = f"no replica of {stable.id} answers, requests get 503{reason}"
        failed = state.phase is TargetPhase.FAILED
        return Summary(Phase.DEGRADED if failed else Phase.PROGRESSING, "NoReplicas", message)
    if status.failed is not None and status.failed != stable.id:
        arms = status.experiment.arms if status.experiment is not None and status.trial else ()
        variant = next((arm.name for arm in arms if arm.version == stable.id and arm.name != CONTROL), None)
        if variant is not None:
            message = (
                f"{stable.id}, which was variant {variant}, serves all requests; the spec still names {status.failed}: "
                f"write the variant's model into spec.model and leave out spec.variants"
            )
            return Summary(Phase.HEALTHY, "VariantPromoted", message)
        message = (
            f"{stable.id} serves all requests; {status.failed}, which the spec names, was taken back and waits for "
            f"another spec or `{draft.typed('retry')}`"
        )
        return Summary(Phase.HEALTHY, "Undone", message)
    return Summary(Phase.HEALTHY, "Stable", f"{stable.id} serves all requests")


def _way(draft: Draft) -> Summary:
    """A candidate is on its way."""
    status, candidate = draft.status, draft.candidate
    version = candidate.revision.id
    phase = Phase.PENDING if status.stable is None else Phase.PROGRESSING
    if draft.rollout.spec.paused:
        message = f"{version} is paused; say `{draft.typed('resume')}` to go on"
        return Summary(Phase.PAUSED, "Paused", message)
    if status.step is None:
        state = draft.state(candidate.revision)
        detail = f": {state.message}" if state.message else ""
        message = f"{version} is starting, {candidate.ready} of {draft.size} replicas are ready{detail}"
        return Summary(phase, "Starting", message)
    if status.step >= draft.strategy.count:
        return Summary(phase, "Promoting", f"{version}: {draft.waiting or 'all steps are done'}")
    step = f"step {status.step + 1} of {draft.strategy.count}: {draft.strategy.title(status.step)}"
    waiting = f", {draft.waiting}" if draft.waiting else ""
    if status.awaits_promotion:
        lost = status.experiment is not None and status.experiment.winner == CONTROL
        hint = f"`{draft.typed('abort' if lost else 'promote')}`"
        message = f"{version}: {step}{waiting}: {hint}"
        return Summary(Phase.PAUSED, "AwaitingPromotion", message)
    found = f": {status.experiment.message}" if status.experiment is not None and status.experiment.message else ""
    return Summary(phase, "Stepping", f"{version}: {step}{waiting}{found}")


def _experiment(draft: Draft) -> Summary:
    """Variants run beside the stable version."""
    status = draft.status
    beside = ", ".join(f"{variant.name} ({variant.revision.id})" for variant in draft.taking_part)
    out = "".join(
        f"; {variant.name} was taken out: {variant.failure}" for variant in status.variants if variant.failure
    )
    if draft.rollout.spec.paused:
        return Summary(Phase.PAUSED, "Paused", f"{beside} are paused; say `{draft.typed('resume')}` to go on{out}")
    experiment = status.experiment
    if experiment is None:
        ready = ", ".join(f"{variant.name} {variant.ready} of {draft.full} replicas" for variant in draft.taking_part)
        return Summary(Phase.PROGRESSING, "Starting", f"the variants are starting: {ready}{out}")
    if status.awaits_promotion:
        winner = f" --variant {experiment.winner}" if experiment.winner else " --variant NAME"
        message = (
            f"{draft.waiting or 'waits for a person'}: `{draft.typed('promote')}{winner}`; {experiment.message}{out}"
        )
        return Summary(Phase.PAUSED, "AwaitingPromotion", message)
    detail = f": {experiment.message}" if experiment.message else ""
    return Summary(Phase.PROGRESSING, "Comparing", f"{beside} beside {CONTROL}{detail}{out}")


def _conditions(draft: Draft, route: Route | None, summary: Summary) -> Iterator[Condition]:
    """All conditions, each as if its status had changed just now."""
    now, conflict, reason, message = draft.now, draft.observed.conflict, summary.reason, summary.message
    unreachable = draft.observed.serve is None
    healthy, degraded = summary.phase is Phase.HEALTHY, summary.phase is Phase.DEGRADED
    stalled = degraded or conflict is not None
    yield Condition("Ready", None if unreachable and healthy else healthy, reason, message, now)
    yield Condition("Reconciling", not healthy and not stalled, reason, message, now)
    yield Condition("Stalled", stalled, reason, message, now)
    if conflict is not None:
        yield Condition("Accepted", False, "RouteConflict", conflict, now)
    else:
        yield Condition("Accepted", True, "Valid", "the manifest is valid and its hosts are free", now)
    yield from _candidate_ready(draft)
    yield _router_synced(draft, route)
    yield from _analysed(draft)
    yield from _accelerated(draft)


def _candidate_ready(draft: Draft) -> Iterator[Condition]:
    """About the candidate; of one that was aborted, the last that was known and why it was aborted."""
    status, candidate, now = draft.status, draft.status.candidate, draft.now
    if candidate is None:
        if status.failure:
            yield Condition("CandidateReady", False, "Aborted", status.failure, now)
        return
    version = candidate.revision.id
    if draft.observed.serve is None:
        yield Condition("CandidateReady", None, "RayUnreachable", "Ray Serve cannot be reached", now)
        return
    state = draft.state(candidate.revision)
    count = f"{candidate.ready} of {draft.size} replicas of {version} are ready"
    if status.step is not None and candidate.ready > 0:
        yield Condition("CandidateReady", True, "Ready", count, now)
    else:
        detail = f": {state.message}" if state.message else ""
        yield Condition("CandidateReady", False, state.phase.value.capitalize(), f"{count}{detail}", now)


def _router_synced(draft: Draft, route: Route | None) -> Condition:
    published, rejected = draft.observed.route.published, draft.observed.route.rejected
    known = next((one for one in draft.rollout.status.conditions if one.type == "RouterSynced"), None)
    if rejected is not None:
        message = f"Envoy refused the route and keeps the one before it: {rejected}"
        return Condition("RouterSynced", False, "Rejected", message, draft.now)
    if published == route and draft.observed.route.acknowledged:
        return Condition("RouterSynced", True, "Acknowledged", "every router runs the route", draft.now)
    if published is None and known is not None:
        return known  # the operator has just started: the routers still have what they had
    return Condition("RouterSynced", False, "Waiting", "not every router has acknowledged the route yet", draft.now)


def _analysed(draft: Draft) -> Iterator[Condition]:
    checks = draft.status.checks
    verdict = worst(checks)
    if verdict is None:
        return
    decided = {Verdict.PASS: True, Verdict.FAIL: False, Verdict.INCONCLUSIVE: None}[verdict]
    deciding = [f"{check.name}: {check.message}" for check in checks if check.gates and check.verdict is verdict]
    yield Condition("Analysed", decided, verdict.value, "; ".join(deciding), draft.now)


def _accelerated(draft: Draft) -> Iterator[Condition]:
    """About the candidate, if its replicas have said anything, or else about the stable version."""
    status = draft.status
    if draft.observed.serve is None:
        yield from (one for one in draft.rollout.status.conditions if one.type == "Accelerated")
        return
    for version in (None if status.candidate is None else status.candidate.revision, status.stable):
        said = None if version is None else draft.state(version).acceleration
        if version is not None and said is not None:
            yield Condition("Accelerated", said.done, said.reason, f"{version.id}: {said.message}", draft.now)
            return
