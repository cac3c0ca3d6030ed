"""gRPC over HTTP/1.1, as far as it is spoken here: calls of one message and one answer, behind Envoy's bridge.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

An answer is one frame; Envoy adds the trailer that says it is a good one. A failed call is answered without a body,
with gRPC's status and message in the headers. Its HTTP status is that of the other protocols, for Envoy retries and
counts by it; clients get 200 in its place.
"""

from typing import Final
from urllib.parse import quote

from serving.errors import RequestError

CONTENT_TYPE: Final = b"application/grpc"
SERVICE_PATH: Final = b"/inference.GRPCInferenceService/"

_STATUSES: Final = {403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 414: 8, 415: 12, 429: 8, 431: 8, 501: 12, 503: 14, 504: 4}
"""gRPC's statuses for HTTP's. What is not here is INVALID_ARGUMENT (3) or INTERNAL (13).

https://grpc.io/docs/guides/status-codes/
"""

_PLAIN: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What a status message holds as it is; the rest is percent-encoded."""

_MESSAGE_BYTES: Final = 1_300
"""Of a message before it is encoded. Clients refuse metadata of more than 8 KiB."""


def frame(message: bytes) -> bytes:
    """The frame of one message."""
    return b"\0%b%b" % (len(message).to_bytes(4), message)


def unframe(body: bytes | bytearray) -> bytes:
    """The message of a body that is one frame. Raises `RequestError`."""
    if len(body) < 5:
        raise RequestError(400, "invalid_frame", f"the body has {len(body)} bytes; a gRPC frame has at least 5")
    if body[0] == 1:
        raise RequestError(
            415, "unsupported_encoding", "messages must not be compressed", b"grpc-accept-encoding: identity\r\n"
        )
    length = int.from_bytes(body[1:5])
    if body[0] or length != len(body) - 5:
        raise RequestError(
            400, "invalid_frame", f"the body is not one gRPC frame: it says {length} bytes where {len(body) - 5} follow"
        )
    return bytes(memoryview(body)[5:])


def failure(error: RequestError) -> bytes:
    """The headers of a failed call."""
    message = str(error).encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore")
    status = _STATUSES.get(error.status, 3 if error.status < 500 else 13)
    return b"grpc-status: %d\r\ngrpc-message: %b\r\ntidegate-code: %b\r\n%b" % (
        status,
        quote(message, safe=_PLAIN).encode(),
        error.code.encode(),
        error.headers,
    )
