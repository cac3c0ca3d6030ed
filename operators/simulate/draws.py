"""Random numbers of requests: exact draws whose cost grows with the logarithm of the number, not with the number.

Python's own `random` has neither distribution before 3.12, and nothing of the command line needs numpy.

Sources: L. Devroye, Non-Uniform Random Variate Generation (1986), X.4.3 (binomial by the median of uniform numbers,
which is beta distributed); J. Ahrens, U. Dieter, Computer methods for sampling from gamma, beta, Poisson and binomial
distributions, Computing 12 (1974) 223-246 (Poisson by the waiting time for the m-th event).
"""

from math import exp
from random import Random
from typing import Final

_FEW: Final = 16
"""So many are drawn one by one."""


def binomial(dice: Random, n: int, p: float) -> int:
    """How many of `n` happen, each with probability `p`."""
    if p <= 0:
        return 0
    if p >= 1:
        return n
    happened = 0
    while n > _FEW:
        middle = (n + 1) // 2
        median = dice.betavariate(middle, n + 1 - middle)
        if median <= p:  # the lower half happens; of the upper half those below p
            happened, n, p = happened + middle, n - middle, (p - median) / (1 - median)
        else:
            n, p = middle - 1, p / median
    return happened + sum(dice.random() < p for _ in range(n))


def poisson(dice: Random, mean: float) -> int:
    """How many happen at random when `mean` are expected."""
    happened = 0
    while mean > _FEW:
        m = int(mean * 7 / 8)
        waited = dice.gammavariate(m, 1.0)
        if waited > mean:  # the m-th comes too late; those before it are uniform until then
            return happened + binomial(dice, m - 1, mean / waited)
        happened, mean = happened + m, mean - waited
    product, limit = dice.random(), exp(-mean)
    while product > limit:
        happened, product = happened + 1, product * dice.random()
    return happened
