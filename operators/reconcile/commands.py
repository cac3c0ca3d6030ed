"""What people asked for: abort, undo, retry, promote. Every command is answered, by doing it or by saying why not."""

from collections.abc import Callable, Mapping
from typing import Final

from operators.api import revision_of
from operators.plan import Command
from operators.reconcile.draft import Draft
from operators.status import Revision
from operators.strategies import ALL

PROMOTIONS: Final = ("step", "full")


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


def forced(draft: Draft) -> bool:
    """Whether somebody asked to promote in spite of failed checks."""
    return "force" in draft.rollout.commands.get(Command.PROMOTE, "").split(",")


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
    if draft.status.candidate is None:
        refuse(draft, Command.ABORT, "nothing is rolling out")
        return
    draft.consumed.append(Command.ABORT)
    draft.abort("somebody asked for it")


def _undo(draft: Draft, value: str) -> None:
    status = draft.status
    if status.candidate is not None and value in ("", status.stable.id if status.stable is not None else ""):
        draft.consumed.append(Command.UNDO)
        draft.abort("somebody asked for undo")
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
    if draft.status.failed is None:
        refuse(draft, Command.RETRY, "no version was aborted or taken back")
        return
    draft.consumed.append(Command.RETRY)
    version = draft.status.failed
    draft.change(failed=None, failure="")
    draft.tell("Retried", f"{version} may be tried again", version)


def _promote(draft: Draft, value: str) -> None:
    """Check a promotion, and carry out one to the end."""
    status, strategy = draft.status, draft.strategy
    extent, *options = value.split(",")
    if extent not in PROMOTIONS or any(option != "force" for option in options):
        refuse(draft, Command.PROMOTE, f"{value!r} is neither step nor full, nor one of them with ,force")
    elif status.candidate is None:
        hint = f"; try the aborted version again with `tidegate retry {draft.name}`" if status.failure else ""
        refuse(draft, Command.PROMOTE, f"nothing is rolling out{hint}")
    elif draft.rollout.spec.paused:
        refuse(draft, Command.PROMOTE, f"the rollout is paused: say `tidegate resume {draft.name}` first")
    elif status.step is None:
        refuse(draft, Command.PROMOTE, f"{status.candidate.revision.id} is not ready yet")
    elif status.step >= strategy.count:
        refuse(draft, Command.PROMOTE, "all steps are done, only the routers have not yet acknowledged the last one")
    elif status.candidate.ready == 0:
        refuse(draft, Command.PROMOTE, f"no replica of {status.candidate.revision.id} answers")
    elif extent == "full":
        draft.consumed.append(Command.PROMOTE)
        draft.change(step=strategy.count, step_started_at=draft.now, awaits_promotion=False)
        draft.change(weight=ALL.weight, shadow=ALL.shadow)
        draft.tell("PromotedByHand", "somebody promoted it past all remaining steps", status.candidate.revision.id)
