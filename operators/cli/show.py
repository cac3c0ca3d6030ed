"""Commands that look: get, describe, status."""

import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from operators.api import ModelRollout, RolloutKey
from operators.api.fields import parse_duration
from operators.cli import render
from operators.cli.backend import Backend
from operators.cli.errors import CliError
from operators.cli.session import DEFAULT_NAMESPACE, Name, Namespace, connect, find
from operators.status import Phase

LOOK_SECONDS = 0.25
"""How often the store is asked for news while watching or waiting."""


class Output(StrEnum):
    """Forms of `get`."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"


def get(
    name: Annotated[str | None, typer.Argument(help="The rollout's name; else all.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it as it changes.")] = False,
    output: Annotated[Output | None, typer.Option("--output", "-o", help="Another form.", show_default=False)] = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show rollouts, one a line."""
    backend = connect()
    if watch and output in (None, Output.WIDE):
        _watch(backend, name, namespace)
        return
    rollouts = _chosen(backend, name, namespace)
    if output in (Output.JSON, Output.YAML):
        typer.echo(render.document(rollouts, output.value, single=name is not None))
    elif not rollouts:
        sys.stderr.write("no rollouts; make one: tidegate apply -f FILE\n")
    else:
        typer.echo(render.overview(rollouts, time.time(), wide=output is Output.WIDE))


def describe(name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Show everything about a rollout."""
    backend = connect()
    rollout = find(backend, name, namespace)
    typer.echo(render.description(rollout, backend.events(rollout.key), time.time()))


def status(
    name: Name,
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 5m.")] = "5m",
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Wait until a rollout is healthy.

    Ends with exit code 1 and the reason when it does not become healthy in time, or by itself.
    """
    try:
        end = time.monotonic() + parse_duration(timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    backend = connect()
    rollout = find(backend, name, namespace)
    if not backend.awake():
        raise CliError(f"nothing is running here, so {_where(rollout)}", "start it: tidegate up")
    news = backend.changes(LOOK_SECONDS)
    while not _arrived(rollout):
        if time.monotonic() >= end:
            raise CliError(f"gave up after {timeout}: {_where(rollout)}", f"look closer: tidegate describe {name}")
        if next(news):
            rollout = find(backend, name, namespace)
    typer.echo(f"modelrollout/{name} is healthy: {rollout.status.message}")


def _arrived(rollout: ModelRollout) -> bool:
    """Whether the rollout is healthy as its manifest wants it now. Raises `CliError` when it will not become so."""
    name, found = rollout.key.name, rollout.status
    if found.observed_generation != rollout.metadata.generation or rollout.commands:
        return False
    if found.phase is Phase.DEGRADED:
        raise CliError(f"modelrollout/{name} is degraded: {found.message}", f"look closer: tidegate describe {name}")
    return found.phase is Phase.HEALTHY


def _where(rollout: ModelRollout) -> str:
    seen = rollout.status.observed_generation == rollout.metadata.generation
    message = rollout.status.message if seen else "the operator has not seen the manifest yet"
    return f"modelrollout/{rollout.key.name} stays {rollout.status.phase.value}: {message}"


def _chosen(backend: Backend, name: str | None, namespace: str) -> Sequence[ModelRollout]:
    if name is not None:
        return [find(backend, name, namespace)]
    return [rollout for rollout in backend.rollouts() if rollout.key.namespace == namespace]


def _watch(backend: Backend, name: str | None, namespace: str) -> None:
    """Draw a live tree until Ctrl-C; where no terminal is, a line for every change."""
    key = None if name is None else find(backend, name, namespace).key
    if sys.stdout.isatty():
        _draw(backend, key, namespace)
        return
    shown: dict[RolloutKey, ModelRollout] = {}
    news = backend.changes(LOOK_SECONDS)
    while True:
        found = {rollout.key: rollout for rollout in _present(backend, key, namespace)}
        changed = [rollout for rollout in found.values() if shown.get(rollout.key) != rollout]
        if changed:
            text = render.overview(changed, time.time())
            typer.echo(text if not shown else text.partition("\n")[2])
        shown = found
        while not next(news):
            pass


def _draw(backend: Backend, key: RolloutKey | None, namespace: str) -> None:
    from rich.live import Live  # noqa: PLC0415 - slow to import, needed here only

    from operators.cli.live import forest  # noqa: PLC0415

    with Live(forest(_present(backend, key, namespace), time.time()), auto_refresh=False) as live:
        drawn = time.monotonic()
        for changed in backend.changes(LOOK_SECONDS):
            if changed or time.monotonic() - drawn >= 1:  # ages and pauses go on without any news
                live.update(forest(_present(backend, key, namespace), time.time()), refresh=True)
                drawn = time.monotonic()


def _present(backend: Backend, key: RolloutKey | None, namespace: str) -> Sequence[ModelRollout]:
    """What is there of what is watched: a rollout may be deleted meanwhile."""
    if key is None:
        return _chosen(backend, None, namespace)
    rollout = backend.rollout(key)
    return [] if rollout is None else [rollout]
