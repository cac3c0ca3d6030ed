"""`tidegate plan`: what applying a manifest would do, asked of the same pure core that will do it."""

import time
from collections.abc import Callable, Iterator

from operators.api import ModelRollout, experiment_digest, revision_of
from operators.cli.text import percent
from operators.observe import Observed, RouteObservation
from operators.plan import Plan
from operators.reconcile import reconcile
from operators.reconcile.draft import Draft
from operators.status import RolloutStatus
from operators.strategies import Shares, Strategy, strategy_for
from serving.spec import ReplicaAddress, TargetPhase, TargetState


def forecast(after: ModelRollout, before: ModelRollout | None, say: Callable[[str], str]) -> list[str]:
    """Lines that say what becomes of `before` (None: it does not exist) when its manifest is that of `after`.

    `say` makes of a command what a person has to type.
    """
    name, status = after.key.name, after.status
    observed = _as_it_should_be(status)
    plan = reconcile(after, observed)
    wanted = revision_of(after)
    lines = [f"modelrollout/{name}: {_change(after, before)}"]
    if plan.status.candidate is not None and plan.status.candidate.revision.id == wanted.id:
        lines += _rollout(after, plan.status, Draft(after.with_status(plan.status), observed).strategy)
    elif plan.status.stable is not None and plan.status.stable.id == wanted.id:
        lines.append(f"  version {wanted.id} is stable already: no steps")
    elif plan.status.failed == wanted.id:
        lines.append(f"  version {wanted.id} was aborted and is not tried again; say: {say(f'retry {name}')}")
    if after.spec.variants:
        lines += _variants(after, plan.status, say)
    lines += _stopped(status, plan)
    if after.spec.paused:
        lines.append(f"  it is paused: steps wait until `{say(f'resume {name}')}`")
    return lines


def _change(after: ModelRollout, before: ModelRollout | None) -> str:
    if before is None:
        return "would be created"
    unchanged = before.spec == after.spec and _ids(before) == _ids(after)
    return "unchanged" if unchanged else "would be configured"


def _ids(rollout: ModelRollout) -> list[str]:
    """Every version that the manifest names."""
    names = (None, *(variant.name for variant in rollout.spec.variants))
    return [revision_of(rollout, name).id for name in names]


def _variants(after: ModelRollout, status: RolloutStatus, say: Callable[[str], str]) -> Iterator[str]:
    """What becomes of the experiment, when this is the next status."""
    test = after.spec.strategy.ab_test if after.spec.strategy is not None else None
    begun = {variant.revision.id for variant in after.status.variants}
    for variant in status.variants:
        if variant.failure:
            yield f"  variant {variant.name} ({variant.revision.id}) was taken out: {variant.failure}"
            continue
        share = f"{test.shares[variant.name]:g}%" if test is not None else "its share"
        verb = "is compared" if variant.revision.id in begun else "would start and be compared"
        yield f"  variant {variant.name} ({variant.revision.id}) {verb} with the stable version on {share}"
    if not status.variants and status.trial == experiment_digest(after):
        yield f"  the experiment is over and does not begin again; say: {say(f'retry {after.key.name}')}"
    elif not status.variants:
        names = ", ".join(variant.name for variant in after.spec.variants)
        yield f"  {names} would start beside version {revision_of(after).id} once it is stable"


def _rollout(after: ModelRollout, status: RolloutStatus, strategy: Strategy) -> Iterator[str]:
    """The way of the candidate."""
    version = revision_of(after).id
    known = after.status.candidate
    if status.stable is None:
        yield f"  version {version} is the first one: it gets all traffic as soon as it is ready"
        return
    if known is not None and known.revision.id == version:
        yield f"  version {version} is on its way beside {status.stable.id}; its steps:"
    else:
        yield f"  version {version} would start beside {status.stable.id}, then:"
    shares, full = Shares(), after.spec.serving.least
    if strategy.count < strategy_for(after).count:
        yield f"    it was stable not long ago: no steps, it takes over from {status.stable.id} once it is ready"
        return
    for step in range(strategy.count):
        shares = strategy.shares(step, shares)
        yield (
            f"    {step + 1:>2}. {strategy.title(step):<20} candidate {percent(shares.weight)}"
            f", stable {percent(10_000 - shares.weight)}"
            + (f", shadow {percent(shares.shadow)}" if shares.shadow else "")
            + (", selected requests" if shares.selected else "")
            + (f", {shares.replicas} of {full} replicas" if shares.replicas is not None else "")
        )
    yield f"    {strategy.count + 1}. {'promote':<20} candidate 100%, becomes stable"


def _stopped(status: RolloutStatus, plan: Plan) -> Iterator[str]:
    """Versions that run now and would not go on."""
    going = {old.revision.id for old in plan.status.retiring} - {old.revision.id for old in status.retiring}
    for version in sorted(going):
        yield f"  version {version} would lose its traffic and be stopped"
    if plan.status.candidate is not None and status.stable is not None:
        yield f"  version {status.stable.id} would be stopped after the promotion"


def _as_it_should_be(status: RolloutStatus) -> Observed:
    """A world in which all that the status names runs, and the routers have been told."""
    held = [status.stable] if status.stable else []
    held += [one.revision for one in (status.candidate, *status.variants, *status.retiring) if one is not None]
    running = TargetState(TargetPhase.RUNNING, (ReplicaAddress("127.0.0.1", 1, "replica"),))
    serve = {revision.id: running for revision in held}
    return Observed(time.time(), serve, RouteObservation(acknowledged=True))
