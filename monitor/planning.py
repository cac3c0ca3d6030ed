"""How many samples a watched comparison of two proportions will take to decide. `fixed_horizon` plans single looks.

What is watched is close to a Brownian motion with drift m at the time t = n · n_base / (n + n_base); it is decided when
that leaves the bound c(t) = sqrt(t) · `mixture_bound`(t). The bound is concave, so it is never above its tangent at t:
whoever has crossed the tangent has crossed the bound. The probability that a line a + s t has been crossed by t is

    Φ( (m - s) sqrt(t) - a / sqrt(t) ) + exp( 2 a (m - s) ) Φ( -(m - s) sqrt(t) - a / sqrt(t) )

(Bachelier and Lévy's formula; D. Siegmund, Sequential Analysis (1985), ch. III). In simulated comparisons the share
that was decided by then was within five points of `power`.
"""

from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from statistics import NormalDist
from typing import Final

from monitor.sequential import DIFFERENCE_TUNED_FOR, EXACT_SHARE, mixture_bound

_MOST: Final = 1e15
"""More effective samples than anybody has."""


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """After so many samples of each the difference is found with probability `power`; half of the time much sooner."""

    base_samples: int
    variant_samples: int
    alpha: float
    power: float


def plan_watch(base: float, variant: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> WatchPlan:
    """Samples until `sequential.difference_interval` excludes 0; `ratio` is variant samples per base sample.

    Raises `ValueError` unless the two differ and lie between 0 and 1, and for a ratio, alpha or power that cannot be.
    """
    possible = base != variant and all(0 <= p <= 1 for p in (base, variant))
    if not possible or ratio <= 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(f"no plan to tell {base} from {variant} with alpha {alpha}, power {power} and ratio {ratio}")
    # What an effective sample adds to the deviance of no difference, on average.
    pooled = (ratio * variant + base) / (1 + ratio)
    drift = sqrt(2 * (1 + ratio) * (_divergence(variant, pooled) + _divergence(base, pooled) / ratio))
    low, high = 1.0, _MOST
    while high - low > 1e-6 * high:
        middle = sqrt(low * high)
        if _crossed(middle, drift, alpha * (1 - EXACT_SHARE)) < power:
            low = middle
        else:
            high = middle
    return WatchPlan(ceil(high * (1 + ratio) / ratio), ceil(high * (1 + ratio)), alpha, power)


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of a Bernoulli distribution from another."""
    return sum(one * log(one / other) for one, other in ((p, q), (1 - p, 1 - q)) if one)


def _crossed(t: float, drift: float, alpha: float) -> float:
    """The probability that the tangent at `t` has been crossed by then."""

    def bound(at: float) -> float:
        return sqrt(at) * mixture_bound(at, alpha, DIFFERENCE_TUNED_FOR)

    step = 1e-4 * t
    slope = (bound(t + step) - bound(t - step)) / (2 * step)
    start, net = bound(t) - slope * t, drift - slope
    normal = NormalDist()
    straight = normal.cdf(net * sqrt(t) - start / sqrt(t))
    back = normal.cdf(-net * sqrt(t) - start / sqrt(t))
    return straight + exp(2 * start * net) * back if back else straight
