"""From values to arrays, strictly: what does not have its datatype is refused with its place, never bent."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np

from serving.datatypes import DTYPES, json_types
from serving.errors import MAX_PROBLEMS, InvalidInput, Problem, RequestError
from serving.protocol.base import json_name, shorten

Values = list[Any] | np.ndarray
"""The flat values of one input: as JSON has them, or an array of its datatype, if they came as bytes."""


class Place(NamedTuple):
    """Where a value stands: its row, its field, and both in words."""

    row: int
    field: str
    words: str


Locate = Callable[[int], Place]
"""Says where the value with an index stands in the request."""

_KNOWN: Final = MAX_PROBLEMS + 1
"""Problems that are looked for: one more than are told, so that it can be said that there are more."""


def entry(name: str, per_row: int, index: int) -> Place:
    """The place of a value in a tensor with so many of them in a row."""
    return Place(index // max(per_row, 1), name, f"input {name}, value {index}")


def convert(values: Values, datatype: str, locate: Locate) -> np.ndarray:
    """Flat values as a flat array of `datatype`, all of it finite numbers, booleans or text.

    Raises `InvalidInput` with the first values that are not.
    """
    if type(values) is not list:
        return _checked(values, locate)  # type: ignore[arg-type]
    allowed = json_types(datatype)
    if not allowed.issuperset(map(type, values)):
        wrong = (index for index, value in enumerate(values) if type(value) not in allowed)
        raise InvalidInput([_mistyped(values[index], datatype, locate(index)) for index in islice(wrong, _KNOWN)])
    dtype = DTYPES[datatype]
    if dtype == np.float64 or dtype.kind in "bO":
        return np.array(values, dtype)
    return _narrow(values, datatype, locate)


def check_cast(sent: str, declared: str, field: str) -> None:
    """Raise unless `sent` may stand for `declared`: numbers of any width, but no fractions where integers belong."""
    if not castable(sent, declared):
        raise RequestError(400, "invalid_datatype", f"input {field} must be {declared}; {sent} was sent")


def castable(sent: str, declared: str) -> bool:
    """Whether values of one datatype may stand for those of another, if they fit."""
    return sent == declared or (
        "BYTES" not in (sent, declared) and np.can_cast(DTYPES[sent], DTYPES[declared], "same_kind")
    )


def cast(array: np.ndarray, datatype: str, locate: Locate) -> np.ndarray:
    """A flat array as one of `datatype`. Raises `InvalidInput` with the first numbers that do not fit."""
    dtype = DTYPES[datatype]
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        narrowed = array.astype(dtype)
    if np.can_cast(array.dtype, dtype):
        return narrowed
    # Of integers: numpy takes the sign into account when it compares a signed with an unsigned one.
    fits = np.isfinite(narrowed) | ~np.isfinite(array) if dtype.kind == "f" else narrowed == array
    if not fits.all():
        raise _unfit(((index, array[index].item()) for index in np.flatnonzero(~fits).tolist()), datatype, locate)
    return narrowed


def _checked(array: np.ndarray, locate: Locate) -> np.ndarray:
    """An array in which every number is finite and every entry of BYTES is text."""
    if array.dtype.kind == "f":
        good = np.isfinite(array)
        if not good.all():
            raise InvalidInput(
                [
                    Problem(*locate(index), f"must be a finite number, not {array[index]}", "not_finite")
                    for index in np.flatnonzero(~good)[:_KNOWN].tolist()
                ]
            )
    elif array.dtype == object:
        wrong = (index for index, value in enumerate(array) if type(value) is not str)
        problems = [
            Problem(*locate(index), "must be text in UTF-8", "invalid_datatype") for index in islice(wrong, _KNOWN)
        ]
        if problems:
            raise InvalidInput(problems)
    return array


def _narrow(values: list[Any], datatype: str, locate: Locate) -> np.ndarray:
    """An array of a datatype that does not hold every JSON number."""
    dtype = DTYPES[datatype]
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype)
        if dtype.kind != "f" or np.isfinite(array).all():
            return array
    except OverflowError:
        pass
    raise _unfit(((index, value) for index, value in enumerate(values) if not _fits(value, dtype)), datatype, locate)


def _mistyped(value: Any, datatype: str, place: Place) -> Problem:
    code = "invalid_shape" if type(value) is list else "invalid_datatype"
    given = "null" if value is None else f"{json_name(value)} ({shorten(value)})"
    return Problem(*place, f"must be {datatype}, not {given}", code)


def _unfit(found: Iterable[tuple[int, Any]], datatype: str, locate: Locate) -> InvalidInput:
    return InvalidInput(
        [
            Problem(*locate(index), f"must be {datatype}; {shorten(value)} does not fit", "out_of_range")
            for index, value in islice(found, _KNOWN)
        ]
    )


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.array(value, dtype)))
    except OverflowError:
        return False
