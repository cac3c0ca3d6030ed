"""How long requests take, and the histogram that Envoy would keep of them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log
from statistics import NormalDist
from typing import Final, Protocol

from operators.api import ModelRollout
from operators.experiment import goal_of

_STEPS: Final = (10, 11, 12, 13, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 56, 63, 71, 79, 89)
BOUNDS: Final = (
    *map(float, range(1, 10)),
    *(float(step * 10**decade) for decade in range(4) for step in _STEPS if step * 10**decade < 60_000),
    60_000.0,
)
"""The bounds of Envoy's buckets in milliseconds, as in `router.bootstrap.latency_bounds`, which needs Envoy's API."""
_Z99: Final = NormalDist().inv_cdf(0.99)


class Latency(Protocol):
    """How long a version takes for its answers."""

    def within(self, milliseconds: float) -> float:
        """The share of requests that take less."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The latency of most services: logarithms are normal. Both percentiles are in milliseconds, p99 the larger."""

    p50: float
    p99: float

    def within(self, milliseconds: float) -> float:
        """See `Latency`."""
        if milliseconds <= 0:
            return 0.0
        return NormalDist(log(self.p50), log(self.p99 / self.p50) / _Z99).cdf(log(milliseconds))


@dataclass(frozen=True, slots=True)
class Empirical:
    """Latencies that were seen, in milliseconds, sorted: each request takes one of them."""

    milliseconds: tuple[float, ...]

    def within(self, milliseconds: float) -> float:
        """See `Latency`."""
        return bisect_left(self.milliseconds, milliseconds) / len(self.milliseconds)


def bounds_for(rollouts: Iterable[ModelRollout]) -> tuple[float, ...]:
    """Those of `BOUNDS` that a verdict or a goal of these rollouts can depend on.

    A check asks how many requests were surely and how many possibly slower than its own bound, and so does a goal: only
    the edges of the bucket around it matter. With the other buckets put together, verdicts and their probabilities stay
    what they are. Where a percentile is compared with another, all of them matter.
    """
    rollouts = tuple(rollouts)
    if any(check.quantile and check.versus for rollout in rollouts for check in rollout.spec.analysis.checks):
        return BOUNDS
    found: set[float] = set()
    for asked in (one for rollout in rollouts for one in _asked(rollout)):
        found |= set([bound for bound in BOUNDS if bound <= asked][-1:])
        found |= set([bound for bound in BOUNDS if bound >= asked][:1])
    return tuple(sorted(found))


def _asked(rollout: ModelRollout) -> Iterator[float]:
    """The latencies, in milliseconds, that a rollout asks about."""
    yield from (check.bound for check in rollout.spec.analysis.checks if check.quantile is not None)
    goal = goal_of(rollout.spec.strategy)
    if goal is not None and goal.within is not None:
        yield goal.within * 1000
