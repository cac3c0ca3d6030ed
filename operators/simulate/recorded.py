"""A version's behaviour from a log of requests: which share failed, and how long they took.

The log is a CSV file with a head line, or one JSON object a line; requests are drawn from it at random. Its columns are
`status` (HTTP), `milliseconds` and, where the log holds several versions, `version`. Others are not looked at.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from operators.simulate.latency import Empirical


@dataclass(frozen=True, slots=True)
class Recording:
    """What a log says of one version."""

    error_rate: float
    latency: Empirical


def load(path: Path, version: str | None) -> Recording:
    """Read the requests of a version, or of all. Raises `ValueError` with the line that makes no sense."""
    failed, took = 0, []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, line in _lines(path, file):
                if version is not None and str(line.get("version")) != version:
                    continue
                try:
                    status, milliseconds = int(line["status"]), float(line["milliseconds"])
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"{path}:{number}: needs a status and milliseconds, both numbers") from error
                if not 0 <= milliseconds < float("inf"):
                    raise ValueError(f"{path}:{number}: {milliseconds} milliseconds is no time that a request takes")
                failed += status >= 500
                took.append(milliseconds)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start})") from error
    if not took:
        of = "" if version is None else f" of version {version}"
        raise ValueError(f"{path} holds no request{of}")
    return Recording(failed / len(took), Empirical(tuple(sorted(took))))


def _lines(path: Path, file: Iterator[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    if path.suffix == ".csv":
        yield from enumerate(csv.DictReader(file), start=2)
        return
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(line, dict):
            raise ValueError(f"{path}:{number}: is no JSON object")
        yield number, line
