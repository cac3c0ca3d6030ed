"""The router's numbers in the text format of Prometheus.

Traffic comes from Envoy and begins at zero when Envoy does, as Prometheus expects of counters. While Envoy cannot be
read there is none, rather than zeros.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from router.ir import BackendKey, TrafficCounters
from router.pod.traffic import Reading
from router.service import Router

BOUNDS_MILLISECONDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000)
"""Of the router's bounds those that go to Prometheus, where every one costs a series for every version."""

_LABELS: Final = ("namespace", "model", "version", "mirrored")


class _Collected(Collector):
    def __init__(self, router: Router, reading: Reading | None) -> None:
        self._router = router
        self._counters: Mapping[BackendKey, TrafficCounters] = {} if reading is None else reading.counters
        self._envoy_up = reading is not None

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._routes()

    def _traffic(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("tidegate_requests", "Answered requests, mirrored copies apart.", labels=_LABELS)
        errors = CounterMetricFamily("tidegate_errors", "Those answered with 500 and above.", labels=_LABELS)
        times = HistogramMetricFamily(
            "tidegate_request_duration_seconds", "Time until the replica's whole answer.", labels=_LABELS
        )
        for backend, counters in sorted(self._counters.items()):
            route = backend.route
            labels = (route.namespace, route.name, backend.version, str(backend.mirrored).lower())
            requests.add_metric(labels, counters.requests)
            errors.add_metric(labels, counters.errors)
            times.add_metric(labels, _buckets(counters), None)
        yield from (requests, errors, times)

    def _routes(self) -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "tidegate_router_answers", "Envoy's answers to configuration, by type.", labels=("type", "answer")
        )
        for (kind, accepted), count in self._router.answers().items():
            answers.add_metric((kind.name.lower(), "ack" if accepted else "nack"), count)
        routes = GaugeMetricFamily("tidegate_router_routes", "Published routes by state.", labels=("state",))
        statuses = [self._router.status(key) for key in self._router.published()]
        acknowledged = sum(status.acknowledged for status in statuses)
        rejected = sum(status.rejected is not None for status in statuses)
        routes.add_metric(("acknowledged",), acknowledged)
        routes.add_metric(("rejected",), rejected)
        routes.add_metric(("pending",), len(statuses) - acknowledged - rejected)
        yield from (
            answers,
            routes,
            GaugeMetricFamily("tidegate_router_envoy_up", "Whether Envoy can be read.", value=self._envoy_up),
        )


def metrics_text(router: Router, reading: Reading | None) -> bytes:
    """All numbers, one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(router, reading))
    return generate_latest(registry)


def _buckets(counters: TrafficCounters) -> list[tuple[str, float]]:
    below = dict(zip(counters.bucket_bounds, accumulate(counters.bucket_counts), strict=False))
    named = [(str(bound / 1_000), float(below.get(bound, 0))) for bound in BOUNDS_MILLISECONDS]
    return [*named, ("+Inf", float(sum(counters.bucket_counts)))]
