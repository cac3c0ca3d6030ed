"""The datatypes of the Open Inference Protocol and what they are in numpy and in JSON.

https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from typing import Any

import numpy as np

DTYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype(np.float64),
    "FP32": np.dtype(np.float32),
    "FP16": np.dtype(np.float16),
    "INT64": np.dtype(np.int64),
    "INT32": np.dtype(np.int32),
    "INT16": np.dtype(np.int16),
    "INT8": np.dtype(np.int8),
    "UINT64": np.dtype(np.uint64),
    "UINT32": np.dtype(np.uint32),
    "UINT16": np.dtype(np.uint16),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
    "BYTES": np.dtype(object),
}
"""The numpy dtype that holds each datatype. An entry of BYTES is text, or bytes where it is no UTF-8.

BF16 is not here: numpy has none. Where it is taken, it is widened to FP32.
"""

_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}

_NUMBER = frozenset({int, float})
_JSON_TYPES = {
    "f": _NUMBER,
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
    "O": frozenset({str}),
}


def json_types(datatype: str) -> frozenset[type]:
    """The Python types of the JSON values that may stand for this datatype."""
    return _JSON_TYPES[DTYPES[datatype].kind]


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The datatype that an output of this dtype is sent as: everything that is no number and no boolean is text."""
    return _DATATYPES.get(dtype, "BYTES")


def as_text(value: bytes) -> str | bytes:
    """An entry of BYTES: text if it is UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def as_entries(values: Any) -> np.ndarray:
    """An output as an array of numbers, booleans or text, one entry per row along its first axis.

    Objects that are all numbers (or all booleans) become such an array, everything else becomes text.
    """
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array(array.tolist())
    if array.dtype in _DATATYPES and array.dtype != object:
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    return array.astype(str)
