"""The gates' decisions for many simulated streams at once: the rules of `monitor`, over arrays.

Counts are arrays of runs by looks, numbers of trials arrays of looks. A decision is a pair of arrays of runs by looks:
where the value is surely above a bound, and where it is surely below. Tests hold them against `monitor`'s functions.
"""

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

from monitor import means, sequential

Counts: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float64]
Hits: TypeAlias = NDArray[np.bool_]
Decision: TypeAlias = tuple[Hits, Hits]

_HALVINGS: Final = 40
_SMALL: Final = 1.0
"""A deviance that no interval's end has, whatever alpha is below 1/2."""
_difference_interval = lru_cache(maxsize=1_000_000)(sequential.difference_interval)


def proportion(successes: Counts, n: Counts, bound: float, alpha: float) -> Decision:
    """Where the whole of `sequential.proportion_interval` is above `bound`, and where below."""
    return successes >= _least(n, bound, alpha), n - successes >= _least(n, 1 - bound, alpha)


def difference(one: Counts, n: Counts, base: Counts, base_n: Counts, bound: float, alpha: float) -> Decision:
    """Where the whole of `sequential.difference_interval` is above `bound`, and where below."""
    deviances = _deviances(one, n, base, base_n, bound)
    rest = alpha * (1 - sequential.EXACT_SHARE)
    hit = deviances > _limits(n * base_n / (n + base_n), rest, sequential.DIFFERENCE_TUNED_FOR) ** 2
    # Where the exact interval decides, the deviance is this at least: few cells have to be asked for one by one.
    asked = (deviances >= 2 * np.log(2 / (sequential.EXACT_SHARE * alpha))) & ~hit
    for run, look in np.argwhere(asked):
        counts = int(one[run, look]), int(n[look]), int(base[run, look]), int(base_n[look])
        interval = _difference_interval(*counts, alpha)
        hit[run, look] = interval.low > bound or interval.high < bound
    above = one / n - base / base_n > bound
    return hit & above, hit & ~above


def mean_difference(one: Values, base: Values, alpha: float) -> Decision:
    """Where the whole of `means.difference_interval` is above 0, and where below: a value of either stream a look."""
    n, gap, variance, base_variance = moments(one, base)
    limits = _limits(n / 2, alpha, means.TUNED_FOR)  # both streams as long; the variances cancel out of 1 / v
    hit = (n >= means.START) & (np.abs(gap) > limits * np.sqrt((variance + base_variance) / n))
    return hit & (gap > 0), hit & (gap < 0)


def moments(one: Values, base: Values) -> tuple[Counts, Values, Values, Values]:
    """How many values of either stream, the difference of their means, and their variances, at every look."""
    n = np.arange(1, one.shape[1] + 1)
    averages = [np.cumsum(values, axis=1) / n for values in (one, base)]
    spreads = [
        (np.cumsum(values**2, axis=1) / n - average**2) * n / np.maximum(n - 1, 1)
        for values, average in zip((one, base), averages, strict=True)
    ]
    return n, averages[0] - averages[1], np.maximum(spreads[0], 0.0), np.maximum(spreads[1], 0.0)


def quantile(up_to: list[Counts], n: Counts, bounds: list[float], q: float, alpha: float) -> tuple[Values, Values]:
    """Both ends of `quantiles.quantile_interval`, given how many values are at most each of `bounds`."""
    low, high = np.zeros(up_to[0].shape), np.full(up_to[0].shape, np.inf)
    for bound, counts in zip(bounds, up_to, strict=True):
        above, below = proportion(counts, n, q, alpha)
        low[below] = bound
        high[above & np.isinf(high)] = bound
    return low, high


def _least(n: Counts, bound: float, alpha: float) -> Counts:
    """From how many successes of `n` on the likelihood ratio of `sequential` is 1 / alpha, above the bound's share.

    More than `n` stands for never. The ratio rises with every success beyond that share.
    """
    low, high = np.floor(n * bound).astype(np.int64), n + 1
    while (high - low).max() > 1:
        middle = (low + high) // 2
        mixture = betaln(middle + 0.5, n - middle + 0.5) - betaln(0.5, 0.5)
        reached = mixture - xlogy(middle, bound) - xlogy(n - middle, 1 - bound) >= -np.log(alpha)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def _limits(n: Values, alpha: float, tuned_for: float) -> Values:
    return np.array([sequential.mixture_bound(float(one), alpha, tuned_for) for one in n])


def _deviances(one: Counts, n: Counts, base: Counts, base_n: Counts, bound: float) -> Values:
    """Twice the logarithm of the largest likelihood of all over the largest of those with p - p_base = bound.

    What is small enough to decide nothing is left as it is at a guess of p_base, which is above the truth.
    """
    n, base_n = np.broadcast_to(n, one.shape), np.broadcast_to(base_n, base.shape)
    best = _log_likelihood(one, n, one / n) + _log_likelihood(base, base_n, base / base_n)

    def deviances(cells: Hits | slice, q: Values) -> Values:
        mine, stable = one[cells], base[cells]
        tied = _log_likelihood(mine, n[cells], q + bound) + _log_likelihood(stable, base_n[cells], q)
        found: Values = 2 * (best[cells] - tied)
        return found

    low, high = max(0.0, -bound), min(1.0, 1 - bound)
    guess = np.clip((one + base - n * bound) / (n + base_n), low, high)
    found = deviances(slice(None), guess)
    if bound:
        cells = found > _SMALL
        found[cells] = deviances(cells, _tied(one[cells], n[cells], base[cells], base_n[cells], bound))
    return found


def _tied(one: Counts, n: Counts, base: Counts, base_n: Counts, bound: float) -> Values:
    """The most likely p_base if p is `bound` above it: where the score, which falls, is 0."""
    low, high = np.full(one.shape, max(0.0, -bound)), np.full(one.shape, min(1.0, 1 - bound))
    for _ in range(_HALVINGS):
        q = (low + high) / 2
        score = one / (q + bound) - (n - one) / (1 - q - bound) + base / q - (base_n - base) / (1 - q)
        low, high = np.where(score > 0, q, low), np.where(score > 0, high, q)
    return low


def _log_likelihood(successes: Counts, n: Counts, p: Values) -> Values:
    likelihood: Values = xlogy(successes, p) + xlogy(n - successes, 1 - p)
    return likelihood
