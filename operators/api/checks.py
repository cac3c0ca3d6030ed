"""Checks as a person writes them down, and the table of what they can be about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from monitor.evidence import DEFAULT_TOLERANCE
from operators.api.block import DNS_LABEL, Block
from operators.api.fields import Duration, parse_duration

MetricName = Literal[
    "error-rate",
    "latency-p50",
    "latency-p95",
    "latency-p99",
    "shadow-agreement",
    "feedback-accuracy",
    "feedback-reward",
    "feedback-error",
    "feature-drift",
    "prediction-drift",
]
POINTER: Final = r"^(/([^~/]|~[01])*)*$"
"""A JSON pointer (RFC 6901); the empty one is the whole document."""
PLACEHOLDERS: Final = ("version", "stable", "model", "namespace")
"""What `{{...}}` in a query or an address may name: the candidate's id, the stable version's, the rollout's names."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric's checks may say.

    `bound`: whether less is good (`max`) or more (`min`). `unit`: a share of 0 to 1, a duration, or any number.
    `versus`: whether the stable version can be the measure. `needs` is what must reach the candidate before there is
    anything to judge: requests of users (`live`), copies of them (`copies`), or either. `source` is who knows it.
    """

    bound: Literal["min", "max"]
    unit: Literal["share", "duration", "number"]
    versus: bool
    needs: Literal["live", "copies", "either"]
    source: Literal["router", "monitor"]


_LATENCY: Final = Metric("max", "duration", True, "either", "router")
_DRIFT: Final = Metric("max", "number", False, "either", "monitor")
METRICS: Final[Mapping[MetricName, Metric]] = {
    "error-rate": Metric("max", "share", True, "either", "router"),
    "latency-p50": _LATENCY,
    "latency-p95": _LATENCY,
    "latency-p99": _LATENCY,
    "shadow-agreement": Metric("min", "share", False, "copies", "monitor"),
    "feedback-accuracy": Metric("min", "share", True, "live", "monitor"),
    "feedback-reward": Metric("min", "number", True, "live", "monitor"),
    "feedback-error": Metric("max", "number", True, "live", "monitor"),
    "feature-drift": _DRIFT,
    "prediction-drift": _DRIFT,
}
PREDICTIONS: Final = frozenset(name for name, metric in METRICS.items() if metric.source == "monitor")
"""Metrics that only the monitor knows."""


class PrometheusQuery(Block):
    """A number that Prometheus knows."""

    query: str = Field(
        min_length=1,
        max_length=4096,
        description="PromQL for one number. {{version}}, {{stable}}, {{model}} and {{namespace}} are filled in.",
    )


class WebQuery(Block):
    """A number in a JSON document that is served over HTTP."""

    url: str = Field(
        pattern="^https?://.+",
        max_length=2048,
        description="The document's address. {{version}}, {{stable}}, {{model}} and {{namespace}} are filled in.",
    )
    value: str = Field(
        pattern=POINTER, max_length=1024, description="Where the number stands: a JSON pointer such as /data/score."
    )


class Check(Block):
    """A bound that the candidate must keep. It is about one thing: a metric, a query to Prometheus, a web address."""

    name: str = Field(pattern=DNS_LABEL, description="The check's name, once per rollout.")
    metric: MetricName | None = Field(
        default=None,
        description="error-rate: the share of answers of 500 and above. latency-pNN: the NNth percentile. "
        "shadow-agreement: the share of copies answered like the request. feedback-...: what labels and rewards say. "
        "...-drift: the population stability index against the reference.",
    )
    prometheus: PrometheusQuery | None = Field(default=None, description="Instead of a metric: a query.")
    web: WebQuery | None = Field(default=None, description="Instead of a metric: a number in a JSON document.")
    min: float | None = Field(default=None, description="The least that is good, where more is better.")
    max: float | str | None = Field(
        default=None,
        description="The most that is good: a share such as 0.01, a number, for a latency a duration such as 50ms.",
    )
    versus: Literal["stable"] | None = Field(
        default=None, description="Compare with the stable version instead of a fixed bound."
    )
    margin: float | str | None = Field(
        default=None,
        description="How much worse than stable is still good: a share such as 0.005, a number, or a duration.",
    )
    tolerance: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="shadow-agreement only: numbers agree when they differ by this share of the larger one at most; "
        "0.000001 if unset.",
    )
    confidence: float = Field(
        default=0.95, ge=0.5, le=0.9999, description="The probability with which the interval holds the true value."
    )
    min_samples: int = Field(default=0, ge=0, description="Without this many samples the check does not pass.")
    dry_run: bool = Field(default=False, description="Whether the check is only shown: then it decides nothing.")
    failure_limit: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="prometheus and web only: so many readings in a row may be out of bounds.",
    )

    @property
    def measured(self) -> bool:
        """Whether somebody outside is asked: Prometheus, or a web address."""
        return self.metric is None

    @property
    def predicted(self) -> bool:
        """Whether it is about what the versions answer, which the monitor knows."""
        return self.metric in PREDICTIONS

    @property
    def subject(self) -> str:
        """What it is about, in a word."""
        return self.metric or ("prometheus" if self.prometheus is not None else "web")

    @property
    def bound(self) -> float:
        """What a metric is held against: its bound or, versus stable, the margin. Latencies in milliseconds."""
        for written in (self.margin if self.versus is not None else None, self.max, self.min):
            if written is not None:
                return parse_duration(written) * 1000 if isinstance(written, str) else written
        return 0.0

    @property
    def quantile(self) -> float | None:
        """The quantile of a latency metric (0.99 for latency-p99), None for the others."""
        latency = self.metric is not None and METRICS[self.metric].unit == "duration"
        return int(self.subject[-2:]) / 100 if latency else None

    @property
    def allowed_difference(self) -> float:
        """How far apart two numbers may be and still agree, as a share of the larger one."""
        return DEFAULT_TOLERANCE if self.tolerance is None else self.tolerance

    def judged(self, live: bool, copies: bool) -> bool:
        """Whether it can be judged while users' requests reach the candidate, or copies of them."""
        needs = "either" if self.metric is None else METRICS[self.metric].needs
        return {"live": live, "copies": copies, "either": live or copies}[needs]


class Analysis(Block):
    """What is watched in every step. A failed check aborts."""

    interval: Duration = Field(default=15.0, gt=0, description="How often the checks are evaluated.")
    on_inconclusive: Literal["hold", "abort", "pause"] = Field(
        default="hold",
        description="When a step's time is over and a check is inconclusive: wait for more evidence (hold), abort, "
        "or wait for promote (pause).",
    )
    checks: tuple[Check, ...] = Field(default=(), max_length=50, description="The checks.")

    @property
    def deciding(self) -> tuple[Check, ...]:
        """The checks that are no dry run."""
        return tuple(check for check in self.checks if not check.dry_run)
