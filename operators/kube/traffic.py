"""What the fleet of routers has counted: the sum over pods that come, restart and go, which only ever grows."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from operators.kube.pods import RouterPod
from router.ir import BackendKey, RouteKey, TrafficCounters

ASK_SECONDS: Final = 2.0
"""A router that takes longer does not answer."""

Counters = Mapping[BackendKey, TrafficCounters]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pod has counted in the life of one Envoy, which `started` names."""

    started: str
    counters: Counters


class Ledger:
    """Adds up readings. What a pod counted in an earlier life, or before it went, stays in the sum."""

    def __init__(self) -> None:
        """Start at zero."""
        self._closed: dict[BackendKey, TrafficCounters] = {}
        self._open: dict[str, Reading] = {}

    def take(self, pod: str, reading: Reading) -> None:
        """Take in the newest reading of a pod."""
        before = self._open.get(pod)
        if before is not None and before.started != reading.started:
            self._close(pod)
        self._open[pod] = reading

    def keep(self, pods: Collection[str], routes: Collection[RouteKey]) -> None:
        """Note that there are no pods but these, and forget what was counted for all routes but these."""
        for pod in self._open.keys() - set(pods):
            self._close(pod)
        self._closed = {backend: value for backend, value in self._closed.items() if backend.route in routes}

    def totals(self, routes: Collection[RouteKey]) -> dict[BackendKey, TrafficCounters]:
        """The sums for the versions of these routes. Raises `ValueError` when two releases count in other buckets."""
        totals: dict[BackendKey, TrafficCounters] = {}
        for counters in (*(reading.counters for reading in self._open.values()), self._closed):
            for backend, value in counters.items():
                if backend.route in routes:
                    totals[backend] = _sum(totals[backend], value) if backend in totals else value
        return totals

    def _close(self, pod: str) -> None:
        for backend, value in self._open.pop(pod).counters.items():
            before = self._closed.get(backend)
            # Of another release's buckets nothing can be made: the sum falls, and whoever follows it begins anew.
            same = before is not None and before.bucket_bounds == value.bucket_bounds
            self._closed[backend] = _sum(before, value) if before is not None and same else value


class FleetTraffic:
    """Reads all routers."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        """`port` is that of the HTTP API in every router pod."""
        self._client = client
        self._port = port
        self._ledger = Ledger()

    async def read(self, pods: Sequence[RouterPod], routes: Collection[RouteKey]) -> Counters | None:
        """The sums per version; None when a router that gets requests does not answer, or when there is none.

        Then nobody knows what it counted, and a sum without it would pass for the whole.
        """
        asked = [pod for pod in pods if pod.live and pod.ip]
        readings = await asyncio.gather(*(self._ask(pod) for pod in asked))
        for pod, reading in zip(asked, readings, strict=True):
            if reading is not None:
                self._ledger.take(pod.name, reading)
        self._ledger.keep([pod.name for pod in pods], routes)
        silent = [pod for pod, reading in zip(asked, readings, strict=True) if reading is None and not pod.going]
        if silent or not asked:
            return None
        try:
            return self._ledger.totals(routes)
        except ValueError:
            return None

    async def _ask(self, pod: RouterPod) -> Reading | None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        try:
            answer = await self._client.get(f"http://{host}:{self._port}/traffic", timeout=ASK_SECONDS)
            return _reading(answer.content) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValidationError):
            return None


class _Backend(BaseModel):
    namespace: str
    name: str
    version: str
    mirrored: bool
    requests: int
    errors: int
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class _Answer(BaseModel):
    started: str
    backends: tuple[_Backend, ...]


def _reading(content: bytes) -> Reading:
    answer = _Answer.model_validate_json(content)
    return Reading(
        answer.started,
        {
            BackendKey(RouteKey(one.namespace, one.name), one.version, one.mirrored): TrafficCounters(
                one.requests, one.errors, one.bounds, one.counts
            )
            for one in answer.backends
        },
    )


def _sum(one: TrafficCounters, other: TrafficCounters) -> TrafficCounters:
    if one.bucket_bounds != other.bucket_bounds:
        raise ValueError(f"counts of {one.bucket_bounds} and {other.bucket_bounds} milliseconds cannot be added")
    return TrafficCounters(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        bucket_bounds=one.bucket_bounds,
        bucket_counts=tuple(a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)),
    )
