"""Commands that say what a person wants of a rollout: promote, abort, retry, undo, pause, resume, delete.

What makes no sense is refused here, where the person still looks; what stopped making sense in between is refused by
the operator, with an event.
"""

from typing import Annotated

import typer

from operators.api import ModelRollout
from operators.cli.backend import Backend
from operators.cli.errors import CliError
from operators.cli.session import DEFAULT_NAMESPACE, Name, Namespace, connect, find, tell_operator, unknown
from operators.plan import Command


def promote(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Skip all remaining steps.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if checks have failed.")] = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Wave a rollout past its current step."""
    backend = connect()
    rollout = find(backend, name, namespace)
    if _current(rollout) and rollout.status.candidate is None:
        aborted = bool(rollout.status.failure)
        raise CliError(_nothing(rollout), f"try it again: tidegate retry {name}" if aborted else "")
    if rollout.spec.paused:
        raise CliError(f"modelrollout/{name} is paused", f"first: tidegate resume {name}")
    value = ("full" if full else "step") + (",force" if force else "")
    _ask(backend, rollout, Command.PROMOTE, value, "full promotion requested" if full else "promotion requested")


def abort(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Take all traffic from the candidate at once.

    The stable version serves everything. The same version is not tried again until its spec changes, or `retry`.
    """
    backend = connect()
    rollout = find(backend, name, namespace)
    if _current(rollout) and rollout.status.candidate is None:
        raise CliError(_nothing(rollout), f"go back to an earlier version: tidegate undo {name}")
    _ask(backend, rollout, Command.ABORT, "", "abort requested")


def retry(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Try a version again that was aborted."""
    backend = connect()
    rollout = find(backend, name, namespace)
    if _current(rollout) and rollout.status.failed is None:
        raise CliError(f"no version of modelrollout/{name} was aborted: there is nothing to retry")
    _ask(backend, rollout, Command.RETRY, "", "retry requested")


def undo(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="The version to go back to; else the one before.")] = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Go back to an earlier stable version."""
    backend = connect()
    rollout = find(backend, name, namespace)
    former = [revision.id for revision in rollout.status.revisions[1:]]
    if to and not any(version.startswith(to) for version in former):
        known = f"; there are: {', '.join(former)}" if former else ", nor any other"
        raise CliError(f"modelrollout/{name} has no former stable version {to}{known}")
    if not to and not former and rollout.status.candidate is None:
        raise CliError(f"modelrollout/{name} has no former stable version to go back to")
    _ask(backend, rollout, Command.UNDO, to, "undo requested")


def pause(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Let the steps of a rollout wait.

    Checks that fail abort all the same.
    """
    _set_paused(name, namespace, paused=True)


def resume(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Let the steps go on."""
    _set_paused(name, namespace, paused=False)


def delete(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Remove a rollout.

    First its route goes, then its replicas finish what they have accepted, then it is forgotten.
    """
    backend = connect()
    key = find(backend, name, namespace).key
    if not backend.delete(key):
        raise unknown(backend, name, namespace)
    typer.echo(f"modelrollout/{name} deleted")


def _set_paused(name: str, namespace: str, paused: bool) -> None:
    backend = connect()
    rollout = find(backend, name, namespace)
    word = "paused" if paused else "resumed"
    if rollout.spec.paused == paused:
        raise CliError(f"modelrollout/{name} is {'already' if paused else 'not'} paused")
    backend.set_paused(rollout.key, paused)
    typer.echo(f"modelrollout/{name} {word}")
    tell_operator(backend)


def _ask(backend: Backend, rollout: ModelRollout, command: Command, value: str, done: str) -> None:
    backend.annotate(rollout.key, {command.annotation: value})
    typer.echo(f"modelrollout/{rollout.key.name}: {done}")
    tell_operator(backend)


def _current(rollout: ModelRollout) -> bool:
    """Whether the operator has seen the manifest as it is: before, nothing can be said about the status."""
    return rollout.status.observed_generation == rollout.metadata.generation


def _nothing(rollout: ModelRollout) -> str:
    return f"nothing is rolling out for modelrollout/{rollout.key.name}: {rollout.status.message}"
