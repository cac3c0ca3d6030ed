"""What the protocols share: reading JSON, and the shape of a decoded request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson

from serving.errors import RequestError

_NO_NUMBER = re.compile(rb"-?(NaN|Infinity)")


@dataclass(frozen=True, slots=True)
class Query:
    """A decoded request: `rows` [n, width] for the model, the wanted `outputs`, and what its answer must echo."""

    rows: np.ndarray
    outputs: tuple[str, ...]
    echo: Any = None


class Codec(Protocol):
    """One protocol, for one model."""

    def decode(self, body: bytes | bytearray) -> Query:
        """Read a request body. Raises `RequestError`."""

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The body of the answer to `query`."""


def read_object(body: bytes | bytearray) -> dict[str, Any]:
    """The JSON object that `body` is.

    Raises `RequestError`, also for numbers that no double can hold and for NaN and Infinity, which are no JSON
    (RFC 8259): what this returns holds finite numbers only. The last of several equal keys counts.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "infinity" in error.msg or _NO_NUMBER.match(body, _byte_offset(body, error.pos)):
            raise RequestError(
                400,
                "not_finite",
                f"numbers must be finite: {_place(error)} holds NaN, Infinity or a number beyond FP64",
            ) from None
        raise RequestError(400, "invalid_json", f"the body is not JSON: {error}") from None
    if type(value) is not dict:
        raise RequestError(400, "invalid_request", f"the body must be a JSON object, not {json_name(value)}")
    return value


def json_name(value: object) -> str:
    """What a JSON value is called in a message."""
    if value is None:
        return "null"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return names.get(type(value), "a number")


def shorten(value: object, limit: int = 60) -> str:
    """A value as it may appear in a message: a client must not get its megabyte back."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= limit else f"{text[:limit]}…"


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno} column {error.colno}"


def _byte_offset(body: bytes | bytearray, characters: int) -> int:
    """orjson counts characters, bytes are what we have."""
    return len(body.decode(errors="replace")[:characters].encode())
