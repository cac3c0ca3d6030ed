"""What the fields of one input of a model can get wrong together. The CRD says the same in CEL where it can."""

from collections.abc import Iterator
from typing import Final

from operators.api.problem import Problem
from operators.api.types import Input

BOUNDS_MEANINGLESS: Final = "is for numbers: booleans and text (BOOL, BYTES) have no least and no largest value"
NOTHING_BETWEEN: Final = "no number lies between min and max"
VALUES_OF_BOOLEANS: Final = "are for numbers and text: a boolean is true or false anyway"
UNIQUE_TENSOR: Final = "is for columns: the rows of a tensor with a shape are not compared"
NULLABLE_TENSOR: Final = "is for FP64, FP32 and FP16 where there is a shape: other tensors have no missing values"
COLUMN_ONLY: Final = "is for columns: leave it out beside a shape"
_NAMES: Final = {"BYTES": "text", "BOOL": "a boolean"}


def broken_input_rules(field: str, entry: Input) -> Iterator[Problem]:
    """All that is wrong across the fields of an input."""
    yield from _bounds(field, entry)
    if entry.values and entry.datatype == "BOOL":
        yield Problem(f"{field}.values", VALUES_OF_BOOLEANS)
    else:
        for index, value in enumerate(entry.values):
            yield from _mistyped(f"{field}.values[{index}]", entry, value)
    if entry.shape is not None:
        yield from _of_tensor(field, entry)
        return
    for name, single in (("default", entry.default), ("example", entry.example)):
        if single is not None:
            yield from _mistyped(f"{field}.{name}", entry, single)
            yield from _outside(f"{field}.{name}", entry, single)


def _bounds(field: str, entry: Input) -> Iterator[Problem]:
    for name, bound in (("min", entry.min), ("max", entry.max)):
        if bound is not None and entry.datatype in _NAMES:
            yield Problem(f"{field}.{name}", BOUNDS_MEANINGLESS)
    if entry.min is not None and entry.max is not None and entry.min > entry.max:
        yield Problem(f"{field}.max", f"is {entry.max:g}, but min is {entry.min:g}: {NOTHING_BETWEEN}")


def _of_tensor(field: str, entry: Input) -> Iterator[Problem]:
    if entry.unique:
        yield Problem(f"{field}.unique", UNIQUE_TENSOR)
    if entry.nullable and not entry.datatype.startswith("FP"):
        yield Problem(f"{field}.nullable", NULLABLE_TENSOR)
    for name, single in (("default", entry.default), ("example", entry.example)):
        if single is not None:
            yield Problem(f"{field}.{name}", COLUMN_ONLY)


def _mistyped(field: str, entry: Input, value: str | float) -> Iterator[Problem]:
    if not _is_of(entry, value):
        kind = _NAMES.get(entry.datatype) or ("a number" if entry.datatype.startswith("FP") else "a whole number")
        yield Problem(field, f"must be {kind}, as its datatype {entry.datatype} is")


def _outside(field: str, entry: Input, value: str | float) -> Iterator[Problem]:
    """What requests with this value would be refused for."""
    if entry.values and value not in entry.values:
        yield Problem(field, "is none of values, so that it would be refused")
    if isinstance(value, str | bool):
        return
    if entry.min is not None and value < entry.min:
        yield Problem(field, f"is less than min, {entry.min:g}, so that it would be refused")
    if entry.max is not None and value > entry.max:
        yield Problem(field, f"is more than max, {entry.max:g}, so that it would be refused")


def _is_of(entry: Input, value: str | float) -> bool:
    """Whether a value of a manifest is one of the datatype. Booleans are no numbers here, though Python's are."""
    if entry.datatype in _NAMES:
        return isinstance(value, str if entry.datatype == "BYTES" else bool)
    if isinstance(value, bool | str):
        return False
    return entry.datatype.startswith("FP") or isinstance(value, int)
