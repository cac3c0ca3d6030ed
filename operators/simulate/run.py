"""From one moment to the next, until nothing can happen any more."""

from dataclasses import replace
from math import inf
from random import Random

from operators.api import RESOLVED_SHA256, ModelRollout, Problem, revision_of, target_of
from operators.observe import Observed
from operators.reconcile import reconcile
from operators.simulate.comparison import taken_as_good
from operators.simulate.latency import bounds_for
from operators.simulate.operator import START, Operator
from operators.simulate.result import Moment, Outcome, Result, moment, news, totals
from operators.simulate.scenario import ROLES, InvalidScenario, Scenario
from operators.simulate.world import World
from operators.status import Arm, RolloutStatus


def simulate(
    manifest: ModelRollout, scenario: Scenario | None = None, before: ModelRollout | None = None, seed: int = 0
) -> Result:
    """What becomes of `manifest` when it is applied to the running rollout `before`.

    Without `before`, the rollout is as the manifest says, but for another model; one with variants is as it says, but
    for the variants. Raises `InvalidScenario` for a scenario that names unknown variants.
    """
    scenario = scenario or Scenario()
    _check_names(manifest, scenario)
    world = _running(
        before or (_without_variants if manifest.spec.variants else _other_model)(manifest), manifest, scenario
    )
    stable, dice, operator = revision_of(world.rollout).id, Random(seed), Operator()  # noqa: S311 - no secrets
    world = world.applied(manifest)
    candidate = revision_of(world.rollout).id
    story = list(world.scenario.story)
    moments: list[Moment] = []
    arms: tuple[Arm, ...] = ()
    outcome, decided_at = Outcome.HELD, 0.0
    while True:
        notes: list[str] = []
        while story and story[0][0] <= world.now:
            _, text, event = story.pop(0)
            notes.append(text)
            if event is not None:
                world, operator.looks_at = world.after(event), world.now
        if operator.looks_at <= world.now:
            seen = _seen(world)
            world, plan = operator.look(world)
            notes += (event.message for event in plan.events)
            if _seen(world) != seen:
                operator.looks_at = world.now
            if _outcome(world) is not outcome:
                outcome, decided_at = _outcome(world), round(world.now, 3)
        stand = moment(world, notes)
        arms = stand.arms or arms
        if not moments or news(moments[-1], stand):
            moments.append(stand)
        then = min(operator.looks_at, world.next_change)
        if then == inf or world.now >= world.scenario.duration:
            break
        if then > world.now:
            seen = _seen(world)
            world = world.passed(min(then, world.scenario.duration), dice)
            if _seen(world) != seen:
                operator.looks_at = world.now
    return Result(
        name=manifest.key.name,
        seed=seed,
        outcome=outcome,
        at=decided_at,
        end=round(world.now, 3),
        message=world.rollout.status.message,
        stable=stable,
        candidate=candidate,
        variants=tuple((name, version) for version, name in world.variants.items()),
        arms=arms,
        moments=tuple(moments),
        totals=totals(world),
        unanswered=world.unanswered,
        taken_as_good=tuple(taken_as_good(manifest)),
    )


def _running(rollout: ModelRollout, manifest: ModelRollout, scenario: Scenario) -> World:
    """The world in which a rollout has long been healthy."""
    revision = replace(revision_of(rollout), promoted_at=START)
    applied = [event.apply for event in scenario.events if event.apply is not None]
    world = World(
        scenario=scenario,
        versions={revision_of(manifest).id: scenario.candidate} | {revision.id: scenario.stable},
        bounds=bounds_for((rollout, manifest, *applied)),
        rollout=rollout.with_status(RolloutStatus(stable=revision, revisions=(revision,))),
        wanted=(target_of(revision, rollout),),
        ready_at={revision.id: (-inf,) * rollout.spec.serving.least},
    )
    plan = reconcile(world.rollout, Observed(START, world.serve, world.route))
    return replace(world.carried_out(plan), published_at=-inf, in_force=plan.route)


def _other_model(manifest: ModelRollout) -> ModelRollout:
    """A rollout that differs from the manifest in its model alone."""
    annotations = {name: text for name, text in manifest.metadata.annotations.items() if name != RESOLVED_SHA256}
    model = manifest.spec.model.model_copy(update={"uri": "file:///the-stable-version", "sha256": None})
    return manifest.model_copy(
        update={
            "metadata": manifest.metadata.model_copy(update={"annotations": annotations}),
            "spec": manifest.spec.model_copy(update={"model": model, "paused": False}),
        }
    )


def _without_variants(manifest: ModelRollout) -> ModelRollout:
    """A rollout whose stable version is the control of the manifest's experiment."""
    spec = manifest.spec.model_copy(update={"variants": (), "strategy": None, "paused": False})
    return manifest.model_copy(update={"spec": spec})


def _check_names(manifest: ModelRollout, scenario: Scenario) -> None:
    """Refuse variants that no manifest has: their lines would mean nothing. Raises `InvalidScenario`."""
    applied = (event.apply for event in scenario.events if event.apply is not None)
    known = {variant.name: None for one in (manifest, *applied) for variant in one.spec.variants}
    named = {f"variants.{name}": name for name in scenario.variants}
    named |= {f"events[{index}].replicasLost": event.replicas_lost or "" for index, event in enumerate(scenario.events)}
    problems = [
        Problem(field, f"{name} is no variant of the manifest; it has {' and '.join(known) or 'none'}")
        for field, name in named.items()
        if name not in (*known, *ROLES, "")
    ]
    if problems:
        raise InvalidScenario(problems)


def _seen(world: World) -> object:
    """What the controller is told about when it changes."""
    return world.serve, world.route


def _outcome(world: World) -> Outcome:
    """Where the version stands that the manifest asks for now."""
    status = world.rollout.status
    if status.candidate is not None or status.stable is None or status.variants:
        return Outcome.HELD
    spec, wanted = world.rollout.spec, revision_of(world.rollout).id
    if spec.variants and status.trial and not status.failure:
        chosen = status.stable.id in {revision_of(world.rollout, one.name).id for one in spec.variants}
        return Outcome.PROMOTED if chosen else Outcome.KEPT
    if spec.variants and status.stable.id == wanted and not status.trial:
        return Outcome.HELD
    if status.failed == wanted or (spec.variants and status.failure):
        return Outcome.ABORTED
    return Outcome.PROMOTED if status.stable.id == wanted else Outcome.HELD
