"""The way of a candidate: ready in time, watched by its checks, step by step, promoted."""

from dataclasses import replace

from operators.analysis import Basis, evaluate, evidence, worst
from operators.plan import Command
from operators.reconcile.commands import refuse
from operators.reconcile.comparison import begin, manifest_of
from operators.reconcile.draft import Draft
from operators.status import Verdict
from operators.strategies import ALL, Abort, Advance, Move, Shares, Stage, Wait
from serving.spec import TargetPhase

_MAX_MOVES = 1000
"""More steps than any rollout has: what one call can pass without the world's help."""


def watch(draft: Draft) -> None:
    """Evaluate the checks on the evidence so far, and abort on one that fails unless somebody forces a promotion."""
    spec = draft.rollout.spec
    if not _judged(draft):
        return
    draft.change(checks=evaluate(spec.analysis.checks, _basis(draft), draft.strategy.min_samples(draft.step)))
    draft.wake(draft.now + spec.analysis.interval)
    failed = next((check for check in draft.status.checks if check.gates and check.verdict is Verdict.FAIL), None)
    if failed is not None and not draft.forced:
        draft.abort(f"check {failed.name} failed: {failed.message}")


def _basis(draft: Draft, *, fresh: bool = False) -> Basis:
    """What the candidate is judged by; nothing but how the traffic is divided when that is `fresh`."""
    status, observed = draft.status, draft.observed
    stable, candidate = status.stable.id if status.stable is not None else "", draft.candidate.revision.id
    live, copies = status.weight > 0 or status.selected, status.shadow > 0
    divided = Basis(stable, candidate, live=live, copies=copies, before=status.checks)
    if fresh:
        return divided
    traffic = observed.traffic or {}
    return replace(
        divided,
        stable=evidence(traffic.get(stable), live=True),
        # Copies are judged only where there is nothing that users see.
        candidate=evidence(traffic.get(candidate), live=status.weight > 0 or not copies),
        evidence=observed.evidence,
        measured=observed.measured,
    )


def advance(draft: Draft) -> None:
    """Move the candidate as far as it can go without something new from the world."""
    if draft.status.candidate is None:
        return
    state = draft.state(draft.status.candidate.revision)
    if state.phase is TargetPhase.FAILED:
        draft.abort(f"it could not be loaded: {state.message or 'Ray Serve gives no reason'}", delayed=False)
    elif _in_time(draft) and _begun(draft):
        for _ in range(_MAX_MOVES):
            if not _move(draft):
                break


def _judged(draft: Draft) -> bool:
    """Whether there is something to judge: checks, a step, and requests that can reach the candidate."""
    status = draft.status
    return (
        status.candidate is not None
        and status.step is not None
        and status.step < draft.strategy.count
        and status.evidence_since is not None
        and (status.weight > 0 or status.shadow > 0 or status.selected)
        and bool(draft.rollout.spec.analysis.checks)
    )


def _is_ready(draft: Draft) -> bool:
    """Whether the candidate may begin (or go on): the first version with any replica, a later one with all of them.

    Once it has begun, a replica that is being replaced does not make it unready.
    """
    candidate = draft.candidate
    if draft.status.step is not None:
        return candidate.ready > 0
    needed = draft.size if draft.status.stable is not None else 1
    return draft.state(candidate.revision).phase is TargetPhase.RUNNING and candidate.ready >= needed


def _in_time(draft: Draft) -> bool:
    """Keep the progress deadline; False when it is over. It counts while Ray Serve starts the candidate, no longer."""
    candidate = draft.candidate
    state = draft.state(candidate.revision)
    starting = not _is_ready(draft) and not draft.rollout.spec.paused and state.phase is not TargetPhase.MISSING
    since = (candidate.starting_since or draft.now) if starting else None
    draft.change(candidate=replace(candidate, starting_since=since))
    if since is None:
        return True
    deadline = since + draft.rollout.spec.progress_deadline_seconds
    draft.wake(deadline)
    if draft.now < deadline:
        return True
    reason = f": {state.message}" if state.message else ""
    draft.abort(f"it was not ready within {draft.rollout.spec.progress_deadline_seconds} s{reason}")
    return False


def _begun(draft: Draft) -> bool:
    """Begin the first step once the candidate is ready and every router knows its endpoints."""
    status = draft.status
    if status.step is not None:
        if draft.rollout.spec.paused:
            draft.change(step_started_at=None)  # a wait starts over when the rollout goes on
        elif status.step_started_at is None:
            draft.change(step_started_at=draft.now)
        return not draft.rollout.spec.paused
    if draft.rollout.spec.paused or not _is_ready(draft) or not draft.in_force():
        return False
    _enter(draft, 0, Shares())
    return True


def _enter(draft: Draft, step: int, before: Shares) -> None:
    """Put the candidate into a step, with the shares that belong to it."""
    strategy = draft.strategy
    draft.give(strategy.shares(step, before) if step < strategy.count else ALL)
    draft.change(step=step, step_started_at=draft.now, awaits_promotion=False)
    if step < strategy.count:
        title = f"step {step + 1} of {strategy.count}: {strategy.title(step)}"
        draft.tell("Step", title, draft.candidate.revision.id)


def _move(draft: Draft) -> bool:
    """One move of the candidate; False when the next one needs something new."""
    step, strategy, shares = draft.step, draft.strategy, draft.shares
    if step > strategy.count or (step == strategy.count and shares != ALL):
        # The steps were edited and this one is no more. Going on would promote what was never tried.
        _enter(draft, 0, Shares())
        return True
    if step == strategy.count:
        if draft.in_force():
            draft.install(draft.candidate.revision, draft.candidate.ready)
        else:
            draft.waiting = "all steps are done, waiting for the routers to give it all requests"
        return False
    shares = strategy.shares(step, shares)
    draft.give(shares)
    if draft.status.evidence_since is None and shares.selected and draft.in_force():
        draft.change(evidence_since=draft.now)  # selected requests reach it before any step divides the traffic
    move = _judge(draft)
    if isinstance(move, Advance):
        if move.fresh:
            draft.change(evidence_since=draft.now)
        _enter(draft, step + 1, shares)
        if move.fresh and manifest_of(draft) is not None:
            begin(draft)
        return True
    if isinstance(move, Abort):
        draft.abort(move.message + _detail(draft))
        return False
    draft.waiting = move.message
    draft.change(awaits_promotion=move.person)
    if move.until is not None:
        draft.wake(move.until)
    return False


def _detail(draft: Draft) -> str:
    """What the experiment or the first inconclusive check says beside an abort."""
    if draft.status.experiment is not None and draft.status.experiment.winner:
        return f": {draft.status.experiment.message}"
    inconclusive = (check for check in draft.status.checks if check.gates and check.verdict is Verdict.INCONCLUSIVE)
    return next((f": check {check.name}: {check.message}" for check in inconclusive), "")


def _judge(draft: Draft) -> Move:
    """The strategy's word on the step, with a person's promotion if it would wait otherwise."""
    status = draft.status
    stage = Stage(
        now=draft.now,
        step=draft.step,
        started_at=status.step_started_at or draft.now,
        settled=draft.in_force(),
        sized=draft.candidate.ready >= draft.size,
        verdict=_verdict(draft),
        winner=status.experiment.winner if status.experiment is not None else "",
        awaits_promotion=status.awaits_promotion,
    )
    move = draft.strategy.judge(stage)
    asked = Command.PROMOTE in draft.rollout.commands and Command.PROMOTE not in draft.consumed
    if not isinstance(move, Wait) or not asked:
        return move
    promoted = draft.strategy.judge(replace(stage, promoted=True))
    if isinstance(promoted, Wait):
        refuse(draft, Command.PROMOTE, f"the step goes on by itself: {promoted.message}")
    else:
        draft.consumed.append(Command.PROMOTE)
        message = f"somebody promoted it past step {draft.step + 1}"
        draft.tell("PromotedByHand", message, draft.candidate.revision.id)
        if draft.forced and status.evidence_since is not None:
            draft.change(evidence_since=draft.now)  # what failed was waved through; from here on it counts again
    return promoted


def _verdict(draft: Draft) -> Verdict | None:
    """The worst verdict on the traffic as it is divided now; what was seen before it changed does not count."""
    if not _judged(draft):
        return None
    if draft.status.evidence_since == draft.rollout.status.evidence_since:
        return worst(draft.status.checks)
    draft.change(checks=evaluate(draft.rollout.spec.analysis.checks, _basis(draft, fresh=True)))
    draft.wake(draft.now + draft.rollout.spec.analysis.interval)
    return worst(draft.status.checks)
