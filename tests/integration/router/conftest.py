"""A real Envoy and real HTTP upstreams, on free ports of 127.0.0.1."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.config import ListenConfig, RouterPaths
from router.envoy import EnvoyProcess
from router.ir import Route, RouteKey
from router.service import Router
from tests.integration.router.upstreams import DEADLINE_SECONDS, Upstream, free_port, make_route, until, upstreams


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


@asynccontextmanager
async def running(**listen: float) -> AsyncIterator[Stack]:
    # A Unix socket's path must be short, and pytest's own folders are not.
    root = Path(tempfile.mkdtemp(prefix="tidegate-router-"))
    paths = RouterPaths(root)
    config = ListenConfig(port=free_port(), **listen)  # type: ignore[arg-type]
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


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    return free_port()


@pytest.fixture(name="make_route")
def the_route_maker() -> Callable[..., Route]:
    return make_route


@pytest.fixture
def start_stack() -> Callable[..., AbstractAsyncContextManager[Stack]]:
    return running


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running() as found:
        yield found


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Starts replicas that say which version they are."""
    async with upstreams() as start:
        yield start
