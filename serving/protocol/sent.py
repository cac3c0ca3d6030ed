"""One input of a v2 request: its values as JSON, flat or nested, or as bytes behind the JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, Final

from serving.datatypes import DTYPES
from serving.errors import RequestError
from serving.protocol.base import Sent, json_name, shorten
from serving.protocol.binary import from_bytes
from serving.protocol.text import BASE64, from_base64

MAX_RANK: Final = 32
"""Axes of one input, at most; numpy's own limit is 64."""

_EMPTY: Final[Mapping[str, Any]] = {}


@dataclass(slots=True)
class Raw:
    """A body of JSON and bytes; `place` is where the bytes of the next input begin."""

    body: memoryview
    place: int

    @classmethod
    def after(cls, body: bytes | bytearray, header: bytes) -> "Raw":
        """`header` is the value of Inference-Header-Content-Length. Raises `RequestError`."""
        length = int(header) if header.isdigit() and len(header) < 16 else -1
        if not 0 <= length <= len(body):
            raise RequestError(
                400,
                "invalid_request",
                f"inference-header-content-length must say how many of the body's {len(body)} bytes are JSON",
            )
        return cls(memoryview(body), length)

    @property
    def json(self) -> bytes:
        """The JSON, before an input was read."""
        return bytes(self.body[: self.place])

    def take(self, size: int, name: str) -> memoryview:
        """The next `size` bytes. Raises `RequestError` if there are not as many."""
        left = len(self.body) - self.place
        if size > left:
            raise RequestError(
                400, "invalid_request", f"input {name} has {left} bytes left; its binary_data_size is {size}"
            )
        self.place += size
        return self.body[self.place - size : self.place]

    def finish(self) -> None:
        """Raise `RequestError` unless every byte belonged to an input."""
        left = len(self.body) - self.place
        if left:
            raise RequestError(400, "invalid_request", f"{left} bytes behind the JSON belong to no input")


def read_input(tensor: Any, position: int, raw: Raw | None, *, whole: bool) -> Sent:
    """Read one input; `whole` leaves base64 as it was sent. Raises `RequestError`."""
    if type(tensor) is not dict:
        raise RequestError(400, "invalid_request", f"inputs[{position}] must be an object, not {json_name(tensor)}")
    name = tensor.get("name")
    if type(name) is not str or len(name) > 256:
        raise RequestError(400, "invalid_request", f"inputs[{position}] must have a name of at most 256 characters")
    shape = tensor.get("shape")
    if type(shape) is not list or len(shape) > MAX_RANK or any(type(size) is not int or size < 0 for size in shape):
        raise RequestError(
            400, "invalid_shape", f"input {name}: shape must be a list of at most {MAX_RANK} counts, as in [1, 4]"
        )
    datatype = tensor.get("datatype")
    if type(datatype) is not str or (datatype not in DTYPES and datatype != "BF16"):
        known = ", ".join((*DTYPES, "BF16"))
        raise RequestError(400, "invalid_datatype", f"input {name}: datatype {shorten(datatype)} is not one of {known}")
    data = tensor.get("data")
    if type(data) is not list:
        values = from_bytes(_take(tensor, name, raw), datatype, prod(shape), name)
        return name, shape, "FP32" if datatype == "BF16" else datatype, values
    values_or_base64: Any = _flatten(data, shape, name)
    if datatype == "BYTES" and not whole and parameters_of(tensor, f"input {name}").get("content_type") == BASE64:
        values_or_base64 = from_base64(values_or_base64, name)
    return name, shape, "FP32" if datatype == "BF16" else datatype, values_or_base64


def parameters_of(part: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The parameters of a request, an input or an output. Raises `RequestError`."""
    parameters = part.get("parameters")
    if parameters is None:
        return _EMPTY
    if type(parameters) is not dict:
        raise RequestError(
            400, "invalid_request", f"{place}: parameters must be an object, not {json_name(parameters)}"
        )
    return parameters


def _take(tensor: Mapping[str, Any], name: str, raw: Raw | None) -> memoryview:
    """The bytes of an input that has no list of values in the JSON."""
    parameters = parameters_of(tensor, f"input {name}")
    size = parameters.get("binary_data_size")
    if tensor.get("data") is not None or size is None:
        region = "; shared memory is an extension not spoken here" if "shared_memory_region" in parameters else ""
        raise RequestError(
            400,
            "invalid_request",
            f"input {name}: data must be a list, or the parameter binary_data_size given{region}",
        )
    if type(size) is not int or size < 0:
        raise RequestError(400, "invalid_request", f"input {name}: binary_data_size must be a count of bytes")
    if raw is None:
        raise RequestError(
            400,
            "invalid_request",
            f"input {name} has a binary_data_size, and the request no header inference-header-content-length",
        )
    return raw.take(size, name)


def _flatten(data: list[Any], shape: list[int], name: str) -> list[Any]:
    """`data` row by row: as it is when flat, else with the lists of its nesting joined."""
    if data and type(data[0]) is list and len(shape) > 1 and len(data) == shape[0]:
        for axis in range(1, len(shape)):
            for index, values in enumerate(data):
                if type(values) is not list or len(values) != shape[axis]:
                    size = f"{len(values)} values" if type(values) is list else json_name(values)
                    place = f"{name}[{index}]" if axis == 1 else f"{name}, list {index} of axis {axis - 1},"
                    raise RequestError(
                        400, "invalid_shape", f"input {place} has {size}, shape {shape} needs {shape[axis]}"
                    )
            data = list(chain.from_iterable(data))
    if len(data) != prod(shape):
        raise RequestError(
            400, "invalid_shape", f"input {name} has {len(data)} values, shape {shape} needs {prod(shape)}"
        )
    return data
