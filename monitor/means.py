"""Confidence sequences for means: intervals that hold at every moment at once, for values without known bounds.

They are asymptotic: like the normal interval they rest on the central limit theorem, now for all moments from
`START` on together, and need nothing but a finite variance. For n values of mean m and variance s^2,

    m ± s sqrt( 2 (n r^2 + 1) / (n^2 r^2) · ln( sqrt(n r^2 + 1) / alpha ) ).

I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, Time-uniform central limit theory and asymptotic confidence
sequences, Ann. Statist. 52 (2024) 2613-2640, theorem 2.2; r is chosen, as they advise, so that the interval is narrow
at `TUNED_FOR` values. How soon the limit is reached depends on the values: at alpha 0.05, looked at up to 3,000 times,
the mean was outside in 4 % of simulated streams of exponential values, in 8 % of log-normal ones, and in 20 % of those
that are 1 once in fifty times and else 0. For proportions use `monitor.sequential`, which is exact.
"""

from math import inf, sqrt
from typing import Final

from monitor.sequential import Interval, mixture_bound

TUNED_FOR: Final = 1000
START: Final = 100
"""Fewer values say nothing: the central limit theorem has not set in."""


def mean_interval(mean: float, variance: float, n: int, alpha: float) -> Interval:
    """The interval for the mean of independent values after `n` of them, valid at every `n` from `START` on.

    `variance` is the unbiased estimate. Before `START` values anything is possible. Values that have all been equal
    give an interval without width: of values that have not occurred yet this method knows nothing. Raises `ValueError`
    unless 0 < alpha < 1.
    """
    _check(alpha)
    if n < START:
        return Interval(-inf, inf)
    radius = sqrt(variance / n) * mixture_bound(n, alpha, TUNED_FOR)
    return Interval(mean - radius, mean + radius)


def difference_interval(  # noqa: PLR0917 - the same three numbers of either stream
    mean: float, variance: float, n: int, base_mean: float, base_variance: float, base_n: int, alpha: float
) -> Interval:
    """The interval for the difference mean - base_mean of two independent streams, valid at every moment of both.

    Each stream needs `START` values; else as `mean_interval`. The estimated difference divided by its variance
    v = variance / n + base_variance / base_n is, in the limit, a Brownian motion at time 1 / v: its increments are
    independent however the streams take turns, also when their shares change. So the formula above holds with sqrt(v)
    for s / sqrt(n) and with an n that is proportional to 1 / v: here the n at which one stream of the mean variance of
    both would be known that well, which is n · base_n / (n + base_n) where the variances are equal. Shares must not
    depend on the values, as those of a bandit do. Raises `ValueError` unless 0 < alpha < 1.
    """
    _check(alpha)
    if min(n, base_n) < START:
        return Interval(-inf, inf)
    difference, squared = mean - base_mean, variance / n + base_variance / base_n
    if squared == 0:
        return Interval(difference, difference)
    radius = sqrt(squared) * mixture_bound((variance + base_variance) / 2 / squared, alpha, TUNED_FOR)
    return Interval(difference - radius, difference + radius)


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
