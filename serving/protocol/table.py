"""From the values in a request to the table that the model gets, with errors that name field and row."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from serving.errors import MAX_PROBLEMS, InvalidInput, Problem, RequestError
from serving.protocol.base import Sent, by_name, check_count, check_rows, json_name, shorten
from serving.protocol.values import Place, Values, cast, check_cast, convert
from serving.runtimes import Signature


class Table:
    """Builds the tables for one model: always of its dtype, always finite, of 1 to `max_rows` rows.

    Every method raises `RequestError` for what does not fit.
    """

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self.width = signature.width
        self.names = tuple(feature.name for feature in signature.features)
        self._known = frozenset(self.names)
        self._fallbacks: Mapping[str, Any] = {}
        """What columns hold that are left out; all others are needed."""
        self._datatypes = tuple(feature.datatype for feature in signature.features)
        self._dtype = signature.dtype
        self.max_rows = max_rows
        datatypes = set(self._datatypes) or {signature.tensor.datatype}
        self._uniform = datatypes.pop() if len(datatypes) == 1 else None
        """The datatype of all columns; None when they differ."""

    def from_inputs(self, inputs: Sequence[Sent]) -> np.ndarray:
        """The table from one tensor [rows, columns] of any name, or one tensor [rows] or [rows, 1] per named column."""
        if len(inputs) == 1:
            name, shape, datatype, values = inputs[0]
            if name not in self.names or (len(shape) == 2 and shape[1] == self.width != 1):
                if len(shape) != 2 or shape[1] == 0 or self.width not in (None, shape[1]):
                    raise RequestError(
                        400, "invalid_shape", f"input {name} has shape {shape}, the model takes {self._shape}"
                    )
                self.check_count(shape[0])
                return self._from_tensor(values, datatype, shape[1], name)
        columns = by_name(inputs)
        if not self.names:
            raise RequestError(
                400, "unknown_input", f"{len(inputs)} inputs were sent; the model takes one tensor {self._shape}"
            )
        self.check_names(columns, "inputs")
        for name, shape, _, _ in inputs:
            if shape not in (shape[:1], [*shape[:1], 1]):
                raise RequestError(
                    400, "invalid_shape", f"input {name} is one column: its shape must be [rows] or [rows, 1]"
                )
        rows = check_rows(inputs)
        self.check_count(rows)
        return self._from_columns(columns, rows)

    def _from_tensor(self, values: Values, datatype: str, width: int, field: str) -> np.ndarray:
        """The table from one tensor of `width` columns, its values row by row."""
        if self._uniform is None:
            raise RequestError(
                400,
                "invalid_datatype",
                f"the columns differ in their datatypes: send one input for each of {self._list}",
            )
        check_cast(datatype, self._uniform, field)
        locate = partial(cell, field, width, self.names)
        flat = convert(values, datatype, locate)
        return (flat if datatype == self._uniform else cast(flat, self._uniform, locate)).reshape(-1, width)

    def _from_columns(self, columns: Mapping[str, Sent], rows: int) -> np.ndarray:  # noqa: ARG002 - none is left out
        """The table from one input per named column, all of this many rows."""
        return self._joined(partial(_column, columns[name], datatype) for name, datatype in self._named())

    def from_lists(self, instances: Sequence[Any], field: str) -> np.ndarray:
        """The table from a list of rows, each a list of values in the order of the model's columns."""
        self.check_count(len(instances))
        first = instances[0]
        width = self.width or (len(first) if type(first) is list else 0) or 1
        for row, instance in enumerate(instances):
            if type(instance) is not list:
                raise RequestError(400, "invalid_shape", f"{field}[{row}] must be a list, not {json_name(instance)}")
            if len(instance) != width:
                raise RequestError(
                    400, "invalid_shape", f"{field}[{row}] has {len(instance)} values where {width} are needed"
                )
        return self._from_values(list(chain.from_iterable(instances)), width, field)

    def from_records(self, records: Sequence[Any], field: str) -> np.ndarray:
        """The table from a list of objects, each with one value per named column."""
        self.check_count(len(records))
        if not self.names:
            raise RequestError(
                400,
                "no_feature_names",
                "this model's columns have no names: list them in spec.model.inputs (name and datatype of each, in the "
                "model's order) or fit the model on a table with column names; or send plain lists to v1 or v2",
            )
        values: list[Any] = []
        for row, record in enumerate(records):
            if type(record) is not dict:
                raise RequestError(400, "invalid_request", f"{field}[{row}] must be an object, not {json_name(record)}")
            whole: Mapping[str, Any] = record
            if record.keys() != self._known:
                self.check_names(record, f"{field}[{row}]", row)
                whole = {**self._fallbacks, **record}
            values.extend([whole[name] for name in self.names])
        return self._from_values(values, len(self.names), field)

    def check_names(self, names: Collection[str], place: str, row: int | None = None) -> None:
        """Raise when a column is missing that is needed, or one is there that the model does not have."""
        missing = [name for name in self.names if name not in names and name not in self._fallbacks]
        if missing:
            raise RequestError(
                400,
                "missing_input",
                f"{place}: {', '.join(missing)} missing; needed: {self._list}",
                details=_about(row, missing, "must be there"),
            )
        extra = [name for name in names if name not in self._known][:5]
        if extra:
            told = [shorten(name) for name in extra]
            raise RequestError(
                400,
                "unknown_input",
                f"{place}: {', '.join(told)} unknown; known: {self._list}",
                details=_about(row, [name[:60] for name in extra], "must not be there"),
            )

    def check_count(self, rows: int) -> None:
        """Raise unless a request may have this many rows."""
        check_count(rows, self.max_rows)

    def _from_values(self, values: list[Any], width: int, field: str) -> np.ndarray:
        """The table from JSON values, row by row, that must fit the declared datatypes as they are."""
        if self._uniform is not None:
            rows = convert(values, self._uniform, partial(named_cell, field, width, self.names)).reshape(-1, width)
            return rows if rows.dtype == self._dtype else rows.astype(self._dtype)
        return self._joined(
            partial(convert, values[place::width], datatype, partial(cell_of, field, name))
            for place, (name, datatype) in enumerate(self._named())
        )

    def _joined(self, columns: Iterable[Callable[[], np.ndarray]]) -> np.ndarray:
        """The table of columns that may raise `InvalidInput` each. Raises it with the problems of all of them."""
        arrays: list[np.ndarray] = []
        problems: list[Problem] = []
        for column in columns:
            try:
                arrays.append(column().astype(self._dtype))
            except InvalidInput as error:
                problems += error.problems
        if problems:
            raise InvalidInput(sorted(problems, key=attrgetter("row")))
        return np.stack(arrays, axis=1)

    def _named(self) -> Iterable[tuple[str, str]]:
        return zip(self.names, self._datatypes, strict=True)

    @property
    def _shape(self) -> str:
        return f"[rows, {self.width or 'columns'}]"

    @property
    def _list(self) -> str:
        return ", ".join(self.names)


def _column(sent: Sent, declared: str) -> np.ndarray:
    """One column from its input."""
    name, _, datatype, values = sent
    check_cast(datatype, declared, name)
    locate = partial(entry_of, name)
    return cast(convert(values, datatype, locate), declared, locate)


def _about(row: int | None, names: Sequence[str], problem: str) -> list[dict[str, Any]]:
    return [] if row is None else [{"row": row, "field": name, "problem": problem} for name in names[:MAX_PROBLEMS]]


def entry_of(name: str, row: int) -> Place:
    """The place of an entry of a column's own input."""
    return Place(row, name, f"input {name}, row {row}")


def cell(field: str, width: int, names: Sequence[str], index: int) -> Place:
    """The place of a value of one tensor."""
    row, column = divmod(index, width)
    return Place(row, names[column] if names else str(column), f"{field}[{row}], column {column}")


def named_cell(field: str, width: int, names: Sequence[str], index: int) -> Place:
    """The place of a value of rows."""
    row, column = divmod(index, width)
    name = names[column] if names else str(column)
    return Place(row, name, f"{field}[{row}], column {name}")


def cell_of(field: str, name: str, row: int) -> Place:
    """The place of a row's value in the column of this name."""
    return Place(row, name, f"{field}[{row}], column {name}")
