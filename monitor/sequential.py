"""Confidence sequences for proportions: intervals that hold at every moment at once.

A fixed-sample interval is right once. Who looks after every request and stops when he likes what he sees is wrong far
more often than promised. A confidence sequence is wrong with probability alpha at most over all looks together, so a
rollout may be judged continuously and stopped at any time.

The method is Robbins' mixture with the conjugate Beta prior. Under success probability p the likelihood ratio of a
mixture over all q against p,

    M(p) = [B(s + a, f + b) / B(a, b)] / [p^s (1 - p)^f]        s successes, f failures,

is a non-negative martingale that starts at 1, so by Ville's inequality it ever reaches 1 / alpha with probability
alpha at most. The values of p whose ratio is below 1 / alpha are the interval; it shrinks like sqrt(log(n) / n).

Sources: J. Ville, Étude critique de la notion de collectif (1939); H. Robbins, Statistical methods related to the law
of the iterated logarithm, Ann. Math. Statist. 41 (1970) 1397-1409; S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
Time-uniform, nonparametric, nonasymptotic confidence sequences, Ann. Statist. 49 (2021) 1055-1080, section 3.
The assumption is that requests fail independently of each other with one probability; failures that come in bursts
carry less information than their number says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma, log, log1p
from typing import Final

_PRIOR: Final = 0.5
"""Both parameters of the Beta mixture. One half is within a constant of the best for every p at once (R. Krichevsky,
V. Trofimov, The performance of universal encoding, IEEE Trans. Inf. Theory 27 (1981) 199-207)."""

_PRECISION: Final = 1e-9
"""Relative precision of an interval's ends."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval."""

    low: float
    high: float


def proportion_interval(successes: int, n: int, alpha: float) -> Interval:
    """The interval for a success probability after `n` trials, valid at every `n` at once.

    Over a whole stream of trials the probability that the true value is ever outside is at most `alpha`.
    Raises `ValueError` unless 0 <= successes <= n and 0 < alpha < 1.
    """
    if not 0 <= successes <= n or not 0 < alpha < 1:
        raise ValueError(f"no interval for {successes} of {n} with alpha {alpha}")
    failures = n - successes
    # p belongs to the interval when its log-likelihood is above this.
    threshold = _log_beta(successes + _PRIOR, failures + _PRIOR) - _log_beta(_PRIOR, _PRIOR) + log(alpha)

    def holds(p: float) -> bool:
        if not 0 < p < 1:
            return False  # only asked where there are successes to explain at 0, or failures at 1
        return successes * log(p) + failures * log1p(-p) > threshold

    # The log-likelihood is concave with its maximum at the estimate, which is always inside: one end on either side.
    estimate = successes / n if n else 0.5
    low = _end(inside=estimate, outside=0.0, holds=holds) if successes else 0.0
    high = _end(inside=estimate, outside=1.0, holds=holds) if failures else 1.0
    return Interval(low, high)


def difference_interval(successes: int, n: int, base_successes: int, base_n: int, alpha: float) -> Interval:
    """The interval for p - p_base of two independent streams, valid at every moment of both at once.

    Each stream gets half of `alpha` (Boole's inequality); the difference lies between the extremes.
    """
    one = proportion_interval(successes, n, alpha / 2)
    base = proportion_interval(base_successes, base_n, alpha / 2)
    return Interval(one.low - base.high, one.high - base.low)


def _end(inside: float, outside: float, holds: Callable[[float], bool]) -> float:
    """Bisect between a point of the set and a point beyond its end; the side beyond is returned, which is safe."""
    while True:
        middle = (inside + outside) / 2
        if middle in (inside, outside) or abs(outside - inside) < _PRECISION * max(inside, outside):
            return outside
        if holds(middle):
            inside = middle
        else:
            outside = middle


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
