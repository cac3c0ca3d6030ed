"""Numbers of a report: a value with its interval, and the comparison of two."""

from dataclasses import dataclass
from math import isfinite

from monitor.sequential import Interval
from monitor.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, the interval that holds it, and the number of values that it rests on.

    `value` is None while it is not known, `low` and `high` where there is no limit.
    """

    value: float | None
    low: float | None
    high: float | None
    samples: int

    @classmethod
    def within(cls, value: float, interval: Interval, samples: int) -> "Figure":
        """A value that may be NaN, in an interval that may be without limits."""
        return cls(finite(value), finite(interval.low), finite(interval.high), samples)


@dataclass(frozen=True, slots=True)
class Planned:
    """A test for one look at a number of samples that was planned before (`monitor.fixed_horizon`).

    Who looks repeatedly and stops at the first clear answer is wrong far more often than it says. `verdict` is fail
    when the candidate is worse, pass when it is better, inconclusive when no difference has been shown. `effect` is
    what `effect_name` says; `samples` are those of stable and of the candidate.
    """

    test: str
    verdict: Verdict
    statistic: float | None
    p_value: float
    difference: Figure
    effect: float | None
    effect_name: str
    samples: tuple[int, int]
    message: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How the candidate differs from stable in one metric.

    `stable`, `candidate` and `sequential`, the difference (candidate - stable), have intervals that hold at every
    moment at once, so they may be watched. `fixed_horizon` has tests for one planned look; none with fewer than two
    values on a side.
    """

    metric: str
    higher_is_better: bool
    stable: Figure
    candidate: Figure
    sequential: Figure
    fixed_horizon: tuple[Planned, ...]


def finite(value: float) -> float | None:
    """The value, None for NaN and infinities, which JSON has not."""
    return value if isfinite(value) else None
