"""A router in a pod: beside an Envoy in a container of its own, following the ModelRoutes of the API server.

Neither container starts, stops or waits for the other. They share a folder: Envoy finds its configuration at one socket
in it, and the router asks Envoy at the other.
"""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack

from router.admin import EnvoyAdmin
from router.pod.api import serving
from router.pod.cluster import connected
from router.pod.drain import gone
from router.pod.health import Health
from router.pod.kube import ModelRoutes
from router.pod.settings import PodSettings
from router.pod.traffic import PodTraffic
from router.service import Router

_log = logging.getLogger(__name__)


async def run(settings: PodSettings) -> None:
    """Follow the ModelRoutes until SIGTERM, and then until Envoy is gone.

    Raises `NoCluster` when there is no API server to follow, `OSError` when a socket or port cannot be had.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    admin = EnvoyAdmin(settings.paths.admin_socket)
    router = Router(settings.paths, settings.listen)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected())
        stack.push_async_callback(router.stop)
        await router.start()
        routes = ModelRoutes(client, router, settings.name, settings.namespaces)
        health = Health(router, routes, admin)
        traffic = PodTraffic(settings.paths, router.published)
        await stack.enter_async_context(serving(settings.http_port, router, health, traffic))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(routes.run()), tasks.create_task(health.watch())]
            _log.info("router %s follows %s", settings.name, ", ".join(settings.namespaces) or "all namespaces")
            await stopping.wait()
            health.stop()
            _log.info("stopping as soon as Envoy is gone")
            await gone(admin)
            for task in following:
                task.cancel()
