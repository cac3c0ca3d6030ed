"""The operator's metrics for Prometheus. https://prometheus.io/docs/practices/naming/"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from operators.api import ModelRollout, RolloutKey
from operators.plan import Plan
from operators.status import Phase

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds: deciding takes a millisecond, writing the status some more."""


class Metrics:
    """What the controller and the lease tell, in a registry of its own. Implements `operators.ports.Observer`."""

    def __init__(self, leads: Callable[[], bool]) -> None:
        """`leads` says whether this process holds the lease."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Gauge("tidegate_operator_leader", "1 in the one process that works.", registry=registry).set_function(
            lambda: float(leads())
        )
        self._seconds = Histogram(
            "tidegate_operator_reconcile_seconds",
            "Time to decide about one rollout and to store the decision.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "tidegate_operator_reconcile_failures", "Decisions that failed or could not be stored.", registry=registry
        )
        self._depth = Gauge("tidegate_operator_queue_depth", "Rollouts that wait for a decision.", registry=registry)
        self._phases = Gauge(
            "tidegate_rollout_phase",
            "1 for the phase that a rollout is in, 0 for the others.",
            ["namespace", "name", "phase"],
            registry=registry,
        )
        self._weight = Gauge(
            "tidegate_rollout_candidate_weight_percent",
            "Percent of the live requests that the candidate is meant to get.",
            ["namespace", "name"],
            registry=registry,
        )
        self._verdicts = Counter(
            "tidegate_check_verdicts",
            "Verdicts about candidates, each time that one is reached anew.",
            ["namespace", "name", "check", "verdict"],
            registry=registry,
        )

    async def text(self) -> bytes:
        """All of them in the text format, one scrape."""
        return generate_latest(self.registry)

    def queued(self, depth: int) -> None:
        """See `Observer`."""
        self._depth.set(depth)

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
        """See `Observer`."""
        self._seconds.observe(seconds)
        if plan is None:
            self._failures.inc()
            return
        key, status = rollout.key, plan.status
        for phase in Phase:
            self._phases.labels(key.namespace, key.name, phase.value).set(phase is status.phase)
        self._weight.labels(key.namespace, key.name).set(status.weight / 100)
        if status.checks != rollout.status.checks:
            for check in status.checks:
                self._verdicts.labels(key.namespace, key.name, check.name, check.verdict.value).inc()

    def dropped(self, key: RolloutKey) -> None:
        """See `Observer`."""
        for metric in (self._phases, self._weight, self._verdicts):
            metric.remove_by_labels({"namespace": key.namespace, "name": key.name})
