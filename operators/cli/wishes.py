"""Commands that say what a person wants of a rollout: promote, abort, retry, undo, pause, resume, delete.

What makes no sense is refused here, where the person still looks; what stopped making sense in between is refused by
the operator, with an event.
"""

from typing import Annotated

import typer

from operators.api import ModelRollout, RolloutKey
from operators.api.strategies import CONTROL
from operators.cli.errors import CliError
from operators.cli.session import Name, Session
from operators.plan import Command, Promotion


def promote(
    session: Session,
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Skip all remaining steps.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if checks have failed.")] = False,
    variant: Annotated[str, typer.Option(help="Make this variant of the experiment stable.", show_default=False)] = "",
) -> None:
    """Wave a rollout past its current step, or end an experiment.

    An experiment with variants ends with its winner as the stable version, or with the one that is named; `control`
    keeps the stable version.
    """
    if full and variant:
        raise typer.BadParameter("a variant is promoted at once: leave out --full", param_hint="--variant")
    rollout = session.find(name)
    if _current(rollout):
        if not _under_way(rollout):
            aborted = bool(rollout.status.failure)
            raise CliError(_nothing(rollout), f"try it again: {session.say(f'retry {name}')}" if aborted else "")
        _check_variant(session, rollout, variant)
    if rollout.spec.paused:
        raise CliError(f"modelrollout/{name} is paused", f"first: {session.say(f'resume {name}')}")
    done = "full promotion" if full else f"promotion of {variant}" if variant else "promotion"
    _ask(session, rollout, Command.PROMOTE, str(Promotion(full, variant or None, force)), f"{done} requested")


def abort(session: Session, name: Name) -> None:
    """Take all traffic from the candidate, or from all variants, at once.

    The stable version serves everything. The same version or experiment is not tried again until the spec changes, or
    `retry`.
    """
    rollout = session.find(name)
    if _current(rollout) and not _under_way(rollout):
        raise CliError(_nothing(rollout), f"go back to an earlier version: {session.say(f'undo {name}')}")
    _ask(session, rollout, Command.ABORT, "", "abort requested")


def retry(session: Session, name: Name) -> None:
    """Try a version again that was aborted, or begin an experiment anew that is over or lacks a variant."""
    rollout = session.find(name)
    status = rollout.status
    ended = bool(status.trial) and not status.variants
    lacking = any(variant.failure for variant in status.variants)
    if _current(rollout) and status.failed is None and not ended and not lacking:
        raise CliError(f"no version of modelrollout/{name} was aborted: there is nothing to retry")
    _ask(session, rollout, Command.RETRY, "", "retry requested")


def undo(
    session: Session,
    name: Name,
    to: Annotated[str, typer.Option("--to", help="The version to go back to; else the one before.")] = "",
) -> None:
    """Go back to an earlier stable version."""
    rollout = session.find(name)
    former = [revision.id for revision in rollout.status.revisions[1:]]
    if to and not any(version.startswith(to) for version in former):
        known = f"; there are: {', '.join(former)}" if former else ", nor any other"
        raise CliError(f"modelrollout/{name} has no former stable version {to}{known}")
    if not to and not former and not _under_way(rollout):
        raise CliError(f"modelrollout/{name} has no former stable version to go back to")
    _ask(session, rollout, Command.UNDO, to, "undo requested")


def pause(session: Session, name: Name) -> None:
    """Let the steps of a rollout wait.

    Checks that fail abort all the same.
    """
    _set_paused(session, name, paused=True)


def resume(session: Session, name: Name) -> None:
    """Let the steps go on."""
    _set_paused(session, name, paused=False)


def delete(session: Session, name: Name) -> None:
    """Remove a rollout.

    First its route goes, then its replicas finish what they have accepted, then it is forgotten.
    """
    if not session.backend.delete(RolloutKey(session.namespace, name)):
        raise session.unknown(name)
    typer.echo(f"modelrollout/{name} deleted")


def _set_paused(session: Session, name: str, paused: bool) -> None:
    rollout = session.find(name)
    word = "paused" if paused else "resumed"
    if rollout.spec.paused == paused:
        raise CliError(f"modelrollout/{name} is {'already' if paused else 'not'} paused")
    session.backend.set_paused(rollout.key, paused)
    typer.echo(f"modelrollout/{name} {word}")
    session.tell_operator()


def _ask(session: Session, rollout: ModelRollout, command: Command, value: str, done: str) -> None:
    session.backend.annotate(rollout.key, {command.annotation: value})
    typer.echo(f"modelrollout/{rollout.key.name}: {done}")
    session.tell_operator()


def _current(rollout: ModelRollout) -> bool:
    """Whether the operator has seen the manifest as it is: before, nothing can be said about the status."""
    return rollout.status.observed_generation == rollout.metadata.generation


def _under_way(rollout: ModelRollout) -> bool:
    return rollout.status.candidate is not None or bool(rollout.status.variants)


def _check_variant(session: Session, rollout: ModelRollout, variant: str) -> None:
    """Raises `CliError` when an experiment has no such variant, or when one must be named and none is."""
    name, status = rollout.key.name, rollout.status
    there = [one.name for one in status.variants if not one.failure]
    if variant and not there:
        raise CliError(
            f"modelrollout/{name} has no variants", f"promote its candidate: {session.say(f'promote {name}')}"
        )
    if variant and variant not in (*there, CONTROL):
        raise CliError(f"modelrollout/{name} has no variant {variant}; there are: {', '.join(there)}")
    winner = status.experiment.winner if status.experiment is not None else ""
    if there and not variant and not winner:
        choice = session.say(f"promote {name} --variant {there[0]}")
        raise CliError(f"no variant of modelrollout/{name} has won yet", f"name one: {choice}")


def _nothing(rollout: ModelRollout) -> str:
    return f"nothing is rolling out for modelrollout/{rollout.key.name}: {rollout.status.message}"
