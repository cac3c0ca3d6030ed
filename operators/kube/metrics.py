"""The operator's metrics for Prometheus. https://prometheus.io/docs/practices/naming/

Of every rollout there is what its last decision says; a series whose subject is gone is gone with it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from operators.api import ModelRollout, RolloutKey
from operators.plan import Plan
from operators.status import CheckResult, Phase, RolloutStatus, Verdict

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds: deciding takes a millisecond, writing the status some more."""

_ROLLOUT: Final = ("namespace", "name")
_CHECK: Final = (*_ROLLOUT, "check")

_Row = tuple[*tuple[str, ...], float]
"""The values of a series' labels, and its own."""


class _Statuses(Collector):
    """What the statuses of all rollouts say now."""

    def __init__(self) -> None:
        self.known: dict[RolloutKey, RolloutStatus] = {}

    def collect(self) -> Iterator[Metric]:
        yield _family(
            "tidegate_rollout_phase",
            "1 for the phase that a rollout is in, 0 for the others.",
            (*_ROLLOUT, "phase"),
            ((*of, phase.value, phase is status.phase) for of, status in self._every() for phase in Phase),
        )
        yield _family(
            "tidegate_rollout_candidate_weight_percent",
            "Percent of the live requests that the candidate is meant to get.",
            _ROLLOUT,
            ((*of, status.weight / 100) for of, status in self._every()),
        )
        yield _family(
            "tidegate_rollout_candidate_shadow_percent",
            "Percent of the live requests that the candidate is meant to get a copy of.",
            _ROLLOUT,
            ((*of, status.shadow / 100) for of, status in self._every()),
        )
        yield _family(
            "tidegate_rollout_step",
            "The step in work, counted from 0; none while nothing rolls out.",
            _ROLLOUT,
            ((*of, status.step) for of, status in self._every() if status.step is not None),
        )
        yield _family(
            "tidegate_rollout_step_started_timestamp_seconds",
            "When the step in work began.",
            _ROLLOUT,
            ((*of, status.step_started_at) for of, status in self._every() if status.step_started_at is not None),
        )
        yield _family(
            "tidegate_rollout_awaits_promotion",
            "1 while a rollout waits for a person.",
            _ROLLOUT,
            ((*of, status.awaits_promotion) for of, status in self._every()),
        )
        yield _family(
            "tidegate_rollout_version_info",
            "1 for every version that runs, by what it is: stable, candidate, or a variant's name.",
            (*_ROLLOUT, "role", "version"),
            ((*of, role, version, 1) for of, status in self._every() for role, version in _versions(status)),
        )
        yield from self._checks()

    def _checks(self) -> Iterator[Metric]:
        checks = [(of, check) for of, status in self._every() for check in status.checks]
        yield _family(
            "tidegate_check_verdict",
            "1 for the verdict of a check now, 0 for the others; gates: whether it has a say.",
            (*_CHECK, "gates", "verdict"),
            (
                (*of, check.name, str(check.gates).lower(), verdict.value, verdict is check.verdict)
                for of, check in checks
                for verdict in Verdict
            ),
        )
        figures: tuple[tuple[str, str, Callable[[CheckResult], float | None]], ...] = (
            ("value", "The estimate that a check is decided on.", lambda check: check.value),
            ("low", "The lower end of the estimate's interval.", lambda check: check.low),
            ("high", "The upper end of the estimate's interval.", lambda check: check.high),
            ("bound", "What the estimate is held against.", lambda check: check.bound),
            ("samples", "What the estimate rests on.", lambda check: check.samples),
        )
        for name, text, figure in figures:
            found = ((*of, check.name, value) for of, check in checks if (value := figure(check)) is not None)
            yield _family(f"tidegate_check_{name}", text, _CHECK, found)

    def _every(self) -> Iterator[tuple[tuple[str, str], RolloutStatus]]:
        return (((key.namespace, key.name), status) for key, status in sorted(self.known.items()))


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
        self._verdicts = Counter(
            "tidegate_check_verdicts",
            "Verdicts that had a say, each time that one is reached anew.",
            [*_CHECK, "verdict"],
            registry=registry,
        )
        self._statuses = _Statuses()
        registry.register(self._statuses)

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
        self._statuses.known[key] = status
        if status.checks != rollout.status.checks:
            for check in status.checks:
                if check.gates:
                    self._verdicts.labels(key.namespace, key.name, check.name, check.verdict.value).inc()

    def dropped(self, key: RolloutKey) -> None:
        """See `Observer`."""
        self._statuses.known.pop(key, None)
        self._verdicts.remove_by_labels({"namespace": key.namespace, "name": key.name})


def _family(name: str, text: str, labels: Iterable[str], rows: Iterable[_Row]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for *of, value in rows:
        family.add_metric(of, value)
    return family


def _versions(status: RolloutStatus) -> Iterator[tuple[str, str]]:
    if status.stable is not None:
        yield "stable", status.stable.id
    if status.candidate is not None:
        yield "candidate", status.candidate.revision.id
    for variant in status.variants:
        yield variant.name, variant.revision.id
