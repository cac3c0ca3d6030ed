"""Commands that look: get, describe, status."""

import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from operators.api import ModelRollout, RolloutKey
from operators.api.fields import parse_duration
from operators.cli import render
from operators.cli.errors import CliError
from operators.cli.session import Name, Session, warn
from operators.status import Phase

_TICK_SECONDS = 1.0
"""How often a person who watches sees ages grow, and how late a timeout may be noticed."""


class Output(StrEnum):
    """Forms of `get`."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"


def get(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="The rollout's name; else all.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it as it changes.")] = False,
    output: Annotated[Output | None, typer.Option("--output", "-o", help="Another form.", show_default=False)] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")] = False,
) -> None:
    """Show rollouts, one a line."""
    if name is not None and everywhere:
        raise typer.BadParameter("a name belongs to one namespace: use -n", param_hint="-A")
    namespace = None if everywhere else session.namespace
    if watch and output in (None, Output.WIDE):
        _watch(session, name, namespace, wide=output is Output.WIDE)
        return
    rollouts = session.backend.rollouts(namespace) if name is None else [session.find(name)]
    if output in (Output.JSON, Output.YAML):
        typer.echo(render.document(rollouts, output.value, single=name is not None))
    elif not rollouts:
        warn(f"no rollouts; make one: {session.say('apply -f FILE')}")
    else:
        typer.echo(render.overview(rollouts, time.time(), wide=output is Output.WIDE, namespaces=everywhere))


def describe(session: Session, name: Name) -> None:
    """Show everything about a rollout."""
    rollout = session.find(name)
    typer.echo(render.description(rollout, session.backend.events(rollout), time.time()))


def status(
    session: Session,
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print each change while waiting.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 5m.")] = "5m",
) -> None:
    """Wait until a rollout is healthy.

    Ends with exit code 1 and the reason when it does not become healthy in time, or by itself.
    """
    try:
        end = time.monotonic() + parse_duration(timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    rollout, idle = session.find(name), session.backend.idle()
    if idle is not None:
        raise CliError(f"{idle.reason}, so {_where(rollout)}", idle.hint)
    closer, said = f"look closer: {session.say(f'describe {name}')}", ""
    for found in session.backend.follow(session.namespace, name, _TICK_SECONDS):
        if not found:
            raise session.unknown(name)
        if _arrived(found[0], closer):
            typer.echo(f"modelrollout/{name} is healthy: {found[0].status.message}")
            return
        if time.monotonic() >= end:
            raise CliError(f"gave up after {timeout}: {_where(found[0])}", closer)
        if watch and said != (news := _where(found[0], "is")):
            typer.echo(news)
            said = news


def _arrived(rollout: ModelRollout, closer: str) -> bool:
    """Whether the rollout is healthy as its manifest wants it now. Raises `CliError` when it will not become so."""
    found = rollout.status
    if found.observed_generation != rollout.metadata.generation or rollout.commands:
        return False
    if found.phase is Phase.DEGRADED:
        raise CliError(f"modelrollout/{rollout.key.name} is degraded: {found.message}", closer)
    return found.phase is Phase.HEALTHY


def _where(rollout: ModelRollout, verb: str = "stays") -> str:
    seen = rollout.status.observed_generation == rollout.metadata.generation
    message = rollout.status.message if seen else "the operator has not seen the manifest yet"
    return f"modelrollout/{rollout.key.name} {verb} {rollout.status.phase.value}: {message}"


def _watch(session: Session, name: str | None, namespace: str | None, wide: bool) -> None:
    """Draw a live tree until Ctrl-C; where no terminal is, a line for every change."""
    if name is not None:
        session.find(name)
    news = session.backend.follow(namespace, name, _TICK_SECONDS)
    if sys.stdout.isatty():
        _draw(news, namespaces=namespace is None)
        return
    shown: dict[RolloutKey, ModelRollout] = {}
    for rollouts in news:
        changed = [rollout for rollout in rollouts if shown.get(rollout.key) != rollout]
        if changed:
            text = render.overview(changed, time.time(), wide=wide, namespaces=namespace is None)
            typer.echo(text if not shown else text.partition("\n")[2])
        shown = {rollout.key: rollout for rollout in rollouts}


def _draw(news: Iterator[Sequence[ModelRollout]], namespaces: bool) -> None:
    from rich.live import Live  # noqa: PLC0415 - slow to import, needed here only

    from operators.cli.live import forest  # noqa: PLC0415

    with Live(auto_refresh=False) as live:
        for rollouts in news:  # ages and pauses go on without any change
            live.update(forest(rollouts, time.time(), namespaces), refresh=True)
