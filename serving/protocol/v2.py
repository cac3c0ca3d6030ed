"""The Open Inference Protocol (v2), its inference request over REST.

https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

The model's table comes as one tensor [rows, columns] of any name, or as one tensor [rows] (or [rows, 1]) per named
column; `data` is flat, or nested as the shape says. The binary tensor extension is not spoken. A prediction that JSON
has no number for (NaN, Infinity) is answered as null.
"""

from collections.abc import Mapping
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson

from serving.datatypes import DTYPES, datatype_of
from serving.errors import RequestError
from serving.protocol.base import Query, json_name, read_object, shorten
from serving.protocol.table import Table
from serving.runtimes import Signature


class V2Codec:
    """`POST /v2/models/{name}/infer`."""

    def __init__(self, model: str, version: str, signature: Signature, table: Table) -> None:
        self._model = model
        self._version = version
        self._table = table
        self._available = tuple(output.name for output in signature.outputs)
        self._default = self._available[:1]

    def decode(self, body: bytes | bytearray) -> Query:
        """Read an inference request. Raises `RequestError`."""
        request = read_object(body)
        identity = request.get("id")
        if identity is not None and type(identity) is not str:
            raise RequestError(400, "invalid_request", f"id must be text, not {json_name(identity)}")
        inputs = request.get("inputs")
        if type(inputs) is not list or not inputs:
            raise RequestError(400, "missing_input", "inputs must be a list with at least one input")
        outputs = self._outputs(request["outputs"]) if request.get("outputs") else self._default
        return Query(self._rows(inputs), outputs, identity)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The inference response."""
        answer: dict[str, Any] = {"model_name": self._model, "model_version": self._version}
        if query.echo is not None:
            answer["id"] = query.echo
        answer["outputs"] = [
            {
                "name": name,
                "shape": values.shape,
                "datatype": datatype_of(values.dtype),
                "data": values.ravel().tolist(),
            }
            for name, values in outputs.items()
        ]
        return orjson.dumps(answer)

    def _rows(self, inputs: list[Any]) -> np.ndarray:
        table = self._table
        tensors: dict[str, tuple[list[Any], str]] = {}
        shapes: dict[str, list[int]] = {}
        for position, tensor in enumerate(inputs):
            name, shape, datatype, data = _read_tensor(tensor, position)
            if name in tensors:
                raise RequestError(400, "duplicate_input", f"input {name} comes twice")
            table.check_count(shape[0])
            tensors[name] = (_flatten(data, shape, name), datatype)
            shapes[name] = shape
        if len(inputs) == 1 and (name not in table.names or (len(shape) == 2 and shape[1] == table.width != 1)):
            return self._one_tensor(name, shape, *tensors[name])
        if not table.names:
            raise RequestError(
                400, "unknown_input", f"{len(inputs)} inputs were sent; the model takes one tensor {self._shape}"
            )
        table.check_names(tensors, "inputs")
        for name, shape in shapes.items():
            if shape not in ([shape[0]], [shape[0], 1]):
                raise RequestError(
                    400, "invalid_shape", f"input {name} is one column: its shape must be [rows] or [rows, 1]"
                )
        if len({shape[0] for shape in shapes.values()}) > 1:
            counts = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
            raise RequestError(400, "invalid_shape", f"the inputs differ in their number of rows: {counts}")
        return table.from_columns(tensors)

    def _one_tensor(self, name: str, shape: list[int], values: list[Any], datatype: str) -> np.ndarray:
        if len(shape) != 2 or shape[1] == 0 or self._table.width not in (None, shape[1]):
            raise RequestError(400, "invalid_shape", f"input {name} has shape {shape}, the model takes {self._shape}")
        return self._table.from_tensor(values, datatype, shape[1], name)

    @property
    def _shape(self) -> str:
        return f"[rows, {self._table.width or 'columns'}]"

    def _outputs(self, wanted: Any) -> tuple[str, ...]:
        if type(wanted) is not list:
            raise RequestError(400, "invalid_request", f"outputs must be a list, not {json_name(wanted)}")
        names: list[str] = []
        for output in wanted:
            name = output.get("name") if type(output) is dict else None
            if type(name) is not str or name not in self._available:
                available = ", ".join(self._available)
                raise RequestError(400, "unknown_output", f"no output {shorten(name)}; the model has {available}")
            names.append(name)
        return tuple(dict.fromkeys(names))


def _read_tensor(tensor: Any, position: int) -> tuple[str, list[int], str, list[Any]]:
    """Name, shape, datatype and data of one input, each of its type."""
    if type(tensor) is not dict:
        raise RequestError(400, "invalid_request", f"inputs[{position}] must be an object, not {json_name(tensor)}")
    name = tensor.get("name")
    if type(name) is not str or len(name) > 256:
        raise RequestError(400, "invalid_request", f"inputs[{position}] must have a name of at most 256 characters")
    shape = tensor.get("shape")
    if type(shape) is not list or len(shape) not in (1, 2) or any(type(size) is not int or size < 0 for size in shape):
        raise RequestError(400, "invalid_shape", f"input {name}: shape must be one or two counts, as in [1, 4]")
    datatype = tensor.get("datatype")
    if type(datatype) is not str or datatype not in DTYPES:
        known = ", ".join(DTYPES)
        raise RequestError(400, "invalid_datatype", f"input {name}: datatype {shorten(datatype)} is not one of {known}")
    data = tensor.get("data")
    if type(data) is not list:
        hint = "; the binary tensor extension is not supported" if data is None else ""
        raise RequestError(400, "invalid_request", f"input {name}: data must be a list{hint}")
    return name, shape, datatype, data


def _flatten(data: list[Any], shape: list[int], name: str) -> list[Any]:
    """`data` row by row: as it is when flat, else with the lists of its one level of nesting joined."""
    if len(shape) > 1 and len(data) == shape[0] and data and type(data[0]) is list:
        for row, values in enumerate(data):
            if type(values) is not list or len(values) != shape[1]:
                size = f"{len(values)} values" if type(values) is list else json_name(values)
                raise RequestError(
                    400, "invalid_shape", f"input {name}[{row}] has {size}, shape {shape} needs {shape[1]}"
                )
        data = list(chain.from_iterable(data))
    if len(data) != prod(shape):
        raise RequestError(
            400, "invalid_shape", f"input {name} has {len(data)} values, shape {shape} needs {prod(shape)}"
        )
    return data
