"""The HTTP API that every pod has: is it alive, is it ready, and what does it measure."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST


@asynccontextmanager
async def serving(
    port: int,
    unready: Callable[[], Awaitable[str | None]],
    measured: Callable[[], Awaitable[bytes]],
    *more: web.RouteDef,
) -> AsyncIterator[None]:
    """Answer on all interfaces while the block runs. Raises `OSError` when the port is taken.

    `unready` says why the process is not ready, None when it is; `measured` is the text of one scrape.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = await unready()
        return web.Response(text="ok\n") if reason is None else web.Response(status=503, text=f"{reason}\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await measured(), headers={"content-type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics), *more]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()
