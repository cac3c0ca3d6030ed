"""Entries of BYTES in JSON: as text, or in base64 where there is one that is no UTF-8."""

from base64 import b64decode, b64encode
from typing import Any, Final

import numpy as np

from serving.datatypes import as_text
from serving.errors import RequestError
from serving.protocol.base import shorten
from serving.protocol.binary import entries

BASE64: Final = "base64"
"""The `content_type` parameter with which MLServer and its clients mark such a tensor."""


def json_values(values: np.ndarray) -> tuple[list[Any], bool]:
    """The entries of an array of objects or bytes as JSON, nested as the array is, and whether they are in base64."""
    flat = [as_text(value) if type(value) is bytes else value for value in values.ravel().tolist()]
    encoded = any(type(value) is bytes for value in flat)
    texts: np.ndarray[Any, Any] = np.empty(len(flat), object)
    texts[:] = [_encode(value) for value in flat] if encoded else [str(value) for value in flat]
    return texts.reshape(values.shape).tolist(), encoded


def from_base64(values: list[Any], name: str) -> np.ndarray:
    """The entries of an input whose JSON is in base64, flat. Raises `RequestError`."""
    decoded: list[bytes] = []
    for index, value in enumerate(values):
        try:
            decoded.append(b64decode(value, validate=True))
        except (TypeError, ValueError):
            raise RequestError(
                400, "invalid_datatype", f"input {name}, value {index} is not base64 ({shorten(value)})"
            ) from None
    return entries(decoded)


def _encode(value: object) -> str:
    return b64encode(value if type(value) is bytes else str(value).encode()).decode()
