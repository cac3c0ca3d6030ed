"""From the values in a request to the table that the model gets, with errors that name field and row."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import RequestError
from serving.protocol.base import json_name, shorten
from serving.protocol.values import check_cast, convert
from serving.runtimes import Signature


class Table:
    """Builds the tables for one model: always of its dtype, always finite, of 1 to `max_rows` rows.

    Every method raises `RequestError` for what does not fit.
    """

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self.width = signature.width
        self.names = tuple(feature.name for feature in signature.features)
        self._known = frozenset(self.names)
        self._datatypes = tuple(feature.datatype for feature in signature.features)
        self._dtype = signature.dtype
        self._max_rows = max_rows
        datatypes = set(self._datatypes) or {signature.tensor.datatype}
        self._uniform = datatypes.pop() if len(datatypes) == 1 else None
        """The datatype of all columns; None when they differ."""

    def from_tensor(self, values: list[Any], datatype: str, width: int, field: str) -> np.ndarray:
        """The table from one tensor of `width` columns, its values row by row."""
        if self._uniform is None:
            raise RequestError(
                400,
                "invalid_datatype",
                f"the columns differ in their datatypes: send one input for each of {self._list}",
            )
        check_cast(datatype, self._uniform, field)
        rows = convert(values, datatype, partial(_cell, field, width)).reshape(-1, width)
        return rows if rows.dtype == self._dtype else rows.astype(self._dtype)

    def from_columns(self, columns: Mapping[str, tuple[list[Any], str]]) -> np.ndarray:
        """The table from one input per named column, each its values and their datatype, all of one length."""
        arrays = []
        for name, declared in zip(self.names, self._datatypes, strict=True):
            values, datatype = columns[name]
            check_cast(datatype, declared, name)
            arrays.append(convert(values, datatype, partial(_entry, name)).astype(self._dtype))
        return np.stack(arrays, axis=1)

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
            if record.keys() != self._known:
                self.check_names(record, f"{field}[{row}]")
            values.extend([record[name] for name in self.names])
        return self._from_values(values, len(self.names), field)

    def check_names(self, names: Collection[str], place: str) -> None:
        """Raise when a named column is missing, or one is there that the model does not have."""
        missing = [name for name in self.names if name not in names]
        if missing:
            raise RequestError(400, "missing_input", f"{place}: {', '.join(missing)} missing; needed: {self._list}")
        extra = [shorten(name) for name in names if name not in self._known]
        if extra:
            raise RequestError(400, "unknown_input", f"{place}: {', '.join(extra[:5])} unknown; known: {self._list}")

    def check_count(self, rows: int) -> None:
        """Raise unless a request may have this many rows."""
        if rows == 0:
            raise RequestError(400, "empty_batch", "the request has no rows; at least one is needed")
        if rows > self._max_rows:
            raise RequestError(
                413, "too_many_rows", f"the request has {rows} rows; at most {self._max_rows} are allowed"
            )

    def _from_values(self, values: list[Any], width: int, field: str) -> np.ndarray:
        """The table from JSON values, row by row, that must fit the declared datatypes as they are."""
        if self._uniform is not None:
            rows = convert(values, self._uniform, partial(_cell, field, width, names=self.names)).reshape(-1, width)
            return rows if rows.dtype == self._dtype else rows.astype(self._dtype)
        arrays = []
        for column, (name, datatype) in enumerate(zip(self.names, self._datatypes, strict=True)):
            locate = partial(_cell_of_column, field, name)
            arrays.append(convert(values[column::width], datatype, locate).astype(self._dtype))
        return np.stack(arrays, axis=1)

    @property
    def _list(self) -> str:
        return ", ".join(self.names)


def _entry(field: str, row: int) -> str:
    return f"input {field}, row {row}"


def _cell(field: str, width: int, index: int, names: Sequence[str] = ()) -> str:
    row, column = divmod(index, width)
    return f"{field}[{row}], column {names[column] if names else column}"


def _cell_of_column(field: str, name: str, row: int) -> str:
    return f"{field}[{row}], column {name}"
