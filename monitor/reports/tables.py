"""Tables out of records: what profiles, watches and tests are made of. Pure.

A request counts once, however many rows it has: rows that came together resemble each other, and are no independent
evidence. Its id chooses which of its rows it is, so that live and mirrored half of a pair give the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from monitor.profiles import Kind, category, hash_of

LONGEST_VECTOR: Final = 100
"""Numbers of one answer that become columns; longer ones are embeddings rather than probabilities."""
MOST_CLASSES: Final = 50
"""Different whole numbers that still may be names of classes."""

Row = Mapping[str, object]
Columns = Mapping[str, Sequence[object]]


def chosen(request_id: str, rows: int) -> int:
    """The row that stands for the request."""
    return hash_of(request_id) % rows if rows > 1 else 0


def features(request_id: str, inputs: Columns) -> Row:
    """The chosen row of the inputs; what is neither a number, nor text, nor true or false, nor missing is left out."""
    at = chosen(request_id, max(1, *map(len, inputs.values()))) if inputs else 0
    row = {name: values[at] if at < len(values) else None for name, values in inputs.items()}
    return {name: value for name, value in row.items() if _simple(value)}


def predictions(request_id: str, outputs: Columns) -> Row:
    """The chosen row of the first output, and of the others if they are numbers, as scores and probabilities are.

    A list of numbers becomes a column for each.
    """
    row: dict[str, object] = {}
    for name, values in outputs.items():
        value = values[chosen(request_id, len(values))] if values else None
        if isinstance(value, list):
            if len(value) <= LONGEST_VECTOR and all(map(_number, value)):
                row |= {f"{name}[{place}]": one for place, one in enumerate(value)}
        elif _number(value) or (name == next(iter(outputs)) and _simple(value)):
            row[name] = value
    return row


def columns(rows: Sequence[Row]) -> dict[str, list[object]]:
    """The same as columns; None where a row has no such value."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def kinds_of_predictions(given: Columns) -> dict[str, Kind]:
    """How to read columns of answers: whole numbers, if there are few different ones, name classes."""
    return {name: Kind.NUMERIC if quantities(values) else Kind.CATEGORICAL for name, values in given.items()}


def quantities(values: Iterable[object]) -> bool:
    """Whether these are quantities rather than names of classes: numbers, not all whole or of many different values."""
    found: set[float] = set()
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.add(value)
        elif value is not None:
            return False
    return len(found) > MOST_CLASSES or any(not float(value).is_integer() for value in found)


def name_of(value: object) -> str:
    """The name of a class. The text "1" is not the number 1 (`monitor.tallies.same`), so it keeps its quotes."""
    if isinstance(value, list | dict):
        return category(orjson.dumps(value).decode()) or ""
    if isinstance(value, str):
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return category(value) or ""
        return f'"{value}"'
    return category(value) or ""


def _simple(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
