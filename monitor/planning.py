"""How many samples a watched comparison will take to decide. `fixed_horizon` plans single looks.

What is watched is close to a Brownian motion with drift m at a time t that grows with the samples; it is decided when
that leaves the bound c(t) = sqrt(t) · b(t), where b(t) is how many standard errors the interval is wide. The bound is
concave, so it is never above its tangent at t: whoever has crossed the tangent has crossed the bound. The probability
that a line a + s t has been crossed by t is

    Φ( (m - s) sqrt(t) - a / sqrt(t) ) + exp( 2 a (m - s) ) Φ( -(m - s) sqrt(t) - a / sqrt(t) )

(Bachelier and Lévy's formula; D. Siegmund, Sequential Analysis (1985), ch. III). In simulated comparisons the share
that was decided by then was within five points of `power`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, log, pi, sqrt
from statistics import NormalDist
from typing import Final

from monitor import means
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


def plan_proportions(
    base: float, variant: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> WatchPlan:
    """Samples until `sequential.difference_interval` excludes 0; `ratio` is variant samples per base sample.

    Raises `ValueError` unless the two differ and lie between 0 and 1, and for a ratio, alpha or power that cannot be.
    """
    possible = base != variant and all(0 <= p <= 1 for p in (base, variant))
    if not possible or ratio <= 0 or not _sensible(alpha, power):
        raise ValueError(f"no plan to tell {base} from {variant} with alpha {alpha}, power {power} and ratio {ratio}")
    # What an effective sample adds to the deviance of no difference, on average.
    pooled = (ratio * variant + base) / (1 + ratio)
    drift = sqrt(2 * (1 + ratio) * (_divergence(variant, pooled) + _divergence(base, pooled) / ratio))
    limit = alpha * (1 - EXACT_SHARE)

    def errors(t: float) -> float:
        return mixture_bound(t, limit, DIFFERENCE_TUNED_FOR)

    return _of_each(_first(lambda t: _crossed(t, drift, errors) >= power), alpha, power, ratio)


def plan_means(
    difference: float, deviation: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> WatchPlan:
    """Samples until `means.difference_interval` excludes 0, for two means with this standard deviation.

    Never fewer than it needs to say anything. Raises `ValueError` for no difference or no deviation, and for a ratio,
    alpha or power that cannot be.
    """
    if difference == 0 or deviation <= 0 or ratio <= 0 or not _sensible(alpha, power):
        raise ValueError(
            f"no plan to find a difference of {difference} at a deviation of {deviation} with alpha {alpha}, power "
            f"{power} and ratio {ratio}"
        )
    drift = abs(difference) / deviation

    def errors(t: float) -> float:
        return mixture_bound(t, alpha, means.TUNED_FOR)

    plan = _of_each(_first(lambda t: _crossed(t, drift, errors) >= power), alpha, power, ratio)
    return WatchPlan(max(plan.base_samples, means.START), max(plan.variant_samples, means.START), alpha, power)


def plan_share(bound: float, share: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Trials until `sequential.proportion_interval` excludes `bound`, when the success probability is `share`.

    The logarithm of its mixture is below the largest log-likelihood by about ln(pi n / 2) / 2 (Krichevsky, Trofimov
    1981). Raises `ValueError` unless the two differ, `bound` lies within 0 and 1 and `share` does or is one of them,
    and for an alpha or power that cannot be.
    """
    if bound == share or not 0 < bound < 1 or not 0 <= share <= 1 or not _sensible(alpha, power):
        raise ValueError(f"no plan to tell {share} from {bound} with alpha {alpha} and power {power}")
    drift = sqrt(2 * _divergence(share, bound))

    def errors(t: float) -> float:
        return sqrt(2 * log(1 / alpha) + log(pi * t / 2))

    if share in {0, 1}:  # nothing is left to chance, and the mixture is a little further below at the edge
        return ceil(_first(lambda t: drift * drift * t >= 2 * log(1 / alpha) + log(pi * t)))
    return ceil(_first(lambda t: _crossed(t, drift, errors) >= power))


def _sensible(alpha: float, power: float) -> bool:
    return 0 < alpha < 1 and 0 < power < 1


def _of_each(effective: float, alpha: float, power: float, ratio: float) -> WatchPlan:
    """The samples whose n · n_base / (n + n_base) is that."""
    return WatchPlan(ceil(effective * (1 + ratio) / ratio), ceil(effective * (1 + ratio)), alpha, power)


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of a Bernoulli distribution from another."""
    return sum(one * log(one / other) for one, other in ((p, q), (1 - p, 1 - q)) if one)


def _first(reached: Callable[[float], bool]) -> float:
    """The time from which on something is reached."""
    low, high = 1.0, _MOST
    while high - low > 1e-6 * high:
        middle = sqrt(low * high)
        if reached(middle):
            high = middle
        else:
            low = middle
    return high


def _crossed(t: float, drift: float, errors: Callable[[float], float]) -> float:
    """The probability that the tangent at `t` has been crossed by then."""

    def bound(at: float) -> float:
        return sqrt(at) * errors(at)

    step = 1e-4 * t
    slope = (bound(t + step) - bound(t - step)) / (2 * step)
    start, net = bound(t) - slope * t, drift - slope
    normal = NormalDist()
    straight = normal.cdf(net * sqrt(t) - start / sqrt(t))
    back = normal.cdf(-net * sqrt(t) - start / sqrt(t))
    return straight + exp(2 * start * net) * back if back else straight
