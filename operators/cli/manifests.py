"""Commands that begin with manifests: up, apply, plan, lint."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from operators.api import InvalidManifest, Problem
from operators.cli.errors import CliError
from operators.cli.program import TIDEGATE
from operators.cli.session import Session, Where, warn
from operators.manifests import Document, read
from operators.stored import Admitted, Applied

GIVEN = "tidegate.dev/up-manifest"
"""The annotation with the digest of the manifest that `up` was given last."""
_WHERE = "Files or folders with manifests, - for standard input."
Paths = Annotated[list[Path] | None, typer.Argument(help=_WHERE, show_default=False)]
Files = Annotated[list[Path] | None, typer.Option("--filename", "-f", help=_WHERE, show_default=False)]
Force = Annotated[bool, typer.Option("--force-conflicts", help="Take over fields that others have set in a cluster.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 to answer on.")]
Everywhere = Annotated[bool, typer.Option("--all-interfaces", help="Answer others too, not this machine alone.")]


def up(call: typer.Context, paths: Paths = None, port: Port = 8080, everywhere: Everywhere = False) -> None:
    """Serve models on this machine until Ctrl-C.

    Applies the manifests and starts Ray, Envoy and the control loop. A manifest that has not changed since the last
    `up` is left alone, so that a start goes on from where the last one ended. Without manifests, what was applied
    before is served again.
    """
    from operators.cli.greeting import greeting  # noqa: PLC0415 - the other commands start nothing
    from operators.local.home import Home  # noqa: PLC0415
    from operators.local.stack import Stack  # noqa: PLC0415

    if call.obj != Where():
        raise typer.BadParameter("`up` serves on this machine, it goes to no cluster and no namespace")
    session = TIDEGATE.session(Where())
    stack = Stack(Home.from_environment(), port, warn, everywhere)
    admitted = _admit(session, paths) if paths else []
    with stack.claimed():
        for one in admitted:
            _store_if_new(session, one)
        asyncio.run(stack.run(lambda rollouts: typer.echo("\n".join(greeting(rollouts, port, paths or ())))))


def apply(session: Session, paths: Paths = None, files: Files = None, force: Force = False) -> None:
    """Make rollouts, or change them.

    The control loop makes the world follow. If one manifest is invalid, none is applied.
    """
    _store(session, _admit(session, _all(paths, files), force), force)
    session.tell_operator()


def plan(session: Session, paths: Paths = None, files: Files = None, force: Force = False) -> None:
    """Print what applying manifests would do."""
    from operators.cli.forecast import forecast  # noqa: PLC0415 - brings the whole core

    for admitted in _admit(session, _all(paths, files), force):
        before = session.backend.rollout(admitted.rollout.key)
        typer.echo("\n".join(forecast(session.backend.applied(admitted), before, session.say)))


def lint(session: Session, paths: Paths = None, files: Files = None) -> None:
    """Check manifests without applying them.

    Prints every problem, and ends with exit code 1 if there is any.
    """
    admitted, problems = _examine(session, _all(paths, files), force=True)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    for one in admitted:
        typer.echo(f"{one.place}: modelrollout/{one.rollout.key.name} is valid")


def _all(paths: Paths, files: Files) -> list[Path]:
    named = [*(files or ()), *(paths or ())]
    if not named:
        raise typer.BadParameter("name at least one file or folder", param_hint="-f")
    return named


def _admit(session: Session, paths: Sequence[Path], force: bool = False) -> list[Admitted]:
    admitted, problems = _examine(session, paths, force)
    if problems:
        raise CliError("\n".join(["the manifests are not valid, nothing was changed:", *problems]))
    return admitted


def _examine(session: Session, paths: Sequence[Path], force: bool) -> tuple[list[Admitted], list[str]]:
    """All manifests that are valid, and a line for each problem of the others."""
    reading = read(paths, sys.stdin)
    admitted: list[Admitted] = []
    problems = list(reading.problems)
    for document in reading.documents:
        try:
            one = session.backend.admit(_in_namespace(session, document), force)
        except InvalidManifest as error:
            problems += (f"{document.place}: {problem}" for problem in error.problems)
            continue
        twin = next((other for other in admitted if other.rollout.key == one.rollout.key), None)
        if twin is not None:
            problems.append(f"{one.place}: metadata.name: {one.rollout.key.name} stands at {twin.place} already")
        admitted.append(one)
    return admitted, problems


def _in_namespace(session: Session, document: Document) -> Document:
    """The manifest with the namespace that is meant. Raises `InvalidManifest` when it names another one than -n."""
    metadata = document.content.get("metadata")
    if not isinstance(metadata, Mapping):
        return document  # whoever admits it says so
    found = metadata.get("namespace", session.namespace)
    if session.where.namespace not in (None, found):
        reason = f"is {found}, but the command says -n {session.where.namespace}"
        raise InvalidManifest([Problem("metadata.namespace", reason)])
    return replace(document, content={**document.content, "metadata": {**metadata, "namespace": found}})


def _store_if_new(session: Session, one: Admitted) -> None:
    """Store a manifest, unless it is what the last `up` was given: then what was done since still counts."""
    mark = sha256(json.dumps([one.spec, one.resolved], sort_keys=True).encode()).hexdigest()
    before = session.backend.rollout(one.rollout.key)
    if before is not None and before.metadata.annotations.get(GIVEN) == mark:
        typer.echo(f"modelrollout/{one.rollout.key.name} goes on: its manifest is that of the last `tidegate up`")
        return
    _store(session, [one])
    session.backend.annotate(one.rollout.key, {GIVEN: mark})


def _store(session: Session, admitted: Sequence[Admitted], force: bool = False) -> None:
    backend = session.backend
    for one in admitted:
        key = one.rollout.key
        before = backend.rollout(key)
        if before is not None and before.metadata.deletion_timestamp is not None and backend.idle() is None:
            raise CliError(f"modelrollout/{key.name} is being deleted", "wait until it is gone, then apply it again")
        done = backend.apply(one, force)
        typer.echo(f"modelrollout/{key.name} {done.value}")
        if done is not Applied.UNCHANGED and one.rollout.spec.paused:
            warn(f"modelrollout/{key.name} is paused: {session.say(f'resume {key.name}')}")
