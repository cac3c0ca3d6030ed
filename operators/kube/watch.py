"""Watching objects with kopf: who is told about a change looks for itself.

kopf keeps the watch open, follows it over timeouts, 410 Gone and expired credentials, and calls one function. Nothing
else of it is used: no finalizers, no timers, no peering, no state in annotations.

It runs on an event loop of its own, in a thread of its own, for three reasons: on its way out it cancels every task of
its loop, it takes over the signals of the main thread, and it ends when the resource that it watches is uninstalled,
so that it must be started again.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import kopf
from kubernetes.aio.client import Configuration

from operators.kube.client import Api, Object, Resource
from operators.ports import PortUnavailable

RETRY_SECONDS: Final = 2.0
"""The pause before a watch that ended is begun again; also how often a missing resource is looked for."""


class Seen(Protocol):
    """Whoever is told."""

    def __call__(self, changed: Object | None, gone: bool = False) -> None:
        """This object was there, came or changed, or is `gone`; None: any may have."""


log = logging.getLogger(__name__)


async def watch(api: Api, resource: Resource, namespaces: Sequence[str], seen: Seen, selector: str = "") -> None:
    """Call `seen` for the objects in these namespaces (in all without any), those with these labels, until cancelled.

    A watch that cannot be had is tried again. Between two watches anything may have happened: `seen(None)` says so.
    """
    told = ""
    while True:
        try:
            await api.objects(resource, namespaces[:1], selector)  # kopf does not wait for a resource to be installed
            await _watch(api, resource, namespaces, seen, selector)
        except PortUnavailable as error:
            reason = str(error)
        else:
            reason = "it ended"
        if reason != told:
            log.warning("the watch of %s is begun again: %s", resource.plural, reason)
            told = reason
        await asyncio.sleep(RETRY_SECONDS)
        seen(None)


async def _watch(api: Api, resource: Resource, namespaces: Sequence[str], seen: Seen, selector: str) -> None:
    """Return when kopf gave up."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    other, stop = asyncio.new_event_loop(), asyncio.Event()

    async def take(event: Any, **_: Any) -> None:
        loop.call_soon_threadsafe(seen, event["object"], event["type"] == "DELETED")

    work = kopf.operator(
        registry=_registry(api, resource, take),
        settings=_settings(resource, selector),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )

    def run() -> None:
        try:
            other.run_until_complete(work)
        except Exception as error:  # noqa: BLE001 - whatever ended it, it is begun again
            log.info("kopf stopped watching %s: %s: %s", resource.plural, type(error).__name__, error)
        finally:
            other.close()
            with contextlib.suppress(RuntimeError):  # this process is ending
                loop.call_soon_threadsafe(over.set)

    # A daemon: a process that must end now does not wait until kopf has taken leave.
    threading.Thread(target=run, name=f"watch-{resource.plural}", daemon=True).start()
    try:
        await over.wait()
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended
            other.call_soon_threadsafe(stop.set)


def _registry(api: Api, resource: Resource, take: Callable[..., Any]) -> kopf.OperatorRegistry:
    async def login(**_: Any) -> kopf.ConnectionInfo:
        """Called at the beginning, and whenever the API server refuses the credentials."""
        return await _credentials(await api.configured())

    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)
    kopf.on.event(resource.group, resource.version.rpartition("/")[2], resource.plural, registry=registry)(take)
    return registry


def _settings(resource: Resource, selector: str) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    if selector:
        settings.watching.label_selectors[resource.plural] = selector
    return settings


async def _credentials(found: Configuration) -> kopf.ConnectionInfo:
    header = await found.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
    )
