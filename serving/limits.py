"""What one client may cost a server, and what it hears when it wants more."""

from dataclasses import dataclass

from serving.errors import RequestError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost.

    `head_bytes`, `headers` and `url_bytes` bound one request's head; `pipelined` is the number of requests of
    one connection that may wait for their answers before reading from it stops (what one read brought is kept). A
    request's head must be there `head_seconds` after its first byte, its body `body_seconds` after its head. A client
    that takes no byte of its answers for `write_seconds` is cut off; a connection that carries nothing for
    `idle_seconds` is closed (keep it above Envoy's own idle timeout, so that Envoy closes first). `linger_seconds` is
    how long a closing connection still takes in bytes, so that its last answer is not lost to a reset.
    """

    head_bytes: int = 64 << 10
    headers: int = 128
    url_bytes: int = 8 << 10
    pipelined: int = 64
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    idle_seconds: float = 900.0
    linger_seconds: float = 2.0

    @property
    def shortest(self) -> float:
        """The shortest of the times, in seconds."""
        return min(self.head_seconds, self.body_seconds, self.write_seconds, self.idle_seconds, self.linger_seconds)

    def head_too_large(self) -> RequestError:
        """The answer to a header bomb."""
        return RequestError(
            431, "headers_too_large", f"more than {self.headers} headers or {self.head_bytes} bytes of them"
        )


def body_too_large(limit: int) -> RequestError:
    """The answer to a body of more than `limit` bytes."""
    return RequestError(413, "body_too_large", f"the body is larger than {limit} bytes")


def no_upgrade() -> RequestError:
    """The answer to a wish for another protocol."""
    return RequestError(501, "not_implemented", "this server speaks HTTP/1.1 and switches to no other protocol")


def internal_error() -> RequestError:
    """What a client hears of a fault of ours."""
    return RequestError(500, "internal_error", "the server failed to handle this request; its log says why")
