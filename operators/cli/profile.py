"""The command that writes the statistics which lie beside a model (docs/records.md)."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from operators.cli.errors import CliError
from operators.cli.session import warn

LARGEST: Final = 8 << 20
"""Bytes of a profile that replicas pass on."""
_TRUTH: Final = {"true": True, "false": False}

Value = float | bool | str | None


def profile(
    data: Annotated[Path, typer.Argument(help="The training data: CSV, its first line names the columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Such as MODEL.joblib.profile.json.")],
    predictions: Annotated[
        list[str] | None, typer.Option(help="A column with the model's own answers; may come often.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A column that is neither, such as the label; may come often.")
    ] = None,
) -> None:
    """Write the statistics of training data, from which drift is measured.

    Columns are named as the model's inputs and outputs are. Those that hold numbers only are numeric.
    """
    from monitor.profiles import Profile  # noqa: PLC0415 - brings NumPy
    from monitor.reports.tables import kinds_of_predictions  # noqa: PLC0415

    columns, answers = read(data), predictions or []
    unknown = [name for name in (*answers, *(without or ())) if name not in columns]
    if unknown:
        raise CliError(f"{data} has no column {', '.join(unknown)}; it has {', '.join(columns)}")
    features = {name: values for name, values in columns.items() if name not in {*answers, *(without or ())}}
    if not features:
        raise CliError(f"{data} has no column left that could be a feature")
    given = {name: columns[name] for name in answers}
    made = {
        "features": json.loads(Profile.of(features).to_json()),
        "predictions": json.loads(Profile.of(given, kinds_of_predictions(given)).to_json()) if given else None,
    }
    text = json.dumps(made, separators=(",", ":"), allow_nan=False)
    if len(text) > LARGEST:
        raise CliError(
            f"the profile would be larger than the {LARGEST >> 20} MiB that replicas pass on", "use fewer columns"
        )
    try:
        output.write_text(text)
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}") from error
    if not output.name.endswith(".profile.json"):
        warn(f"beside a model it must be named MODEL.profile.json, not {output.name}")
    typer.echo(
        f"{output}: {len(next(iter(columns.values()))):,} rows, {len(features)} features, {len(given)} predictions"
    )


def read(path: Path) -> Mapping[str, Sequence[Value]]:
    """The columns of a CSV file: numbers, or true and false, where all cells of a column are; empty cells are missing.

    Raises `CliError`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            if not head or len(set(head)) < len(head) or not all(head):
                raise CliError(f"{path}:1: the first line must name the columns, each once")
            rows = []
            for row in reader:
                if len(row) != len(head):
                    raise CliError(f"{path}:{reader.line_num}: {len(row)} cells where {len(head)} are expected")
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CliError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise CliError(f"{path} has no rows")
    return {name: _typed([row[place].strip() for row in rows]) for place, name in enumerate(head)}


def _typed(cells: Sequence[str]) -> Sequence[Value]:
    if all(cell.lower() in _TRUTH for cell in cells if cell):
        return [_TRUTH[cell.lower()] if cell else None for cell in cells]
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]
