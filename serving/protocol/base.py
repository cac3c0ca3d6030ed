"""What the protocols share: reading JSON, and the shape of a decoded request."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson

from serving.errors import RequestError
from serving.runtimes import Signature, Tensors

_NO_NUMBER = re.compile(rb"-?(NaN|Infinity)")


Sent = tuple[str, list[int], str, list[Any] | np.ndarray]
"""One input as it was sent: name, shape, datatype (one of `DTYPES`), and as many flat values as the shape says.

They are JSON values, or an array of that datatype if they came as bytes.
"""


@dataclass(frozen=True, slots=True)
class Query:
    """A decoded request: `rows` for the model, the wanted `outputs`, and what its answer must echo.

    `rows` is a table [n, width], or tensors, as the model's signature says. Without `outputs` the model gives what it
    likes.
    """

    rows: np.ndarray | Tensors
    outputs: tuple[str, ...]
    echo: Any = None


class Reader(Protocol):
    """Makes of what was sent what one model takes. Its methods raise `RequestError` for what does not fit."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the model takes, by name; empty if that is not known."""

    @property
    def max_rows(self) -> int:
        """How many rows a request may have."""

    def from_inputs(self, inputs: Sequence[Sent]) -> np.ndarray | Tensors:
        """Read named tensors."""

    def from_lists(self, instances: Sequence[Any], field: str) -> np.ndarray | Tensors:
        """Read JSON rows without names."""

    def from_records(self, records: Sequence[Any], field: str) -> np.ndarray | Tensors:
        """Read JSON rows that are objects."""


class Codec(Protocol):
    """One protocol, for one model."""

    def decode(self, body: bytes | bytearray, json_bytes: bytes | None = None) -> Query:
        """Read a request body; `json_bytes` says how much of it is JSON, if not all. Raises `RequestError`."""

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> "bytes | Mixed":
        """The body of the answer to `query`. Raises `RequestError` if the model has not given what was asked for."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A body that is JSON for its first `json_bytes`, and tensors as bytes after them."""

    content: bytes
    json_bytes: int


def default_outputs(signature: Signature) -> tuple[str, ...]:
    """What is given to those who name no output.

    That is all of a model of tensors, and all that a manifest declares. Of a table's model each other output is a call
    of its own, and most want the first.
    """
    names = tuple(output.name for output in signature.outputs)
    return names[:1] if signature.tabular and not signature.declared else names


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


def check_rows(inputs: Sequence[Sent]) -> int:
    """The number of rows of inputs that must all have the same. Raises `RequestError`."""
    rows = {name: shape[0] if shape else 1 for name, shape, _, _ in inputs}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise RequestError(400, "invalid_shape", f"the inputs differ in their number of rows: {counts}")
    return next(iter(rows.values()))


def by_name(inputs: Sequence[Sent]) -> dict[str, Sent]:
    """The inputs by their names. Raises `RequestError` when one comes twice."""
    named = {each[0]: each for each in inputs}
    if len(named) < len(inputs):
        twice = next(name for name, count in Counter(each[0] for each in inputs).items() if count > 1)
        raise RequestError(400, "duplicate_input", f"input {twice} comes twice")
    return named


def check_count(rows: int, max_rows: int) -> None:
    """Raise `RequestError` unless a request may have this many rows."""
    if rows == 0:
        raise RequestError(400, "empty_batch", "the request has no rows; at least one is needed")
    if rows > max_rows:
        raise RequestError(413, "too_many_rows", f"the request has {rows} rows; at most {max_rows} are allowed")


def json_name(value: object) -> str:
    """What a JSON value is called in a message."""
    if value is None:
        return "null"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return names.get(type(value), "a number")


def shorten(value: object, limit: int = 60) -> str:
    """A JSON value as it may appear in a message: a client must not get its megabyte back."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return json_name(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno} column {error.colno}"


def _byte_offset(body: bytes | bytearray, characters: int) -> int:
    """orjson counts characters, bytes are what we have."""
    return len(body.decode(errors="replace")[:characters].encode())
