"""Commands that begin with manifests: up, apply, plan, lint."""

import asyncio
import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from operators.api import InvalidManifest
from operators.cli.backend import Backend
from operators.cli.errors import CliError
from operators.cli.session import connect, tell_operator, warn
from operators.local.admission import Admitted
from operators.local.database import Applied
from operators.local.home import Home
from operators.manifests import read

GIVEN = "tidegate.dev/up-manifest"
"""The annotation with the digest of the manifest that `up` was given last."""
_WHERE = "Files or folders with manifests, - for standard input."
Paths = Annotated[list[Path] | None, typer.Argument(help=_WHERE, show_default=False)]
Files = Annotated[list[Path] | None, typer.Option("--filename", "-f", help=_WHERE, show_default=False)]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 to answer on.")]


def up(paths: Paths = None, port: Port = 8080) -> None:
    """Serve models on this machine until Ctrl-C.

    Applies the manifests and starts Ray, Envoy and the control loop. A manifest that has not changed since the last
    `up` is left alone, so that a start goes on from where the last one ended. Without manifests, what was applied
    before is served again.
    """
    from operators.cli.greeting import greeting  # noqa: PLC0415 - the other commands start nothing
    from operators.local.stack import Stack  # noqa: PLC0415

    backend = connect()
    stack = Stack(Home.from_environment(), port, warn)
    admitted = _admit(backend, paths) if paths else []
    stack.check()
    for one in admitted:
        _store_if_new(backend, one)
    asyncio.run(stack.run(lambda rollouts: typer.echo("\n".join(greeting(rollouts, port, paths or ())))))


def apply(paths: Paths = None, files: Files = None) -> None:
    """Make rollouts, or change them.

    The control loop makes the world follow. If one manifest is invalid, none is applied.
    """
    backend = connect()
    _store(backend, _admit(backend, _all(paths, files)))
    tell_operator(backend)


def plan(paths: Paths = None, files: Files = None) -> None:
    """Print what applying manifests would do."""
    from operators.cli.forecast import forecast  # noqa: PLC0415 - brings the whole core

    backend = connect()
    for admitted in _admit(backend, _all(paths, files)):
        before = backend.rollout(admitted.rollout.key)
        typer.echo("\n".join(forecast(backend.applied(admitted), before)))


def lint(paths: Paths = None, files: Files = None) -> None:
    """Check manifests without applying them.

    Prints every problem, and ends with exit code 1 if there is any.
    """
    admitted, problems = _examine(connect(), _all(paths, files))
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


def _admit(backend: Backend, paths: Sequence[Path]) -> list[Admitted]:
    admitted, problems = _examine(backend, paths)
    if problems:
        raise CliError("\n".join(["the manifests are not valid, nothing was changed:", *problems]))
    return admitted


def _examine(backend: Backend, paths: Sequence[Path]) -> tuple[list[Admitted], list[str]]:
    """All manifests that are valid, and a line for each problem of the others."""
    reading = read(paths, sys.stdin)
    admitted: list[Admitted] = []
    problems = list(reading.problems)
    for document in reading.documents:
        try:
            one = backend.admit(document)
        except InvalidManifest as error:
            problems += (f"{document.place}: {problem}" for problem in error.problems)
            continue
        twin = next((other for other in admitted if other.rollout.key == one.rollout.key), None)
        if twin is not None:
            problems.append(f"{one.place}: metadata.name: {one.rollout.key.name} stands at {twin.place} already")
        admitted.append(one)
    return admitted, problems


def _store_if_new(backend: Backend, one: Admitted) -> None:
    """Store a manifest, unless it is what the last `up` was given: then what was done since still counts."""
    mark = sha256(json.dumps([one.spec, one.resolved], sort_keys=True).encode()).hexdigest()
    before = backend.rollout(one.rollout.key)
    if before is not None and before.metadata.annotations.get(GIVEN) == mark:
        typer.echo(f"modelrollout/{one.rollout.key.name} goes on: its manifest is that of the last `tidegate up`")
        return
    _store(backend, [one])
    backend.annotate(one.rollout.key, {GIVEN: mark})


def _store(backend: Backend, admitted: Sequence[Admitted]) -> None:
    for one in admitted:
        key = one.rollout.key
        before = backend.rollout(key)
        if before is not None and before.metadata.deletion_timestamp is not None and backend.awake():
            raise CliError(f"modelrollout/{key.name} is being deleted", "wait until it is gone, then apply it again")
        done = backend.apply(one)
        typer.echo(f"modelrollout/{key.name} {done.value}")
        if done is not Applied.UNCHANGED and one.rollout.spec.paused:
            warn(f"modelrollout/{key.name} is paused: tidegate resume {key.name}")
