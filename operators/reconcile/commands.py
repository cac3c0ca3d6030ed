"""What people asked for: abort, undo, retry, promote. Every command is answered, by doing it or by saying why not."""

from collections.abc import Callable, Mapping

from operators.api import revision_of
from operators.api.strategies import CANDIDATE, CONTROL
from operators.plan import Command, Promotion
from operators.reconcile import variants
from operators.reconcile.draft import Draft
from operators.status import Revision
from operators.strategies import ALL


def carry_out(draft: Draft) -> None:
    """Answer all commands but a promotion by one step, which `progress.advance` answers."""
    actions: Mapping[Command, Callable[[Draft, str], None]] = {
        Command.ABORT: _abort,
        Command.UNDO: _undo,
        Command.RETRY: _retry,
        Command.PROMOTE: _promote,
    }
    for command, action in actions.items():
        if command in draft.rollout.commands:
            action(draft, draft.rollout.commands[command])


def abort_on_command(draft: Draft) -> None:
    """Carry out an abort alone; the other commands wait."""
    if Command.ABORT in draft.rollout.commands:
        _abort(draft, draft.rollout.commands[Command.ABORT])


def refuse(draft: Draft, command: Command, why: str) -> None:
    """Answer a command that makes no sense now."""
    draft.consumed.append(command)
    draft.tell("CommandRefused", f"{command.value}: {why}", _version(draft), warning=True)


def _version(draft: Draft) -> str:
    status = draft.status
    if status.candidate is not None:
        return status.candidate.revision.id
    return status.stable.id if status.stable is not None else ""


def _abort(draft: Draft, _value: str) -> None:
    if draft.status.candidate is None and not draft.status.variants:
        refuse(draft, Command.ABORT, "nothing is rolling out")
        return
    draft.consumed.append(Command.ABORT)
    _take_back(draft, "somebody asked for it")


def _take_back(draft: Draft, why: str) -> None:
    """All requests to the stable version."""
    if draft.status.candidate is not None:
        draft.abort(why)
    else:
        variants.stop(draft, why)


def _undo(draft: Draft, value: str) -> None:
    status = draft.status
    under_way = status.candidate is not None or bool(status.variants)
    if under_way and value in ("", status.stable.id if status.stable is not None else ""):
        draft.consumed.append(Command.UNDO)
        _take_back(draft, "somebody asked for undo")
        return
    former = [revision for revision in status.revisions if status.stable is None or revision.id != status.stable.id]
    chosen = _choose(former, value)
    if chosen is None:
        known = ", ".join(revision.id for revision in former)
        if status.stable is not None and value == status.stable.id:
            why = f"{value} is stable already"
        elif known:
            why = f"{value} is none of the former stable versions: {known}"
        else:
            why = "there is no former stable version to go back to"
        refuse(draft, Command.UNDO, why)
        return
    if not draft.may_begin(chosen):
        return
    draft.consumed.append(Command.UNDO)
    draft.retire_candidate()
    draft.begin(chosen, "somebody asked to go back to it")
    wanted = revision_of(draft.rollout).id
    draft.change(failed=wanted if chosen.id != wanted else None, failure="")


def _choose(former: list[Revision], value: str) -> Revision | None:
    """The newest of the former versions, or the one whose id is (or begins with) `value`."""
    return next((revision for revision in former if revision.id.startswith(value)), None)


def _retry(draft: Draft, _value: str) -> None:
    status = draft.status
    ended = bool(status.trial) and not status.variants
    lacking = any(variant.failure for variant in status.variants)
    if status.failed is None and not ended and not lacking:
        refuse(draft, Command.RETRY, "no version was aborted or taken back")
        return
    draft.consumed.append(Command.RETRY)
    again = status.failed or "the experiment"
    draft.change(failed=None, failure="", trial="")
    draft.tell("Retried", f"{again} may be tried again", status.failed or _version(draft))


def _promote(draft: Draft, value: str) -> None:
    """Check a promotion, and carry out one that ends a rollout."""
    try:
        promotion = Promotion.parse(value)
    except ValueError as error:
        refuse(draft, Command.PROMOTE, str(error))
        return
    if draft.rollout.spec.paused and (draft.status.candidate is not None or draft.status.variants):
        refuse(draft, Command.PROMOTE, f"the rollout is paused: say `{draft.typed('resume')}` first")
    elif draft.status.candidate is not None:
        _promote_candidate(draft, promotion)
    elif draft.status.variants:
        _promote_variant(draft, promotion)
    else:
        hint = f"; try the aborted version again with `{draft.typed('retry')}`" if draft.status.failure else ""
        refuse(draft, Command.PROMOTE, f"nothing is rolling out{hint}")


def _promote_candidate(draft: Draft, promotion: Promotion) -> None:
    status, strategy, candidate = draft.status, draft.strategy, draft.candidate
    if promotion.variant not in (None, CANDIDATE):
        refuse(draft, Command.PROMOTE, f"there is no variant {promotion.variant}: {candidate.revision.id} rolls out")
    elif status.step is None:
        refuse(draft, Command.PROMOTE, f"{candidate.revision.id} is not ready yet")
    elif status.step >= strategy.count:
        refuse(draft, Command.PROMOTE, "all steps are done, only the routers have not yet acknowledged the last one")
    elif candidate.ready == 0:
        refuse(draft, Command.PROMOTE, f"no replica of {candidate.revision.id} answers")
    elif promotion.full:
        draft.consumed.append(Command.PROMOTE)
        draft.tell("PromotedByHand", "somebody promoted it past all remaining steps", candidate.revision.id)
        draft.change(step_started_at=draft.now, awaits_promotion=False)
        if status.replicas is None:
            draft.change(step=strategy.count)
            draft.give(ALL)
        else:
            draft.change(step=strategy.count - 1)  # that brings it to full size first


def _promote_variant(draft: Draft, promotion: Promotion) -> None:
    experiment = draft.status.experiment
    parts = {variant.name: variant for variant in draft.taking_part}
    name = promotion.variant or (experiment.winner if experiment is not None else "")
    if experiment is None:
        refuse(draft, Command.PROMOTE, "the variants are not ready yet")
    elif not name:
        refuse(draft, Command.PROMOTE, f"nobody has won yet: name one of {', '.join(parts)} with --variant")
    elif name not in parts and name != CONTROL:
        refuse(draft, Command.PROMOTE, f"{name} is none of the variants that take part: {', '.join(parts)}")
    elif name in parts and parts[name].ready == 0:
        refuse(draft, Command.PROMOTE, f"no replica of {name} answers")
    else:
        draft.consumed.append(Command.PROMOTE)
        draft.tell("PromotedByHand", f"somebody promoted {name}", _version(draft))
        variants.promote(draft, name)
