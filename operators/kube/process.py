"""The operator's process: wait for the lease, then work until it is lost or somebody says stop."""

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import httpx

from monitor.client import MonitorClient
from operators.clock import SystemClock
from operators.controller import Controller
from operators.kube.client import PODS, ROLLOUTS, ROUTES, Api, connected
from operators.kube.lease import Lease
from operators.kube.metrics import Metrics
from operators.kube.pods import RouterPods
from operators.kube.ray import RotatedRay
from operators.kube.routes import Routes
from operators.kube.settings import Settings
from operators.kube.store import KubeStore
from operators.kube.traffic import FleetTraffic
from operators.kube.watch import watch
from operators.monitoring import Monitoring
from operators.notices import Notices, Observers
from operators.providers.service import Providers, providers
from operators.reconcile import reconcile
from router.pod.http import serving

TYPED: Final = "kubectl tidegate {command} {name} -n {namespace}"
"""How people type commands in a cluster."""
SILENT_SECONDS: Final = 30.0
"""A process that has not heard of the API server for so long is not ready."""

log = logging.getLogger(__name__)


async def operate(settings: Settings) -> None:
    """Run until cancelled. Being cancelled, or killed, is safe at any moment: traffic stays as it is.

    Raises `NoCluster`, `OSError` when the port or Ray's token cannot be had, and `LeaseLost`: whoever else works now
    must not meet what this process has begun.
    """
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connected())
        lease = Lease(api, settings.place.namespace, settings.place.lease, settings.pod)
        metrics = Metrics(lambda: lease.held)
        await stack.enter_async_context(serving(settings.http_port, partial(_unready, lease), metrics.text))
        ray = RotatedRay(settings.ray_url, settings.ray_token_file)
        stack.push_async_callback(ray.close)
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        monitor = None
        if settings.monitor_url is not None:
            asked = MonitorClient(settings.monitor_url, settings.monitor_token_file)
            monitor = await stack.enter_async_context(asked)
        figures = await stack.enter_async_context(providers(settings.providers, SystemClock()))
        await lease.acquire()
        stack.push_async_callback(lease.release)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lease.keep())
            tasks.create_task(_lead(settings, api, ray, client, metrics, monitor=monitor, figures=figures))


async def _lead(
    settings: Settings,
    api: Api,
    ray: RotatedRay,
    client: httpx.AsyncClient,
    metrics: Metrics,
    *,
    monitor: MonitorClient | None,
    figures: Providers,
) -> None:
    """Do the work of the one process that holds the lease."""
    place, clock = settings.place, SystemClock()
    store = KubeStore(api, place.watched, clock)
    pods = RouterPods(api, place.namespace, settings.router_selector)
    routes = Routes(api, place.watched, pods, FleetTraffic(client, settings.router_port), store.uid)
    await routes.load()
    log.info("following the rollouts in %s", ", ".join(place.watched) or "all namespaces")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(api, ROLLOUTS, place.watched, store.seen))
        tasks.create_task(watch(api, ROUTES, place.watched, routes.seen))
        tasks.create_task(watch(api, PODS, (pods.namespace,), routes.pod_seen, pods.selector))
        tasks.create_task(routes.run())
        observers, monitoring = Observers((metrics,)), None
        if monitor is not None:
            monitoring, notices = Monitoring(monitor), Notices(monitor, clock.now)
            observers = Observers((metrics, notices))
            tasks.create_task(notices.run())
        decide = partial(reconcile, typed=TYPED)
        controller = Controller(
            store, ray, routes, clock, decide, observer=observers, monitor=monitoring, metrics=figures
        )
        tasks.create_task(controller.run())


async def _unready(lease: Lease) -> str | None:
    if lease.heard is None:
        return "the API server has not answered yet"
    silent = asyncio.get_running_loop().time() - lease.heard
    return f"the API server has not answered for {silent:.0f} seconds" if silent > SILENT_SECONDS else None
