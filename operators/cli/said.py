"""What people say about requests, as they write it: on the command line, as JSON lines, as CSV."""

import csv
import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final, TextIO

import typer

from operators.cli.errors import CliError

Item = dict[str, Any]
"""`request_id`, and `label`, `reward` or both."""

_FIELDS: Final = ("request_id", "label", "reward")


def one_item(request_id: str, label: str | None, reward: float | None) -> Item:
    """What was said on the command line. Raises `typer.BadParameter`."""
    if label is None and reward is None:
        raise typer.BadParameter("say --label, --reward, or both")
    item: Item = {"request_id": request_id}
    if label is not None:
        item["label"] = _label(label)
    if reward is not None:
        item["reward"] = reward
    return _checked(item, "--label")


def items(file: Path, lines: TextIO) -> Iterator[Item]:
    """Those of a file, whose name says by `.csv` that it is CSV. Raises `CliError` with the line."""
    try:
        yield from _csv(file, lines) if file.suffix.lower() == ".csv" else _json_lines(file, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CliError(f"{file} cannot be read: {error}") from error


def _json_lines(file: Path, lines: TextIO) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _parsed(line)
        except ValueError as error:
            raise CliError(f"{file}:{number}: is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise CliError(f"{file}:{number}: an object with request_id, and label or reward, is expected")
        yield _checked(found, f"{file}:{number}")


def _csv(file: Path, lines: TextIO) -> Iterator[Item]:
    """The first line names the columns. An empty cell says nothing; a label is JSON if it can be read so, else text."""
    reader = csv.DictReader(lines)
    if missing := {"request_id"} - set(reader.fieldnames or ()):
        raise CliError(f"{file}:1: the first line must name the columns, {', '.join(missing)} among them")
    for row in reader:
        place = f"{file}:{reader.line_num}"
        item: Item = {"request_id": row["request_id"]}
        if label := row.get("label"):
            item["label"] = _label(label)
        if reward := row.get("reward"):
            try:
                item["reward"] = float(reward)
            except ValueError as error:
                raise CliError(f"{place}: the reward {reward!r} is no number") from error
        yield _checked(item, place)


def _label(text: str) -> Any:
    try:
        return _parsed(text)
    except ValueError:
        return text


def _parsed(text: str) -> Any:
    """JSON proper: NaN and infinity are none. Raises `ValueError`."""
    found = json.loads(text)
    json.dumps(found, allow_nan=False)
    return found


def _checked(item: Mapping[str, Any], place: str) -> Item:
    """The fields that are known, as the monitor takes them."""
    found = {name: item[name] for name in _FIELDS if item.get(name) is not None}
    if not isinstance(found.get("request_id"), str) or not found["request_id"]:
        raise CliError(f"{place}: request_id is missing")
    if len(found) < 2:
        raise CliError(f"{place}: a label or a reward is missing; null is none")
    reward = found.get("reward")
    if reward is not None and (isinstance(reward, bool) or not isinstance(reward, int | float) or not isfinite(reward)):
        raise CliError(f"{place}: the reward must be a finite number")
    return found
