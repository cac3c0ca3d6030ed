"""The HTTP API of a router pod: is it alive, is it ready, and what has it counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from router.health import Health
from router.podmetrics import metrics_text
from router.podtraffic import PodTraffic, traffic_json
from router.service import Router


@asynccontextmanager
async def serving(port: int, router: Router, health: Health, traffic: PodTraffic) -> AsyncIterator[None]:
    """Answer on all interfaces while the block runs. Raises `OSError` when the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = await health.unready()
        return web.Response(text="ok\n") if reason is None else web.Response(status=503, text=f"{reason}\n")

    async def metrics(_: web.Request) -> web.Response:
        text = metrics_text(router, await traffic.read())
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def counted(_: web.Request) -> web.Response:
        reading = await traffic.read()
        if reading is None:
            return web.Response(status=503, text="Envoy cannot be read\n")
        return web.Response(body=orjson.dumps(traffic_json(reading)), content_type="application/json")

    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/traffic", counted),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()
