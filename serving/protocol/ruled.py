"""Inputs that must be more than of their datatype: what they are read with, and the tables and columns of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Any

import numpy as np

from serving.datatypes import DTYPES
from serving.errors import InvalidInput, Problem
from serving.protocol.base import Sent
from serving.protocol.coercion import coerce
from serving.protocol.table import Table, cell, entry_of, named_cell
from serving.protocol.values import Locate, Place, Values, cast, castable, check_cast, convert
from serving.runtimes import Signature
from serving.runtimes.base import missing_dtype
from serving.schema import Rule, is_missing


class Column:
    """Reads the values of one column, or of one tensor, as its rule says."""

    def __init__(self, rule: Rule, *, coerces: bool) -> None:
        self.rule = rule
        self._spec = rule.spec
        self._coerces = coerces

    def read(self, values: Values, sent: str | None, locate: Locate) -> np.ndarray:
        """Flat values as a flat array of the input's datatype, in which missing ones are NaN, or None in text.

        `sent` is the datatype that the request says they have, if it says one. Raises `RequestError`.
        """
        spec = self._spec
        if self._coerces:
            if type(values) is list:
                values = coerce(values, spec.datatype, nullable=spec.nullable)
                sent = None
            elif sent is not None and not castable(sent, spec.datatype):
                return self.read(_as_json(values), None, locate)
        array = self._present(values, sent, locate) if spec.nullable else self._convert(values, sent, locate)
        problems = [Problem(*locate(index), problem) for index, problem in sorted(self.rule.problems(array))]
        if problems:
            raise InvalidInput(problems)
        return array

    def _convert(self, values: Values, sent: str | None, locate: Locate) -> np.ndarray:
        datatype = self._spec.datatype
        if sent is None or sent == datatype:
            return convert(values, datatype, locate)
        check_cast(sent, datatype, self._spec.name)
        return cast(convert(values, sent, locate), datatype, locate)

    def _present(self, values: Values, sent: str | None, locate: Locate) -> np.ndarray:
        """The values with the missing ones among them, which are null in JSON and NaN as bytes."""
        if type(values) is list:
            if None not in values:
                return self._convert(values, sent, locate).astype(missing_dtype(self._spec), copy=False)
            places = [index for index, value in enumerate(values) if value is not None]
            there: Values = [values[index] for index in places]
        else:
            places = np.flatnonzero(values == values).tolist()  # noqa: PLR0124 - NaN alone differs from itself
            there = values[places]  # type: ignore[call-overload]
        found = self._convert(there, sent, lambda index: locate(places[index]))
        dtype = missing_dtype(self._spec)
        array: np.ndarray = np.full(len(values), None if dtype.kind == "O" else np.nan, dtype)
        array[places] = found
        return array


class RuledTable(Table):
    """Builds tables whose columns have rules, or are read with some coercion.

    What is as it should be is found to be so in one go where all columns are numbers of one datatype; only what is not
    is looked at column by column.
    """

    def __init__(self, signature: Signature, max_rows: int) -> None:
        super().__init__(signature, max_rows)
        specs = signature.features or (signature.tensor,)
        self._columns = [Column(Rule.of(spec), coerces=signature.coerces) for spec in specs]
        self._fallbacks = {
            spec.name: spec.default for spec in signature.features if spec.nullable or spec.default is not None
        }
        quick = signature.features and self._uniform is not None and DTYPES[self._uniform].kind == "f"
        self._quick = _Quick([column.rule for column in self._columns], self._dtype) if quick else None

    def _from_tensor(self, values: Values, datatype: str, width: int, field: str) -> np.ndarray:
        if self._uniform is None:
            return super()._from_tensor(values, datatype, width, field)
        rows = self._quick.read(values, width) if self._quick is not None and datatype == self._uniform else None
        if rows is not None:
            return rows
        return self._by_column(values, datatype, width, partial(cell, field, width, self.names))

    def _from_columns(self, columns: Mapping[str, Sent], rows: int) -> np.ndarray:
        return self._joined(
            partial(self._from_column, place, columns.get(name), rows) for place, name in enumerate(self.names)
        )

    def _from_column(self, place: int, sent: Sent | None, rows: int) -> np.ndarray:
        """One column from its input, or without one."""
        name = self.names[place]
        datatype, values = sent[2:] if sent else (None, [self._fallbacks[name]] * rows)
        return self._columns[place].read(values, datatype, partial(entry_of, name))

    def _from_values(self, values: list[Any], width: int, field: str) -> np.ndarray:
        rows = None if self._quick is None else self._quick.read(values, width)
        if rows is not None:
            return rows
        return self._by_column(values, None, width, partial(named_cell, field, width, self.names))

    def _by_column(self, values: Values, datatype: str | None, width: int, locate: Locate) -> np.ndarray:
        only = self._columns[0]
        if not self.names and not only.rule.spec.unique:  # one rule for all values, however many columns were sent
            return only.read(values, datatype, locate).astype(self._dtype, copy=False).reshape(-1, width)
        return self._joined(
            partial(column.read, values[place::width], datatype, partial(_in_column, locate, width, place))
            for place, column in self._each(width)
        )

    def _each(self, width: int) -> Iterator[tuple[int, Column]]:
        """The columns of a table of this width: one rule holds for all of them where they have no names."""
        return enumerate(self._columns if self.names else self._columns * width)


class _Quick:
    """Reads tables of floating point numbers that are as they must be, and leaves all others to somebody else."""

    def __init__(self, rules: Sequence[Rule], dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        missing = any(rule.spec.nullable for rule in rules)
        self._finite = dtype == np.float64 and not missing
        """Whether numbers in JSON are sure to be finite and there."""
        self._types = frozenset({int, float, NoneType} if missing else {int, float})
        self._low = _row([rule.low for rule in rules], -np.inf, dtype)
        self._high = _row([rule.high for rule in rules], np.inf, dtype)
        self._needed = [place for place, rule in enumerate(rules) if not rule.spec.nullable]
        self._others = [
            (place, rule) for place, rule in enumerate(rules) if rule.allowed is not None or rule.spec.unique
        ]

    def read(self, values: Values, width: int) -> np.ndarray | None:
        """The table of flat values, row by row; None if it is not as it must be, or that takes longer to tell."""
        if type(values) is list:
            if not self._types.issuperset(map(type, values)):
                return None
            rows = self._array(values).reshape(-1, width)
            there = self._finite
        else:
            rows = np.asarray(values).reshape(-1, width)
            there = False
        return rows if (there or self._all_there(rows)) and self._within(rows) else None

    def _array(self, values: list[Any]) -> np.ndarray:
        """An array of numbers, in which null is NaN and what is too large infinite."""
        if self._dtype == np.float64:
            return np.array(values, self._dtype)
        with np.errstate(over="ignore"):
            return np.array(values, self._dtype)

    def _all_there(self, rows: np.ndarray) -> bool:
        """Whether no number is infinite, and none missing that is needed."""
        # Counting takes a third of the time of `all` on a few values.
        return np.count_nonzero(np.isfinite(rows)) == rows.size or not (
            np.isinf(rows).any() or np.isnan(rows[:, self._needed]).any()
        )

    def _within(self, rows: np.ndarray) -> bool:
        """Whether the numbers that are there are as their rules say."""
        if self._low is not None and np.count_nonzero(rows < self._low):
            return False
        if self._high is not None and np.count_nonzero(rows > self._high):
            return False
        return all(rule.accepts(rows[:, place]) for place, rule in self._others)


def _row(bounds: Sequence[float | None], unbounded: float, dtype: np.dtype[Any]) -> np.ndarray | None:
    """The bounds of all columns; None if there is none."""
    if all(bound is None for bound in bounds):
        return None
    return np.array([unbounded if bound is None else bound for bound in bounds], dtype)


def _in_column(locate: Locate, width: int, place: int, row: int) -> Place:
    """The place of a row's value in one column of a table of this width."""
    return locate(row * width + place)


def _as_json(values: Values) -> list[Any]:
    """Values that came as bytes, as JSON would have them."""
    return [None if is_missing(value) else value for value in np.asarray(values).tolist()]
