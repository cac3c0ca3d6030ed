"""The router pods: who must have a route before it counts as published, and who is asked what was counted."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from operators.api.fields import parse_time
from operators.kube.client import PODS, Api, Object

LINGER_SECONDS: Final = 60.0
"""A pod that is going counts for so long after the time that it was given: its node may be gone, and never say so."""


@dataclass(frozen=True, slots=True)
class RouterPod:
    """One router pod. It is `live` while requests may reach it."""

    name: str
    ip: str
    ready: bool
    going: bool
    live: bool


class RouterPods:
    """All pods with the routers' labels in one namespace."""

    def __init__(self, api: Api, namespace: str, selector: str) -> None:
        """Nothing is asked yet."""
        self._api = api
        self.namespace = namespace
        self.selector = selector
        self.found: Mapping[str, RouterPod] = {}

    @property
    def live(self) -> list[RouterPod]:
        """Those that requests may reach, as of the last look."""
        return [pod for pod in self.found.values() if pod.live]

    async def look(self) -> None:
        """List the pods."""
        listed = await self._api.objects(PODS, (self.namespace,), self.selector)
        self.found = {pod.name: pod for pod in (router_pod(document, time.time()) for document in listed)}


def router_pod(document: Object, now: float) -> RouterPod:
    """What a pod's status says of it at `now` (seconds since the epoch).

    A pod that is ready gets requests; one that is going still has some under way while its containers run.
    """
    metadata, status = document["metadata"], document.get("status") or {}
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    ready, until = conditions.get("Ready") == "True", metadata.get("deletionTimestamp")
    runs = any((one.get("state") or {}).get("running") is not None for one in status.get("containerStatuses") or ())
    going = until is not None and runs and now < parse_time(until) + LINGER_SECONDS
    return RouterPod(
        name=metadata["name"],
        ip=status.get("podIP") or "",
        ready=ready and until is None,
        going=going,
        live=going if until is not None else ready,
    )
