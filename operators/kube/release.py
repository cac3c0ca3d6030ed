"""Taking leave of a cluster: without an operator nobody would ever take the finalizers from the rollouts."""

import asyncio
import contextlib
import logging
from typing import Final

from operators.kube.client import NAMESPACES, ROLLOUTS, Api, Conflict, NotFound, Patch
from operators.kube.lease import RENEW_SECONDS, Lease
from operators.kube.settings import Place
from operators.kube.store import without_finalizer
from operators.ports import StoreUnavailable

HOLDER: Final = "uninstall"
LEASE_SECONDS: Final = 60
"""For so long no operator works, unless it is uninstalled meanwhile."""
ATTEMPTS: Final = 5

log = logging.getLogger(__name__)


async def release(api: Api, place: Place) -> None:
    """Take Tidegate's finalizer from all rollouts.

    The lease is taken first: an operator that still worked would put finalizers back. Raises `PortUnavailable` or
    `LeaseLost`.
    """
    await Lease(api, place.namespace, place.lease, HOLDER).seize(LEASE_SECONDS)
    await asyncio.sleep(RENEW_SECONDS + 1)
    await _let_go(api, place)


async def leave(api: Api, place: Place) -> None:
    """An operator's last act: when its own namespace is being deleted, nobody comes after it, so let all rollouts go.

    Kubernetes deletes the pods of a namespace before anything else in it, and would wait for the finalizers forever.
    Raises `PortUnavailable`.
    """
    namespace = await api.get(NAMESPACES, None, place.namespace)
    if "deletionTimestamp" in namespace["metadata"]:
        log.warning("namespace %s is being deleted: its rollouts are let go", place.namespace)
        await _let_go(api, place)


async def _let_go(api: Api, place: Place) -> None:
    for _ in range(ATTEMPTS):
        left = [one["metadata"] for one in await api.objects(ROLLOUTS, place.watched)]
        left = [metadata for metadata in left if without_finalizer(metadata)]
        if not left:
            return
        for metadata in left:
            fixed = {name: metadata[name] for name in ("uid", "resourceVersion")}
            content = {"metadata": fixed | (without_finalizer(metadata) or {})}
            with contextlib.suppress(NotFound, Conflict):  # gone, or changed meanwhile: then it is listed again
                await api.patch(ROLLOUTS, metadata["namespace"], metadata["name"], Patch.MERGE, content)
                log.info("modelrollout %s/%s: released", metadata["namespace"], metadata["name"])
    raise StoreUnavailable(f"{len(left)} rollouts were changed by somebody else {ATTEMPTS} times in a row")
