"""One request and its answer, from the moment it is complete until its answer is handed to the connection."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np
import orjson

from serving.errors import RequestError
from serving.protocol.v2_grpc_frames import CONTENT_TYPE, SERVICE_PATH, failure
from serving.runtimes import Tensors

_MAX_MESSAGE = 2_000
"""Characters of an error's message that are sent."""


MIRROR_HEADER: Final = b"tidegate-mirror"
KEY_HEADER: Final = b"tidegate-key"
SHARE_HEADER: Final = b"tidegate-share"
"""What Envoy says about a request: whether it is a copy for a candidate, the sticky key, and the share in basis points
with which the version was chosen."""


JSON_BYTES_HEADER: Final = b"inference-header-content-length"
"""Says how many bytes of a body are JSON, where tensors follow as bytes; of a request, and of its answer."""


class Asker(Protocol):
    """Where a request came from, and its answer goes."""

    def finish(self, exchange: "Exchange", status: int, body: bytes, headers: bytes) -> None:
        """Take the answer."""


class Exchange:
    """One request and its answer: exactly one of `answer` and `fail` must be called, once, on the loop's thread.

    A handler that raises need not call either: a `RequestError` is sent as it is, anything else as 500.
    """

    __slots__ = (
        "_connection",
        "began",
        "body",
        "cancel",
        "closes",
        "ended",
        "headers",
        "json_bytes",
        "key",
        "media",
        "member",
        "method",
        "mirror",
        "outputs",
        "reply",
        "request_id",
        "rows",
        "share",
        "size",
        "url",
    )

    def __init__(
        self,
        connection: Asker,
        *,
        method: bytes,
        url: bytes,
        request_id: bytes,
        body: bytes | bytearray,
        closes: bool,
        json_bytes: bytes | None = None,
        mirror: bytes | None = None,
        key: bytes | None = None,
        share: bytes | None = None,
        began: float = 0.0,
    ) -> None:
        self._connection = connection
        self.method = method
        self.url = url
        self.request_id = request_id
        self.body = body
        self.size = len(body)
        """Bytes of the body that came."""
        self.json_bytes = json_bytes
        """The value of `JSON_BYTES_HEADER`, if it came."""
        self.media: bytes | None = None
        """The content type of the answer, if it is not JSON."""
        self.closes = closes
        """Whether the connection is closed after the answer."""
        self.mirror = mirror
        self.key = key
        self.share = share
        """What Envoy says about it, as it came; None of those that did not."""
        self.began = began
        """`time.monotonic()` of when the request was complete; 0 where no records are kept."""
        self.headers: Mapping[str, str] | None = None
        """All of the request's by their names in lower case, where the model wants to know them."""
        self.ended = began
        """The same of when it was answered."""
        self.reply: bytes | None = None
        """The answer's bytes, once it is there."""
        self.cancel: Callable[[], None] | None = None
        """Called when the client is gone before the answer; the answer is then not wanted any more."""
        self.rows: np.ndarray | Tensors | None = None
        """What the model was asked, once that has been read."""
        self.member: str | None = None
        """The model of many that was asked, where there are many."""
        self.outputs: Mapping[str, np.ndarray] | None = None
        """What the model said, once that is part of the answer."""

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Send JSON, or what `media` says; `headers` are further header lines, each ended by CRLF."""
        self._connection.finish(self, status, body, headers)

    def fail(self, error: RequestError) -> None:
        """Send an error in the form that all errors have, or in gRPC's."""
        if self.url.startswith(SERVICE_PATH):
            self.media = CONTENT_TYPE
            self.answer(error.status, b"", failure(error))
            return
        message = str(error)[:_MAX_MESSAGE].encode(errors="replace").decode()
        body: dict[str, Any] = {"error": message, "code": error.code, "request_id": header_text(self.request_id)}
        if error.details:
            body["details"] = error.details
        self.answer(error.status, orjson.dumps(body), error.headers)


def header_text(value: bytes) -> str:
    """A header's value in JSON, as Envoy writes one: what is no UTF-8 byte by byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
