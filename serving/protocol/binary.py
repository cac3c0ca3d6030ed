"""Tensors as bytes: little-endian, row by row, without padding; an entry of BYTES after its length in four bytes.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import struct
from typing import Any, Final

import numpy as np

from serving.datatypes import DTYPES, as_text
from serving.errors import RequestError

_LENGTH: Final = struct.Struct("<I")
_BFLOAT: Final = np.dtype("<u2")


def from_bytes(raw: memoryview, datatype: str, count: int, name: str) -> np.ndarray:
    """The `count` entries of input `name`, flat.

    Numbers share the memory of `raw`, if its machine's order is theirs; BF16 comes as FP32, and BYTES as text, or as
    bytes where it is no UTF-8. Raises `RequestError`.
    """
    if datatype == "BYTES":
        return _read_entries(raw, count, name)
    dtype = _BFLOAT if datatype == "BF16" else DTYPES[datatype].newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        raise RequestError(
            400,
            "invalid_shape",
            f"input {name} has {len(raw)} bytes; its shape and {datatype} need {count * dtype.itemsize}",
        )
    if datatype == "BOOL":
        return _read_booleans(raw, name)
    values = np.frombuffer(raw, dtype)
    if datatype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(DTYPES[datatype], copy=False)


def to_bytes(values: np.ndarray) -> bytes:
    """The bytes of an output: of its numbers or booleans, else of its entries as BYTES."""
    if values.dtype.kind not in "OSU":
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    parts: list[bytes] = []
    for entry in values.ravel().tolist():
        encoded = entry if type(entry) is bytes else str(entry).encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def entries(values: list[bytes]) -> np.ndarray:
    """Entries of BYTES as a flat array: text, or bytes where it is no UTF-8."""
    array: np.ndarray[Any, np.dtype[Any]] = np.empty(len(values), object)
    array[:] = [as_text(value) for value in values]
    return array


def _read_booleans(raw: memoryview, name: str) -> np.ndarray:
    values = np.frombuffer(raw, np.uint8)
    if (values > 1).any():
        raise RequestError(400, "invalid_datatype", f"input {name}: the byte of a BOOL must be 0 or 1")
    return values.view(np.bool_)


def _read_entries(raw: memoryview, count: int, name: str) -> np.ndarray:
    found: list[bytes] = []
    place = 0
    while place < len(raw) and len(found) < count:
        start = place + _LENGTH.size
        place = start + _LENGTH.unpack_from(raw, place)[0] if start <= len(raw) else len(raw) + 1
        if place > len(raw):
            raise RequestError(400, "invalid_shape", f"input {name}: entry {len(found)} ends beyond its bytes")
        found.append(bytes(raw[start:place]))
    if len(found) != count or place != len(raw):
        more = " and more" if place != len(raw) else ""
        raise RequestError(
            400, "invalid_shape", f"input {name} has {len(found)} entries{more}; its shape needs {count}"
        )
    return entries(found)
