"""`tidegate simulate`: what a rollout would do, before anybody applies it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.api import InvalidManifest, ModelRollout, RolloutKey
from operators.cli.errors import CliError
from operators.manifests import Document, read

if TYPE_CHECKING:
    from operators.simulate import Scenario


class Output(StrEnum):
    """Forms of the result."""

    TEXT = "text"
    JSON = "json"


def simulate(  # noqa: PLR0917 - Typer passes all by name
    manifest: Annotated[
        Path, typer.Argument(metavar="ROLLOUT.yaml", help="The manifest that would be applied.", show_default=False)
    ],
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", "-s", help="What happens meanwhile; else a healthy candidate at 50 requests/s."),
    ] = None,
    current: Annotated[
        Path | None, typer.Option("--from", help="The manifest that is applied now; else one with another model.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one gives other requests; the same one the same.")] = 0,
    output: Annotated[Output, typer.Option("--output", "-o", help="The form of the result.")] = Output.TEXT,
    plot: Annotated[Path | None, typer.Option(help="Also draw the timeline into this SVG file.")] = None,
) -> None:
    """Show what a rollout would do, without applying it.

    Plays a scenario of traffic, failures and commands against the manifest, with the real rules and a simulated clock.
    The model is not needed. Ends with exit code 0 if the version (or a variant) is promoted, and with 2 otherwise.
    """
    from operators.simulate import InvalidScenario, Outcome, Scenario  # noqa: PLC0415 - brings the whole core
    from operators.simulate import simulate as play  # noqa: PLC0415
    from operators.simulate.plot import as_svg  # noqa: PLC0415
    from operators.simulate.report import as_json, as_text  # noqa: PLC0415

    after = _rollout(manifest)
    before = _rollout(current) if current is not None else None
    if before is not None and before.key != after.key:
        raise CliError(f"{manifest} is about modelrollout/{after.key}, but {current} about modelrollout/{before.key}")
    described = _scenario(scenario, after.key) if scenario is not None else Scenario()
    try:
        result = play(after, described, before, seed)
    except InvalidScenario as error:
        raise _senseless(scenario, error) from error
    if plot is not None:
        try:
            plot.write_text(as_svg(result), encoding="utf-8")
        except OSError as error:
            raise CliError(f"{plot} cannot be written: {error.strerror}") from error
    if output is Output.JSON:
        typer.echo(as_json(result))
    else:
        as_text(result, sys.stdout, given=before is not None)
    if result.outcome is not Outcome.PROMOTED:
        raise typer.Exit(2)


def _scenario(path: Path, key: RolloutKey) -> "Scenario":
    """Read a scenario. Files that it names start at its folder; manifests must be about the same rollout."""
    from operators.simulate import InvalidScenario, parse_scenario  # noqa: PLC0415
    from operators.simulate.files import Files  # noqa: PLC0415

    def manifest(file: Path) -> ModelRollout:
        found = _manifest(file)
        if found.key != key:
            raise ValueError(f"{file} is about modelrollout/{found.key}, not {key}")
        return found

    try:
        document = _document(path)
        return parse_scenario(document.content, Files(document.folder, manifest))
    except (ValueError, InvalidScenario) as error:
        raise _senseless(path, error) from error


def _senseless(path: Path | None, error: Exception) -> CliError:
    problems = (f"{path}: {problem}" for problem in str(error).splitlines())
    return CliError("\n".join(["the scenario makes no sense:", *problems]))


def _rollout(path: Path) -> ModelRollout:
    try:
        return _manifest(path)
    except InvalidManifest as error:
        problems = (f"{path}: {problem}" for problem in error.problems)
        raise CliError("\n".join(["the manifest is not valid:", *problems])) from error
    except ValueError as error:
        raise CliError(str(error)) from error


def _manifest(path: Path) -> ModelRollout:
    """Read one manifest. Raises `InvalidManifest` or `ValueError`."""
    from operators.local.admission import admit  # noqa: PLC0415 - brings what reads models

    return admit(_document(path), needed=False).rollout


def _document(path: Path) -> Document:
    """The only document of a file. Raises `ValueError`."""
    reading = read([path], sys.stdin)
    if reading.problems:
        raise ValueError("\n".join(reading.problems))
    if len(reading.documents) != 1:
        raise ValueError(f"{path} holds {len(reading.documents)} documents, one is expected")
    return reading.documents[0]
