"""The command that turns other projects' manifests into rollouts (docs/convert.md)."""

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from operators.cli.errors import CliError
from operators.cli.render import dumped
from operators.cli.session import warn
from operators.manifests import read


class Output(StrEnum):
    """Forms of the rollouts."""

    YAML = "yaml"
    JSON = "json"


def convert(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders with manifests, - for standard input.", show_default=False)
    ],
    output: Annotated[Output, typer.Option("--output", "-o", help="The form of the rollouts.")] = Output.YAML,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if something could not be carried over.")] = False,
) -> None:
    """Turn manifests of KServe, Seldon Core and Argo Rollouts into rollouts.

    Prints the rollouts, and on standard error what could not be carried over and what to do instead. Nothing is
    applied.
    """
    from operators.convert import Kind  # noqa: PLC0415 - the other commands convert nothing
    from operators.convert import convert as converted  # noqa: PLC0415

    reading = read(paths, sys.stdin)
    for problem in reading.problems:
        warn(problem)
    conversions = list(converted((document.place, document.content) for document in reading.documents))
    notes = [(one.place, note) for one in conversions for note in one.notes]
    for place, note in notes:
        warn(f"{place}: {note}")
    rollouts = [one.rollout for one in conversions if one.rollout is not None]
    if not rollouts:
        raise CliError("there is no rollout in what was read", "docs/convert.md says what can be converted")
    typer.echo(_written(rollouts, output))
    if reading.problems or any(note.kind is Kind.NOT_CONVERTED for _, note in notes):
        raise CliError("not every manifest was converted: see above")
    if strict and any(note.kind.is_loss for _, note in notes):
        raise CliError("something could not be carried over, which --strict does not allow: see above")


def _written(rollouts: Sequence[Mapping[str, Any]], output: Output) -> str:
    """YAML documents, or JSON: one object or a List, as `kubectl` reads and writes it."""
    if output is Output.YAML:
        return "\n---\n".join(dumped(rollout, output) for rollout in rollouts)
    single = rollouts[0] if len(rollouts) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(rollouts)}
    return dumped(single, output)
