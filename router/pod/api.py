"""The HTTP API of a router pod: that of every pod, and what Envoy has counted."""

from contextlib import AbstractAsyncContextManager

import orjson
from aiohttp import web

from router.pod import http
from router.pod.health import Health
from router.pod.metrics import metrics_text
from router.pod.traffic import PodTraffic, traffic_json
from router.service import Router


def serving(port: int, router: Router, health: Health, traffic: PodTraffic) -> AbstractAsyncContextManager[None]:
    """Answer on all interfaces while the block runs. Raises `OSError` when the port is taken."""

    async def measured() -> bytes:
        return metrics_text(router, await traffic.read())

    async def counted(_: web.Request) -> web.Response:
        reading = await traffic.read()
        if reading is None:
            return web.Response(status=503, text="Envoy cannot be read\n")
        return web.Response(body=orjson.dumps(traffic_json(reading)), content_type="application/json")

    return http.serving(port, health.unready, measured, web.get("/traffic", counted))
