"""What this pod's Envoy has counted, for the operator that adds up all pods, and for Prometheus.

Envoy forgets its counters when it ends, the Python beside it does not touch them. So what is counted belongs to one run
of Envoy, named by `started`: while that stays the same, counters only grow (but for a version that left the fleet and
came back while nobody asked); with another value they begin at zero. A restart of this process changes neither.

Envoy has no name for its run. It makes a new admin socket in each, so that the socket's inode and time are one.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from router import traffic
from router.admin import AdminUnavailable, EnvoyAdmin
from router.config import RouterPaths
from router.ir import BackendKey, Route, RouteKey, TrafficCounters
from router.service import backends_of


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters of one run of Envoy."""

    started: str
    counters: Mapping[BackendKey, TrafficCounters]


class PodTraffic:
    """Reads the counters of all versions that are published."""

    def __init__(self, paths: RouterPaths, published: Callable[[], Mapping[RouteKey, Route]]) -> None:
        """Nothing is opened yet."""
        self._socket = paths.admin_socket
        self._admin = EnvoyAdmin(paths.admin_socket)
        self._published = published
        self._meter = traffic.Meter()
        self._started = ""
        self._reading = asyncio.Lock()

    async def read(self) -> Reading | None:
        """The counters now; None while Envoy cannot be read."""
        async with self._reading:  # an answer that overtook another would look like a counter going back
            return await self._read()

    async def _read(self) -> Reading | None:
        started = self._run()
        try:
            stats = await self._admin.stats(traffic.PATTERN, histograms=True)
        except AdminUnavailable:
            return None
        if started is None or started != self._run():
            return None  # one Envoy was asked and another one may have answered
        if started != self._started:
            self._started, self._meter = started, traffic.Meter()
        backends = list(backends_of(self._published().values()))
        self._meter.keep(backends)
        return Reading(started, self._meter.update(traffic.read(stats, backends)))

    def _run(self) -> str | None:
        try:
            found = self._socket.stat()
        except OSError:
            return None
        return f"{found.st_mtime_ns:x}-{found.st_ino:x}"


def traffic_json(reading: Reading) -> dict[str, Any]:
    """The body of `/traffic`. `bounds` are milliseconds; `counts` has one more for all beyond them."""
    return {
        "started": reading.started,
        "backends": [
            {
                "namespace": backend.route.namespace,
                "name": backend.route.name,
                "version": backend.version,
                "mirrored": backend.mirrored,
                "requests": counters.requests,
                "errors": counters.errors,
                "bounds": list(counters.bucket_bounds),
                "counts": list(counters.bucket_counts),
            }
            for backend, counters in sorted(reading.counters.items())
        ],
    }
