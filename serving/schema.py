"""What the inputs of a model must be beyond their datatypes: ranges, enumerations, missing values, uniqueness.

The rules are those of `spec.model.inputs`, and what the model's own signature says. Values are checked a column at a
time, in the datatype that the column has: a bound that no FP32 holds is the FP32 next to it, as it is for the values.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from serving.datatypes import DTYPES, json_types
from serving.errors import MAX_PROBLEMS, SignatureMismatch
from serving.spec import InputSpec, Scalar

_KNOWN: Final = MAX_PROBLEMS + 1
_LISTED: Final = 10
"""Values of an enumeration that a message names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the values of one input must be. `low` and `high` are None where there is no bound."""

    spec: InputSpec
    low: float | None
    high: float | None
    allowed: frozenset[Any] | None

    @classmethod
    def of(cls, spec: InputSpec) -> "Rule":
        """The rule of an input. Raises `SignatureMismatch` for one that its datatype makes no sense of."""
        dtype, kinds = DTYPES[spec.datatype], json_types(spec.datatype)
        bounded = spec.min is not None or spec.max is not None
        given = [*spec.values, *([] if spec.default is None else [spec.default])]
        if (bounded and dtype.kind in "bO") or not kinds.issuperset(map(type, given)):
            raise SignatureMismatch(f"the rules for {spec.name} do not fit its datatype {spec.datatype}")
        allowed = None
        if spec.values:
            with np.errstate(over="ignore"):
                allowed = frozenset(np.array(spec.values, dtype).tolist())
        return cls(spec, _bound(spec.min, dtype, math.ceil), _bound(spec.max, dtype, math.floor), allowed)

    def accepts(self, values: np.ndarray) -> bool:
        """Whether all of them, flat and of the datatype, or NaN or None where they are missing, are as they must be."""
        return next(self.problems(values), None) is None

    def problems(self, values: np.ndarray) -> Iterator[tuple[int, str]]:
        """The indices of those that are not, and what they must be; no more than a message tells."""
        if self.low is not None:
            below = np.flatnonzero(values < self.low)
            for index in below[:_KNOWN].tolist():
                yield index, f"must be at least {plain(self.spec.min)}, not {plain(values[index])}"
        if self.high is not None:
            above = np.flatnonzero(values > self.high)
            for index in above[:_KNOWN].tolist():
                yield index, f"must be at most {plain(self.spec.max)}, not {plain(values[index])}"
        if self.allowed is not None:
            yield from self._strangers(values.tolist(), self.allowed)
        if self.spec.unique and len(values) > 1:
            yield from _repeated(values.tolist())

    def _strangers(self, values: list[Any], allowed: frozenset[Any]) -> Iterator[tuple[int, str]]:
        if allowed.issuperset(values):
            return
        more = ", …" if len(self.spec.values) > _LISTED else ""
        listed = ", ".join(map(_quoted, self.spec.values[:_LISTED])) + more
        strangers = (each for each in enumerate(values) if each[1] not in allowed and not is_missing(each[1]))
        for index, value in islice(strangers, _KNOWN):
            yield index, f"must be one of {listed}, not {_quoted(value)}"


def is_missing(value: object) -> bool:
    """Whether a value of an array is none: None, or NaN."""
    return value is None or value != value  # noqa: PLR0124 - NaN alone differs from itself


def plain(number: Any) -> str:
    """A number as people write it."""
    value = float(number)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(number)


def _quoted(value: Scalar) -> str:
    return f'"{value[:60]}"' if isinstance(value, str) else plain(value)


def _repeated(values: list[Any]) -> Iterator[tuple[int, str]]:
    first: dict[Any, int] = {}
    found = 0
    for index, value in enumerate(values):
        if is_missing(value) or first.setdefault(value, index) == index:
            continue
        yield index, f"must differ from row {first[value]}, not be {_quoted(value)} again"
        found += 1
        if found == _KNOWN:
            return


def _bound(bound: float | None, dtype: np.dtype[Any], whole: Any) -> Any:
    """A bound as a number of the dtype; None if it bounds nothing."""
    if bound is None:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(bound))
    return whole(bound)
