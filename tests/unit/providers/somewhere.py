"""A server that says what a test wants to hear."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Somewhere:
    """Answers everything with what is set, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.content: bytes | str = "{}"
        self.headers: dict[str, str] = {}
        self.hangs = False
        self.drips = False
        """Whether it repeats the content for ever, with a pause each time."""
        self.streams = False
        """Whether it does so without a pause."""
        self.left = asyncio.Event()
        """Set when nobody listens to that any more."""
        self.asked: list[web.Request] = []
        self.port = 0
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        self.asked.append(request)
        if self.hangs:
            await self._closing.wait()
        content = self.content.encode() if isinstance(self.content, str) else self.content
        if self.drips or self.streams:
            await self._for_ever(request, content)
        return web.Response(status=self.status, body=content, headers=self.headers)

    async def _for_ever(self, request: web.Request, content: bytes) -> None:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while not self._closing.is_set():
                await response.write(content)
                await asyncio.sleep(0.05 if self.drips else 0)
        finally:
            self.left.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer during the block."""
        runner = web.ServerRunner(web.Server(self.answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(runner.addresses[0][1])
        try:
            yield
        finally:
            self._closing.set()
            await runner.cleanup()
