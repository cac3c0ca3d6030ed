"""A real Envoy and real HTTP upstreams, on free ports of 127.0.0.1."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from router.config import ListenConfig, RouterPaths
from router.envoy import EnvoyProcess
from router.ir import Backend, Endpoint, Route, RouteKey
from router.service import Router

DEADLINE_SECONDS = 15.0


def _free_port() -> int:
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
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
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


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def version(self) -> str:
        return self.headers.get("tidegate-version", "")

    @property
    def error(self) -> dict[str, str]:
        parsed: dict[str, str] = json.loads(self.body)
        return parsed


@dataclass(slots=True)
class Stack:
    """A router, its Envoy and the way in."""

    paths: RouterPaths
    listen: ListenConfig
    router: Router
    envoy: EnvoyProcess

    async def ask(
        self, path: str, body: bytes | None = b"{}", headers: dict[str, str] | None = None, method: str | None = None
    ) -> Answer:
        """One request on a connection of its own; a POST when there is a body."""
        return await asyncio.to_thread(self._ask, path, body, headers or {}, method)

    def _ask(self, path: str, body: bytes | None, headers: dict[str, str], method: str | None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.listen.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    async def kill_envoy(self) -> None:
        """SIGKILL Envoy, and wait until its successor has its configuration."""
        before = self.envoy.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: self.envoy.pid not in (None, before), "the restart of Envoy")
        await self.envoy.ready()

    async def publish(self, *routes: Route) -> None:
        """Publish and wait until Envoy has acknowledged every one."""
        await self.router.publish(routes)
        await self.acknowledged(*(route.key for route in routes))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await until(condition, what)

    async def acknowledged(self, *keys: RouteKey) -> None:
        await until(
            lambda: all(self.router.status(key).acknowledged for key in keys),
            f"the acknowledgement of {[(key, self.router.status(key)) for key in keys]}",
        )


def _route(name: str, *shares: tuple[Upstream | tuple[Upstream, ...], int], **fields: object) -> Route:
    """A route whose backends are these upstreams, candidate first, with their weights."""
    groups = [(found if isinstance(found, tuple) else (found,), weight) for found, weight in shares]
    backends = tuple(
        Backend(group[0].version if group else "v", weight, tuple(upstream.endpoint for upstream in group))
        for group, weight in groups
    )
    return Route(RouteKey("default", name), name, backends=backends, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def running(**listen: float) -> AsyncIterator[Stack]:
    # A Unix socket's path must be short, and pytest's own folders are not.
    root = Path(tempfile.mkdtemp(prefix="tidegate-router-"))
    paths = RouterPaths(root)
    config = ListenConfig(port=_free_port(), **listen)  # type: ignore[arg-type]
    stack = Stack(paths, config, Router(paths, config), EnvoyProcess(paths, config))
    try:
        await stack.router.start()
        await stack.envoy.start()
        await stack.envoy.ready()
        yield stack
    finally:
        await stack.envoy.stop()
        await stack.router.stop()
        shutil.rmtree(root)


@pytest.fixture
def free_port() -> int:
    return _free_port()


@pytest.fixture
def make_route() -> Callable[..., Route]:
    return _route


@pytest.fixture
def start_stack() -> Callable[..., AbstractAsyncContextManager[Stack]]:
    return running


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running() as found:
        yield found


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    started: list[Upstream] = []

    async def start(version: str, **fields: object) -> Upstream:
        found = Upstream(version, **fields)  # type: ignore[arg-type]
        await found.start()
        started.append(found)
        return found

    yield start
    for found in started:
        await found.kill()
