"""The command lines' entry: all commands, and how errors are told."""

from typing import Any

import typer
from typer.core import TyperGroup

from operators.cli import convert, feedback, manifests, power, profile, reports, show, simulate, wishes
from operators.cli.errors import sentence
from operators.cli.program import PLUGIN, TIDEGATE, Program


class _Commands(TyperGroup):
    """Tells foreseen errors as a sentence on stderr, with exit code 1. Usage errors have exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            text = sentence(error)
            if text is None:
                raise
            typer.echo(f"error: {text}", err=True)
            raise typer.Exit(1) from error


def version() -> None:
    """Print Tidegate's version."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - slow to import

    typer.echo(f"tidegate {installed('tidegate')}")


def command_line(program: Program) -> typer.Typer:
    """All commands of a program."""
    line = typer.Typer(
        cls=_Commands,
        help="Puts several versions of a model behind one address and moves traffic between them safely.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    line.callback()(program.callback())
    if not program.cluster:
        line.command()(manifests.up)
    for command in (
        manifests.apply,
        show.get,
        show.describe,
        show.status,
        wishes.promote,
        wishes.abort,
        wishes.retry,
        wishes.undo,
        wishes.pause,
        wishes.resume,
        manifests.plan,
        manifests.lint,
        wishes.delete,
        reports.compare,
        reports.drift,
        reports.performance,
        power.power,
        reports.events,
        feedback.feedback,
    ):
        line.command()(program.command(command))
    line.command()(simulate.simulate)
    line.command()(profile.profile)
    line.command()(convert.convert)
    line.command()(version)
    return line


app = command_line(TIDEGATE)
plugin = command_line(PLUGIN)
