"""Confidence sequences for proportions: intervals that hold at every moment at once.

A fixed-sample interval is right once. Who looks after every request and stops when he likes what he sees is wrong far
more often than promised. A confidence sequence is wrong with probability alpha at most over all looks together, so a
rollout may be judged continuously and stopped at any time.

One proportion, exact: Robbins' mixture with the conjugate Beta prior. Under success probability p the likelihood ratio
of a mixture over all q against p,

    M(p) = [B(s + a, f + b) / B(a, b)] / [p^s (1 - p)^f]        s successes, f failures,

is a non-negative martingale that starts at 1, so by Ville's inequality it ever reaches 1 / alpha with probability
alpha at most. The values of p whose ratio is below 1 / alpha are the interval; it shrinks like sqrt(log(n) / n).

The difference of two, asymptotic: let D(d) be the deviance of d, twice the logarithm of the largest likelihood of all
over the largest of those with p - p_base = d. In the limit its signed root is a Brownian motion W(t) over sqrt(t), t
being the information about the difference, however the streams take turns, also when their shares change. Robbins'
mixture over normal drifts bounds that at all times together. The interval has the d with

    D(d) < 2 (1 + v) / v · ln( sqrt(1 + v) / alpha ),        v = r^2 · n · n_base / (n + n_base).

An exact one lies between the extremes of the two intervals of p and p_base at alpha / 2 (Boole's inequality), but needs
three to four times the samples, as both streams have to be unusual at once for it to miss. It is used for what it is
good at, few trials, with a small part of alpha. How good the approximation is, from the first request on and also near
0 and 1 and with very different n, is measured in docs/statistics-evidence.md.

Sources: J. Ville, Étude critique de la notion de collectif (1939); H. Robbins, Statistical methods related to the law
of the iterated logarithm, Ann. Math. Statist. 41 (1970) 1397-1409; S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
Time-uniform, nonparametric, nonasymptotic confidence sequences, Ann. Statist. 49 (2021) 1055-1080, section 3. The
deviance of a difference: O. Miettinen, M. Nurminen, Comparative analysis of two rates, Stat. Med. 4 (1985) 213-226. Its
boundary: I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, Time-uniform central limit theory and asymptotic
confidence sequences, Ann. Statist. 52 (2024) 2613-2640, theorem 2.2.
The assumption is that requests fail independently of each other with one probability; failures that come in bursts
carry less information than their number says. A stream's share must not depend on outcomes, as a bandit's does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, log1p, sqrt
from typing import Final

_PRIOR: Final = 0.5
"""Both parameters of the Beta mixture. One half is within a constant of the best for every p at once (R. Krichevsky,
V. Trofimov, The performance of universal encoding, IEEE Trans. Inf. Theory 27 (1981) 199-207)."""

_PRECISION: Final = 1e-9
"""Relative precision of an interval's ends."""

DIFFERENCE_TUNED_FOR: Final = 500
"""The n · n_base / (n + n_base) at which the interval for a difference is as narrow as it can be."""

EXACT_SHARE: Final = 0.1
"""The share of alpha that a difference's exact interval gets; it costs the asymptotic one 2 % more samples."""

_STEEPEST: Final = 300.0
"""The logarithm of the steepest slope of a deviance that is looked at; there every proportion is 0 or 1."""


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

    `EXACT_SHARE` of alpha is for the exact interval, which is the narrower one while either stream has few trials, and
    the rest for the asymptotic one: the difference is where they overlap. Raises `ValueError` unless the counts can be
    and 0 < alpha < 1.
    """
    one = proportion_interval(successes, n, alpha * EXACT_SHARE / 2)
    base = proportion_interval(base_successes, base_n, alpha * EXACT_SHARE / 2)
    low, high = one.low - base.high, one.high - base.low
    if not n or not base_n:
        return Interval(low, high)
    limit = mixture_bound(n * base_n / (n + base_n), alpha * (1 - EXACT_SHARE), DIFFERENCE_TUNED_FOR) ** 2
    one_stream, base_stream = (successes, n), (base_successes, base_n)
    return Interval(
        max(low, -_largest_difference(base_stream, one_stream, limit)),
        min(high, _largest_difference(one_stream, base_stream, limit)),
    )


def mixture_bound(n: float, alpha: float, tuned_for: float) -> float:
    """How many standard errors a mean may be from the truth after `n` values, at every `n` at once.

    Robbins' normal mixture with the drift's variance r^2 that makes the bound narrowest near `tuned_for` values (I.
    Waudby-Smith and others 2024, appendix B.2).
    """
    v = n * (log(1 - 2 * log(alpha)) - 2 * log(alpha)) / tuned_for
    return sqrt(2 * (1 + v) / v * log(sqrt(1 + v) / alpha))


def _largest_difference(one: tuple[int, int], other: tuple[int, int], limit: float) -> float:
    """The largest p - q whose deviance is `limit` at most, for the (successes, trials) of one stream and another.

    Both deviances are convex, so the largest difference at a given cost is where another step costs as much in either
    stream. That price of a step rises together with the cost.
    """

    def at(price: float) -> tuple[float, float]:
        p, cost = _raised(*one, price)
        failing, base_cost = _raised(other[1] - other[0], other[1], price)  # to lower q is to raise 1 - q
        return p + failing - 1, cost + base_cost

    low, high = -_STEEPEST, _STEEPEST  # logarithms of the price
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if at(exp(middle))[1] <= limit:
            low = middle
        else:
            high = middle
    return at(exp(high))[0]


def _raised(successes: int, n: int, price: float) -> tuple[float, float]:
    """How far a proportion can be raised until the deviance rises with slope `price`, and the deviance there.

    That is where 2 n (p - estimate) = price · p (1 - p).
    """
    failing, slope = (n - successes) / n, price / (2 * n)
    rest = 2 * failing / (1 + slope + sqrt((1 - slope) ** 2 + 4 * slope * (1 - failing)))  # 1 - p
    cost = 2 * (n - successes) * log(failing / rest) if failing else 0.0
    return 1 - rest, cost - 2 * successes * log((1 - rest) / (1 - failing)) if successes else cost


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
