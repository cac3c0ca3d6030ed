"""What versions were asked, for Prometheus: counted when a record is stored, hence once, however often it was sent.

Users' requests are apart from the copies of them that a shadow got. Names and labels come from outside, so that there
are at most `MOST_VERSIONS` of them, and those of a version without traffic for `IDLE_SECONDS` go; when it is asked
again it begins at zero, as Prometheus expects of counters.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.store.entries import Batch

MOST_VERSIONS: Final = 1_000
IDLE_SECONDS: Final = 3_600.0
BOUNDS_MILLISECONDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

_LABELS: Final = ("namespace", "model", "version")
_Version = tuple[str, str, str]


@dataclass(slots=True)
class _Counted:
    """Of one version. `times` counts live requests by the first bound that they do not exceed."""

    live: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    times: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MILLISECONDS) + 1))
    milliseconds: float = 0.0
    seen: float = 0.0


class ModelTraffic(Collector):
    """Requests and latencies by version."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._versions: dict[_Version, _Counted] = {}
        self._unlisted = 0

    def count(self, batch: Batch) -> None:
        """Count what was stored."""
        version = (batch.namespace, batch.model, batch.version)
        counted = self._versions.get(version)
        if counted is None:
            self._forget()
            if len(self._versions) >= MOST_VERSIONS:
                self._unlisted += len(batch.records)
                return
            counted = self._versions[version] = _Counted()
        counted.seen = self._clock()
        for record in batch.records:
            answers = counted.copies if record.mirrored else counted.live
            answers[f"{record.status // 100}xx"] += 1
            if not record.mirrored:
                counted.times[bisect_left(BOUNDS_MILLISECONDS, record.ms)] += 1
                counted.milliseconds += record.ms

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        self._forget()
        live = CounterMetricFamily("model_predictions", "Users' requests, by status.", labels=(*_LABELS, "status"))
        copies = CounterMetricFamily(
            "model_shadow_predictions", "Copies of users' requests, by status.", labels=(*_LABELS, "status")
        )
        times = HistogramMetricFamily(
            "model_prediction_latency_seconds", "Time that a replica took for a user's request.", labels=_LABELS
        )
        for version, counted in sorted(self._versions.items()):
            for family, answers in ((live, counted.live), (copies, counted.copies)):
                for status, count in sorted(answers.items()):
                    family.add_metric((*version, status), count)
            if counted.live:
                times.add_metric(version, _buckets(counted.times), counted.milliseconds / 1_000)
        unlisted = CounterMetricFamily(
            "tidegate_monitor_unlisted_predictions",
            f"Requests of versions beyond the first {MOST_VERSIONS}, which have no series of their own.",
            value=self._unlisted,
        )
        yield from (live, copies, times, unlisted)

    def _forget(self) -> None:
        before = self._clock() - IDLE_SECONDS
        self._versions = {version: counted for version, counted in self._versions.items() if counted.seen > before}


def _buckets(times: list[int]) -> list[tuple[str, float]]:
    below = list(accumulate(times))
    named = [(str(bound / 1_000), float(count)) for bound, count in zip(BOUNDS_MILLISECONDS, below, strict=False)]
    return [*named, ("+Inf", float(below[-1]))]
