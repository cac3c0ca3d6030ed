"""How two versions differ in one metric: by intervals that may be watched, and by tests for one look. Pure."""

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from monitor.answers.figures import Difference, Figure
from monitor.fixed_horizon import compare_means, compare_proportions, compare_ranks
from monitor.means import difference_interval as means_apart
from monitor.means import mean_interval
from monitor.reports.figures import planned
from monitor.sequential import difference_interval, proportion_interval

Values = NDArray[np.float64]


def proportions(
    metric: str, sides: Sequence[tuple[int, int]], alpha: float, *, higher_is_better: bool
) -> Difference | None:
    """Stable's successes and trials, and the candidate's; None unless both have trials."""
    (s0, n0), (s1, n1) = sides
    if not (n0 and n1):
        return None
    apart = difference_interval(s1, n1, s0, n0, alpha)
    test = compare_proportions((s0, n0), (s1, n1), alpha, higher_is_better=higher_is_better)
    return Difference(
        metric,
        higher_is_better,
        stable=Figure.within(s0 / n0, proportion_interval(s0, n0, alpha), n0),
        candidate=Figure.within(s1 / n1, proportion_interval(s1, n1, alpha), n1),
        sequential=Figure.within(s1 / n1 - s0 / n0, apart, n0 + n1),
        fixed_horizon=(planned(test),),
    )


def means(metric: str, sides: Sequence[Values], alpha: float, *, higher_is_better: bool) -> Difference | None:
    """Stable's finite values, and the candidate's; None unless both have some."""
    stable, candidate = sides
    if not (stable.size and candidate.size):
        return None
    (m0, v0, n0), (m1, v1, n1) = (_moments(values) for values in (stable, candidate))
    tests = (compare_means, compare_ranks) if min(n0, n1) > 1 else ()
    return Difference(
        metric,
        higher_is_better,
        stable=mean(stable, alpha),
        candidate=mean(candidate, alpha),
        sequential=Figure.within(m1 - m0, means_apart(m1, v1, n1, m0, v0, n0, alpha), n0 + n1),
        fixed_horizon=tuple(
            planned(test(stable, candidate, alpha, higher_is_better=higher_is_better)) for test in tests
        ),
    )


def mean(values: Values, alpha: float) -> Figure:
    """The mean, with an interval that may be watched."""
    found, variance, count = _moments(values)
    return Figure.within(found, mean_interval(found, variance, count, alpha), count)


def _moments(values: Values) -> tuple[float, float, int]:
    if not values.size:
        return nan, 0.0, 0
    return float(values.mean()), float(values.var(ddof=1)) if values.size > 1 else 0.0, int(values.size)
