"""From one moment to the next, until nothing can happen any more."""

from dataclasses import replace
from math import inf
from random import Random

from operators.api import RESOLVED_SHA256, ModelRollout, revision_of, target_of
from operators.observe import Observed
from operators.reconcile import reconcile
from operators.simulate.latency import bounds_for
from operators.simulate.operator import START, Operator
from operators.simulate.result import Moment, Outcome, Result, moment, totals
from operators.simulate.scenario import Scenario
from operators.simulate.world import World
from operators.status import RolloutStatus


def simulate(
    manifest: ModelRollout, scenario: Scenario | None = None, before: ModelRollout | None = None, seed: int = 0
) -> Result:
    """What becomes of `manifest` when it is applied to the running rollout `before`.

    Without `before`, the rollout is as the manifest says, but for another model.
    """
    world = _running(before or _other_model(manifest), manifest, scenario or Scenario())
    stable, dice, operator = revision_of(world.rollout).id, Random(seed), Operator()  # noqa: S311 - no secrets
    world = world.applied(manifest)
    candidate = revision_of(world.rollout).id
    story = list(world.scenario.story)
    moments: list[Moment] = []
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
        if notes or not moments or replace(stand, at=moments[-1].at, notes=moments[-1].notes) != moments[-1]:
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
        moments=tuple(moments),
        totals=totals(world),
        unanswered=world.unanswered,
    )


def _running(rollout: ModelRollout, manifest: ModelRollout, scenario: Scenario) -> World:
    """The world in which a rollout has long been healthy."""
    revision = replace(revision_of(rollout), promoted_at=START)
    applied = [event.apply for event in scenario.events if event.apply is not None]
    world = World(
        scenario=scenario,
        versions={revision_of(manifest).id: scenario.candidate} | {revision.id: scenario.stable},
        bounds=bounds_for(check for one in (rollout, manifest, *applied) for check in one.spec.analysis.checks),
        rollout=rollout.with_status(RolloutStatus(stable=revision, revisions=(revision,))),
        wanted=(target_of(revision, rollout),),
        ready_at={revision.id: -inf},
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


def _seen(world: World) -> object:
    """What the controller is told about when it changes."""
    return world.serve, world.route


def _outcome(world: World) -> Outcome:
    """Where the version stands that the manifest asks for now."""
    status = world.rollout.status
    if status.candidate is not None or status.stable is None:
        return Outcome.HELD
    wanted = revision_of(world.rollout).id
    if status.failed == wanted:
        return Outcome.ABORTED
    return Outcome.PROMOTED if status.stable.id == wanted else Outcome.HELD
