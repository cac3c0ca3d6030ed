"""HTTP upstreams that stand for replicas, and what tests of the router share."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from router.ir import Backend, Endpoint, Route, RouteKey

DEADLINE_SECONDS = 15.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll a state that another process changes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_SECONDS} s"
        await asyncio.sleep(0.01)


@dataclass(slots=True)
class Upstream:
    """A replica: an HTTP/1.1 server that says which version it is.

    `answer` makes the bytes of an answer to an inference request; None closes the connection without one.
    """

    version: str
    port: int = 0
    heads: list[str] = field(default_factory=list)
    ready: bool = True
    answer: Callable[["Upstream"], Awaitable[bytes | None]] | None = None
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def reply(self, status: str = "200 OK", body: bytes = b"{}", headers: str = "") -> bytes:
        head = f"HTTP/1.1 {status}\r\ntidegate-version: {self.version}\r\n{headers}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """What SIGKILL does: the port is closed and every connection reset, answers under way are lost."""
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
                await reader.readexactly(length)
                if " /v2/health/ready " in head:
                    reply: bytes | None = self.reply("200 OK" if self.ready else "503 Service Unavailable")
                else:
                    self.heads.append(head)
                    reply = self.reply() if self.answer is None else await self.answer(self)
                if reply is None:
                    writer.transport.abort()
                    return
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def upstreams() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Starts upstreams, by their version and what else one may be given; they are killed at the end."""
    started: list[Upstream] = []

    async def start(version: str, **fields: object) -> Upstream:
        found = Upstream(version, **fields)  # type: ignore[arg-type]
        await found.start()
        started.append(found)
        return found

    yield start
    for found in started:
        await found.kill()


def make_route(name: str, *shares: tuple[Upstream | tuple[Upstream, ...], int], **fields: object) -> Route:
    """A route whose backends are these upstreams, candidate first, with their weights."""
    groups = [(found if isinstance(found, tuple) else (found,), weight) for found, weight in shares]
    backends = tuple(
        Backend(group[0].version if group else "v", weight, tuple(upstream.endpoint for upstream in group))
        for group, weight in groups
    )
    return Route(RouteKey("default", name), name, backends=backends, **fields)  # type: ignore[arg-type]
