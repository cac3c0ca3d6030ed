"""Per-version counters and latencies, read from Envoy's cluster statistics.

What Envoy 1.40 counts where, for one cluster (the tests hold each line against a real Envoy):

- `upstream_rq_completed`: requests with a final answer, Envoy's own for timeouts and lost replicas included. An attempt
  that was retried is not in it (Envoy counts it as `retry.upstream_rq_*`).
- `upstream_rq_5xx`: those of them with a status of 500 and above. An answer that breaks off after its head counts by
  the status that the head had.
- A mirrored copy that was shed is in both, and in `upstream_rq_active_overflow` (or `pending_overflow`). It never
  reached the version and says nothing about it, so it is taken out again.
- `upstream_rq_time`: a histogram of the milliseconds until a replica's whole answer. Requests that got none are not in
  it; those that ran into the route's timeout (`upstream_rq_timeout`) are added to the bucket beyond all bounds, since
  a version must not look fast because its slowest answers were never waited for.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from router.bootstrap import (
    CLUSTER_METRICS,
    COMPLETED,
    ERRORS,
    LATENCY_METRIC,
    SHED,
    TIMEOUTS,
    latency_bounds,
)
from router.ir import BackendKey, TrafficCounters
from router.translate.clusters import LIVE_PREFIX, MIRROR_PREFIX, cluster_name

PATTERN = rf"^cluster[.]({LIVE_PREFIX}|{MIRROR_PREFIX}).*[.]({'|'.join((*CLUSTER_METRICS, LATENCY_METRIC))})$"
"""The statistics that `read` needs, as a regular expression for Envoy's admin interface."""

_ZERO = TrafficCounters(
    bucket_bounds=latency_bounds(),
    bucket_counts=(0,) * (len(latency_bounds()) + 1),
)


def read(stats: Iterable[Mapping[str, Any]], backends: Iterable[BackendKey]) -> dict[BackendKey, TrafficCounters]:
    """What one Envoy has counted since it started (or since it got the cluster), for those `backends` it knows."""
    numbers: dict[str, int] = {}
    histograms: dict[str, Mapping[float, int]] = {}
    for stat in stats:
        for histogram in stat.get("histograms", ()):
            buckets = histogram["buckets"]
            histograms[histogram["name"]] = {bucket["upper_bound"]: bucket["cumulative"] for bucket in buckets}
        if "value" in stat:
            numbers[stat["name"]] = stat["value"]
    found: dict[BackendKey, TrafficCounters] = {}
    for backend in backends:
        prefix = f"cluster.{cluster_name(backend)}."
        if prefix + TIMEOUTS not in numbers:
            continue
        timeouts = numbers[prefix + TIMEOUTS]
        shed = sum(numbers.get(prefix + name, 0) for name in SHED) if backend.mirrored else 0
        buckets = histograms.get(prefix + LATENCY_METRIC, {})
        counts = [buckets.get(bound, 0) for bound in latency_bounds()]
        beyond = sum(buckets.values()) - sum(counts)
        found[backend] = TrafficCounters(
            requests=numbers.get(prefix + COMPLETED, 0) - shed,
            errors=numbers.get(prefix + ERRORS, 0) - shed,
            bucket_bounds=latency_bounds(),
            bucket_counts=(*counts, beyond + timeouts),
        )
    return found


class Meter:
    """Makes counters that only grow out of those of an Envoy that may restart, or drop a cluster and get it back."""

    def __init__(self) -> None:
        """Start at zero."""
        self._base: dict[BackendKey, TrafficCounters] = {}
        self._last: dict[BackendKey, TrafficCounters] = {}

    def update(self, reading: Mapping[BackendKey, TrafficCounters]) -> dict[BackendKey, TrafficCounters]:
        """Take in a reading; gives the totals of everything that was ever read and not forgotten."""
        for backend, last in self._last.items():
            now = reading.get(backend, _ZERO)
            if now.requests < last.requests or sum(now.bucket_counts) < sum(last.bucket_counts):
                self._base[backend] = _sum(self._base.get(backend, _ZERO), last)
                self._last[backend] = _ZERO
        self._last.update(reading)
        return {backend: _sum(self._base.get(backend, _ZERO), last) for backend, last in self._last.items()}

    def keep(self, backends: Iterable[BackendKey]) -> None:
        """Forget all others."""
        kept = set(backends)
        self._base = {backend: value for backend, value in self._base.items() if backend in kept}
        self._last = {backend: value for backend, value in self._last.items() if backend in kept}


def _sum(one: TrafficCounters, other: TrafficCounters) -> TrafficCounters:
    return TrafficCounters(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        bucket_bounds=_ZERO.bucket_bounds,
        bucket_counts=tuple(a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)),
    )
