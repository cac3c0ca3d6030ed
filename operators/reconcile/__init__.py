"""Decides about one rollout: what must run, what the routers must do, what to remember, what to say.

`reconcile` is pure: equal arguments, equal plan. It remembers nothing but the status that it returns, so it can be
stopped after any step and asked again. It is called whenever something may have changed and moves as far as it can
without something new from the world; the controller carries the plan out, looks, and asks again. A plan that is
carried out and acknowledged, with no time passing, is answered by the same plan.

    draft.py       the status under construction, and the few changes that can be made to it
    commands.py    what people asked for
    progress.py    readiness, checks, steps: the way of a candidate
    comparison.py  what an experiment has found, and the weights of a bandit
    variants.py    the way of an experiment with variants
    traffic.py     the route and the versions that follow from a status
    conditions.py  phase and conditions: the status in words
"""

from operators.api import ModelRollout, revision_of, target_of
from operators.observe import Observed
from operators.plan import Plan
from operators.reconcile import variants
from operators.reconcile.commands import abort_on_command, carry_out
from operators.reconcile.comparison import compare
from operators.reconcile.conditions import describe
from operators.reconcile.draft import TYPED, Draft
from operators.reconcile.progress import advance, watch
from operators.reconcile.traffic import route_of
from router.ir import Route
from serving.spec import TargetPhase

__all__ = ["reconcile"]


def reconcile(rollout: ModelRollout, observed: Observed, typed: str = TYPED) -> Plan:
    """The decision about `rollout`, given all that is known of the world; `typed` is how people type commands."""
    draft = Draft(rollout, observed, typed)
    if rollout.metadata.deletion_timestamp is not None:
        return _plan(draft, None)
    if observed.conflict is not None:
        if draft.status.stable is None and draft.status.candidate is not None:
            draft.retire_candidate()
        draft.drop_retired()
        return _plan(draft, None)
    draft.count_ready()
    watch(draft)
    variants.watch(draft)
    compare(draft)
    if observed.serve is None:
        # Nothing can be started and nobody knows what runs: only taking traffic away is safe.
        abort_on_command(draft)
    else:
        draft.follow_strategy()
        carry_out(draft)
        _follow_spec(draft)
        variants.follow(draft)
        advance(draft)
        variants.advance(draft)
        draft.drop_retired()
    return _plan(draft, route_of(rollout, draft.status, observed, draft.now))


def _follow_spec(draft: Draft) -> None:
    """Make the manifest's version the candidate, unless it is stable, on its way, or not to be tried again."""
    wanted, stable, candidate = revision_of(draft.rollout), draft.status.stable, draft.status.candidate
    fulfilled = candidate is None and stable is not None and stable.id == wanted.id
    if draft.status.failed is not None and (draft.status.failed != wanted.id or fulfilled):
        draft.change(failed=None, failure="")
    if fulfilled or draft.status.failed == wanted.id or (candidate is not None and candidate.revision.id == wanted.id):
        return
    if candidate is not None:
        draft.tell("Superseded", f"{candidate.revision.id} gives way: the spec changed", candidate.revision.id)
        draft.retire_candidate()
    if stable is not None and stable.id == wanted.id:
        draft.tell("BackToStable", f"the spec names {stable.id} again, which is stable", stable.id)
    elif draft.may_begin(wanted):
        draft.begin(wanted, "the spec names it")


def _plan(draft: Draft, route: Route | None) -> Plan:
    """The plan for what the draft has become."""
    rollout, observed = draft.rollout, draft.observed
    deleting = rollout.metadata.deletion_timestamp is not None
    gone = deleting and observed.route.published is None and observed.route.acknowledged
    targets = (
        () if gone else tuple(target_of(revision, rollout, draft.size_of(revision)) for revision in draft.versions)
    )
    status = describe(draft, route)
    return Plan(
        targets=tuple(sorted(targets, key=lambda target: target.key)),
        route=route,
        status=status,
        events=tuple(draft.events),
        requeue_after=draft.requeue_after(),
        consumed=tuple(draft.consumed),
        finished=gone and _nothing_runs(observed),
    )


def _nothing_runs(observed: Observed) -> bool:
    return observed.serve is not None and all(state.phase is TargetPhase.MISSING for state in observed.serve.values())
