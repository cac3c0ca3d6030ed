"""The analyst's figures for Prometheus, and what it does.

Names and labels come from outside, so there are at most `MOST_VERSIONS` versions, and columns as `MOST_COLUMNS` and
`MOST_OF_VERSION` say. The figures of a version that was not looked at for `IDLE_SECONDS`, having no traffic, go.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.analyst.figures import ColumnFigures, FeedbackFigures, Pair, PairFigures, Version, WindowFigures
from monitor.event import KINDS

MOST_VERSIONS: Final = 1_000
MOST_COLUMNS: Final = 2_000
"""Of all versions together; each has up to 8 series."""
MOST_OF_VERSION: Final = 50
IDLE_SECONDS: Final = 3_600.0
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_VERSION: Final = Version._fields

K = TypeVar("K")
V = TypeVar("V")


class _Newest(Generic[K, V]):
    """The newest value of each key; one that has become too old, or one key too many, is left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[K, tuple[float, V]] = {}

    def put(self, key: K, value: V) -> None:
        if key in self._known or len(self.all()) < MOST_VERSIONS:
            self._known[key] = (self._clock(), value)

    def all(self) -> Mapping[K, V]:
        before = self._clock() - IDLE_SECONDS
        self._known = {key: entry for key, entry in self._known.items() if entry[0] > before}
        return {key: value for key, (_, value) in self._known.items()}


class Figures(Collector):
    """The newest figures of every version that has traffic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.windows = _Newest[Version, WindowFigures](clock)
        self.feedback = _Newest[Version, FeedbackFigures](clock)
        self.pairs = _Newest[Pair, PairFigures](clock)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        yield from self._feedback()
        yield from self._pairs()
        yield from self._windows()

    def _feedback(self) -> Iterator[Metric]:
        every = sorted(self.feedback.all().items())
        yield _gauge(
            "model_accuracy",
            "Share of the newest labels that the answers agree with.",
            _VERSION,
            ((version, one.accuracy) for version, one in every),
        )
        yield _gauge(
            "model_absolute_error",
            "Mean distance of answers from the newest labels.",
            _VERSION,
            ((version, one.absolute_error) for version, one in every),
        )
        yield _gauge(
            "model_reward",
            "Mean of the newest rewards.",
            _VERSION,
            ((version, one.reward) for version, one in every),
        )
        yield _gauge(
            "model_recent_feedback",
            "Feedback that these figures are of.",
            _VERSION,
            ((version, one.count) for version, one in every),
        )
        yield _gauge(
            "model_feedback_lag_seconds",
            "How long after the request it came.",
            (*_VERSION, "quantile"),
            (((*version, str(q)), lag) for version, one in every for q, lag in one.lags.items()),
        )

    def _pairs(self) -> Iterator[Metric]:
        every = sorted(self.pairs.all().items())
        labels = Pair._fields
        yield _gauge(
            "model_shadow_agreement",
            "Share of the newest pairs of answers that agree.",
            labels,
            ((pair, one.agreeing / one.count if one.count else None) for pair, one in every),
        )
        yield _gauge(
            "model_recent_shadow_pairs",
            "Pairs that this share is of.",
            labels,
            ((pair, one.count) for pair, one in every),
        )

    def _windows(self) -> Iterator[Metric]:
        every = sorted(self.windows.all().items())
        yield _gauge(
            "model_recent_records",
            "Records in the newest window.",
            _VERSION,
            ((version, one.records) for version, one in every),
        )
        yield _gauge(
            "model_quality_faults",
            "Rules of quality that the newest window breaks.",
            _VERSION,
            ((version, one.faults) for version, one in every),
        )
        features = [(version, column) for version, one in every for column in one.features[:MOST_OF_VERSION]]
        predictions = [(version, column) for version, one in every for column in one.predictions[:MOST_OF_VERSION]]
        room = MOST_COLUMNS - min(len(features), MOST_COLUMNS)
        yield from _columns("feature", features[:MOST_COLUMNS])
        yield from _columns("prediction", predictions[:room])
        known = sum(len(one.features) + len(one.predictions) for _, one in every)
        shown = min(len(features) + len(predictions), MOST_COLUMNS)
        yield GaugeMetricFamily(
            "tidegate_analyst_unlisted_columns", "Columns beyond the first ones.", value=known - shown
        )


def _columns(what: str, every: list[tuple[Version, ColumnFigures]]) -> Iterator[Metric]:
    labels = (*_VERSION, what)
    yield _gauge(
        f"model_{what}_values",
        f"Quantiles of a {what} in the newest window.",
        (*labels, "quantile"),
        (
            ((*version, column.name, str(q)), value)
            for version, column in every
            for q, value in column.quantiles.items()
        ),
    )
    figures: tuple[tuple[str, str, Callable[[ColumnFigures], float | None]], ...] = (
        ("missing_ratio", f"Share of the newest window without a value of a {what}.", lambda column: column.missing),
        ("drift_psi", f"How far a {what} has moved from its reference.", lambda column: column.psi),
        ("drift_alarm", f"1 since a {what}'s drift has been shown.", lambda column: column.alarmed),
    )
    for name, text, value in figures:
        yield _gauge(
            f"model_{what}_{name}",
            text,
            labels,
            (((*version, column.name), value(column)) for version, column in every),
        )


def _gauge(
    name: str, text: str, labels: tuple[str, ...], rows: Iterator[tuple[tuple[str, ...], float | None]]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in rows:
        if value is not None:
            family.add_metric(of, value)
    return family


class Metrics:
    """What the analyst does, and its figures, in the monitor's registry."""

    def __init__(self, registry: CollectorRegistry, figures: Figures | None = None) -> None:
        self.figures = figures or Figures()
        registry.register(self.figures)
        self.findings = Counter(
            "tidegate_analyst_findings", "Findings that became an event.", ["kind"], registry=registry
        )
        for kind in KINDS:
            self.findings.labels(kind)
        self.seconds = Histogram(
            "tidegate_analyst_look_seconds", "Time of one look at new records.", buckets=_BUCKETS, registry=registry
        )
        self.failures = Counter("tidegate_analyst_failures", "Looks that failed.", registry=registry)
        self.waiting = Gauge(
            "tidegate_analyst_waiting_models", "Models with news that have not been looked at.", registry=registry
        )
