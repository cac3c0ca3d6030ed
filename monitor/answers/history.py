"""How versions of a model did over time."""

from dataclasses import dataclass

from monitor.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Bucket:
    """The live requests that came from `start` (seconds since the epoch) until the next bucket, and their feedback.

    None: there is nothing to compute it from, or it is older than what was read (`PerformanceReport.cut`).
    """

    start: float
    requests: int
    errors: int
    mean_ms: float | None
    p95_ms: float | None
    labels: int
    accuracy: float | None
    macro_f1: float | None
    mae: float | None
    rewards: int
    reward_mean: float | None


@dataclass(frozen=True, slots=True)
class MetricTrend:
    """Whether a metric goes steadily in the direction that is worse (`monitor.anomaly.trend`).

    `slope` is per bucket, between `low` and `high`; None while there are too few buckets.
    """

    metric: str
    verdict: Verdict
    slope: float | None
    low: float | None
    high: float | None
    p_value: float | None
    buckets: int
    message: str


@dataclass(frozen=True, slots=True)
class Oddity:
    """Buckets of a metric that stand out: from the one that starts at `first` to the one that starts at `last`.

    `rules` says why (`monitor.anomaly`). Values there are from `low` to `high`; the metric's median is `usual`.
    """

    metric: str
    first: float
    last: float
    low: float
    high: float
    usual: float
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionHistory:
    """One version. `degradation` is fail when the trend of any metric is; `buckets` without requests are left out.

    `oddities` are facts about single buckets or a few, by metric and time; chance makes some of them.
    """

    version: str
    degradation: Verdict
    trends: tuple[MetricTrend, ...]
    oddities: tuple[Oddity, ...]
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """All versions since a moment, in buckets of `bucket` seconds; `cut` says which part was limited to newest rows."""

    namespace: str
    model: str
    since: float
    bucket: float
    versions: tuple[VersionHistory, ...]
    cut: tuple[str, ...]
