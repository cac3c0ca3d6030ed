"""From the values in a request to the tensors that a model gets, with errors that name the tensor and the place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from serving.errors import RequestError
from serving.protocol.base import Reader, Sent, by_name, check_count, check_rows, json_name, shorten
from serving.protocol.ruled import Column, RuledTable
from serving.protocol.sent import MAX_RANK
from serving.protocol.table import Table
from serving.protocol.values import Values, cast, check_cast, convert, entry
from serving.runtimes import Signature, Tensors, TensorSpec
from serving.schema import Rule
from serving.spec import InputSpec

UNNAMED = "input-0"
"""What a tensor without a name is called where the model does not say what it takes."""


def make_reader(signature: Signature, max_rows: int) -> Reader:
    """What reads requests for a model; `max_rows` bounds those of its calls that may hold several requests."""
    if not signature.tabular:
        return TensorReader(signature, max_rows)
    if signature.coerces or any(column.ruled for column in (*signature.features, signature.tensor)):
        return RuledTable(signature, max_rows)
    return Table(signature, max_rows)


class TensorReader:
    """Builds the tensors for one model: of its names, datatypes and shapes, as far as it says them.

    Every method raises `RequestError` for what does not fit. Numbers that come as bytes may be NaN or infinite: unlike
    those of tables, they are the model's own business.
    """

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self.names = tuple(spec.name for spec in signature.tensors)
        self._ruled = {
            spec.name: Column(
                Rule.of(replace(spec.rules or InputSpec(spec.name), datatype=spec.datatype)),
                coerces=signature.coerces,
            )
            for spec in signature.tensors
            if signature.coerces or (spec.rules is not None and spec.rules.ruled)
        }
        self._specs = {spec.name: spec for spec in signature.tensors}
        self._joint = signature.joint
        self.max_rows = max_rows

    def from_inputs(self, inputs: Sequence[Sent]) -> Tensors:
        """The tensors, in the order in which the model names them, or else in that of the request."""
        sent = by_name(inputs)
        if self._specs:
            self._check_names(sent, "inputs")
        if self._joint:
            for name, shape, _, _ in inputs:
                if not shape:
                    raise RequestError(400, "invalid_shape", f"input {name} must have rows: its shape cannot be []")
            check_count(check_rows(inputs), self.max_rows)
        return Tensors({name: self._array(*sent[name]) for name in (self.names or sent)})

    def from_lists(self, instances: Sequence[Any], field: str) -> Tensors:
        """The one tensor of a model, its rows in a list, each nested as the tensor's other axes say."""
        if len(self.names) > 1:
            raise RequestError(
                400, "invalid_request", f"{field}[0] must be an object that names each of {', '.join(self.names)}"
            )
        return self.from_inputs([self._from_rows(self.names[0] if self.names else UNNAMED, instances, field)])

    def from_records(self, records: Sequence[Any], field: str) -> Tensors:
        """The tensors from a list of rows, each an object with one value or nested list per tensor."""
        check_count(len(records), self.max_rows)
        for row, record in enumerate(records):
            if type(record) is not dict:
                raise RequestError(400, "invalid_request", f"{field}[{row}] must be an object, not {json_name(record)}")
            if self._specs:
                self._check_names(record, f"{field}[{row}]")
            elif record.keys() != records[0].keys():
                raise RequestError(400, "invalid_request", f"{field}[{row}] has other names than {field}[0]")
        names = self.names or tuple(records[0])
        if not names:
            raise RequestError(400, "missing_input", f"{field}[0] is empty")
        return self.from_inputs([self._from_rows(name, [each[name] for each in records], field) for name in names])

    def _from_rows(self, name: str, rows: Sequence[Any], field: str) -> Sent:
        check_count(len(rows), self.max_rows)
        shape, values = _unnest(list(rows), f"{field}, {name}")
        spec = self._specs.get(name)
        return name, shape, spec.datatype if spec else _guess(values, f"{field}, {name}"), values

    def _array(self, name: str, shape: list[int], datatype: str, values: Values) -> np.ndarray:
        spec = self._specs.get(name)
        if spec is not None:
            _check_shape(spec, shape)
            if name not in self._ruled:
                check_cast(datatype, spec.datatype, name)
        locate = partial(entry, name, prod(shape[1:]))
        if name in self._ruled:
            flat = self._ruled[name].read(values, datatype, locate)
        else:
            flat = convert(values, datatype, locate) if type(values) is list else np.asarray(values)
            if spec is not None:
                flat = cast(flat, spec.datatype, locate)
        try:
            return flat.reshape(shape)
        except ValueError as error:  # without entries, any count may stand beside a 0
            raise RequestError(400, "invalid_shape", f"input {name}: {error}") from None

    def _check_names(self, names: Collection[str], place: str) -> None:
        known = ", ".join(self.names)
        missing = [name for name in self.names if name not in names]
        if missing:
            raise RequestError(400, "missing_input", f"{place}: {', '.join(missing)} missing; needed: {known}")
        extra = [shorten(name) for name in names if name not in self._specs]
        if extra:
            raise RequestError(400, "unknown_input", f"{place}: {', '.join(extra[:5])} unknown; known: {known}")


def _check_shape(spec: TensorSpec, shape: list[int]) -> None:
    if len(shape) != len(spec.shape) or any(
        wanted not in (-1, size) for wanted, size in zip(spec.shape, shape, strict=True)
    ):
        raise RequestError(
            400, "invalid_shape", f"input {spec.name} has shape {shape}, the model takes {list(spec.shape)}"
        )


def _unnest(values: list[Any], place: str) -> tuple[list[int], list[Any]]:
    """The shape of nested lists, and what is in them; raises `RequestError` when lists beside each other differ."""
    shape = [len(values)]
    while values and type(values[0]) is list:
        size = len(values[0])
        if len(shape) == MAX_RANK:
            raise RequestError(400, "invalid_shape", f"{place}: lists are nested deeper than {MAX_RANK}")
        for value in values:
            if type(value) is not list or len(value) != size:
                other = f"one of {len(value)}" if type(value) is list else json_name(value)
                raise RequestError(400, "invalid_shape", f"{place}: beside a list of {size} values there is {other}")
        shape.append(size)
        values = list(chain.from_iterable(values))
    return shape, values


def _guess(values: list[Any], place: str) -> str:
    """The datatype of JSON values for which nothing is declared."""
    kinds = set(map(type, values))
    for datatype, allowed in _GUESSES.items():
        if kinds <= allowed:
            return datatype
    raise RequestError(400, "invalid_datatype", f"{place}: values must be all numbers, all booleans or all text")


_GUESSES: Mapping[str, frozenset[type]] = {
    "INT64": frozenset({int}),
    "FP64": frozenset({int, float}),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}
