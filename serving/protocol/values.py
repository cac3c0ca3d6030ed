"""From JSON values to arrays, strictly: what does not have its datatype is refused with its place, never bent."""

from collections.abc import Callable
from typing import Any

import numpy as np

from serving.datatypes import DTYPES, json_types
from serving.errors import RequestError
from serving.protocol.base import json_name, shorten


def convert(values: list[Any], datatype: str, locate: Callable[[int], str]) -> np.ndarray:
    """A flat list of JSON values as a flat array of `datatype`, all of it finite.

    Raises `RequestError` for the first value that is not of that datatype; `locate` says where the value with an
    index stands in the request.
    """
    allowed = json_types(datatype)
    if not allowed.issuperset(map(type, values)):
        index = next(index for index, value in enumerate(values) if type(value) not in allowed)
        raise RequestError(
            400,
            "invalid_shape" if type(values[index]) is list else "invalid_datatype",
            f"{locate(index)} must be {datatype}, not {json_name(values[index])} ({shorten(values[index])})",
        )
    dtype = DTYPES[datatype]
    if dtype == np.float64 or dtype.kind in "bO":
        return np.array(values, dtype)
    return _narrow(values, datatype, locate)


def check_cast(sent: str, declared: str, field: str) -> None:
    """Raise unless `sent` may stand for `declared`: numbers of any width, but no fractions where integers belong."""
    if sent != declared and (
        "BYTES" in (sent, declared) or not np.can_cast(DTYPES[sent], DTYPES[declared], "same_kind")
    ):
        raise RequestError(400, "invalid_datatype", f"input {field} must be {declared}; {sent} was sent")


def _narrow(values: list[Any], datatype: str, locate: Callable[[int], str]) -> np.ndarray:
    """An array of a datatype that does not hold every JSON number."""
    dtype = DTYPES[datatype]
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype)
        if dtype.kind != "f" or np.isfinite(array).all():
            return array
    except OverflowError:
        pass
    index = next(index for index, value in enumerate(values) if not _fits(value, dtype))
    raise RequestError(400, "out_of_range", f"{locate(index)}: {shorten(values[index])} does not fit {datatype}")


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.array(value, dtype)))
    except OverflowError:
        return False
