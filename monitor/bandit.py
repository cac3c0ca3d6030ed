"""Which variant should get how much traffic? Thompson sampling.

Traffic is given in batches, not by the request: over a batch Thompson sampling sends to a variant the share that is its
probability of being best, so that probability is the weight. W. Thompson, On the likelihood that one unknown
probability exceeds another, Biometrika 25 (1933) 285-294; S. Scott, A modern Bayesian look at the multi-armed bandit,
Appl. Stoch. Models Bus. Ind. 26 (2010) 639-658. Every variant keeps a floor, so that one that was unlucky at first,
or that has become better, is found.

Means of rewards that were collected this way are biased, and mix up variants with times of day, because shares follow
rewards. What a variant is worth takes each reward by 1 / the share with which its variant was chosen, for which
`monitor.tallies.ShareTally` counts them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, Protocol

import numpy as np
from scipy import stats

from monitor.sequential import Interval

TOTAL: Final = 10_000
"""Basis points of all traffic."""

_LEVELS: Final = 2000
"""Quantiles of each posterior that the integral is taken over; its error is below 1e-4."""


class Rewards(Protocol):
    """What is known of a variant's rewards. None as posterior says that it is too little."""

    def posterior(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class BernoulliRewards:
    """Rewards 0 or 1. Posterior of the mean: Beta(1 + successes, 1 + failures), from a uniform prior."""

    successes: int = 0
    failures: int = 0

    def posterior(self) -> Any:
        return stats.beta(1 + self.successes, 1 + self.failures)


@dataclass(frozen=True, slots=True)
class GaussianRewards:
    """Rewards of any size; `m2` is the sum of squared deviations from the mean.

    Posterior of the mean: mean + sqrt(m2 / (n - 1) / n) times Student's t with n - 1 degrees of freedom, from the
    prior 1 / variance, so that no unit must be known: A. Gelman et al., Bayesian Data Analysis (2013) 3.2. There is
    none before 3 rewards.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def posterior(self) -> Any:
        if self.count < 3:
            return None
        # Equal rewards have no spread; the smallest that floats can tell keeps the posterior proper.
        smallest = 1e-12 * max(abs(self.mean), 1e-300)
        return stats.t(self.count - 1, self.mean, max(sqrt(self.m2 / (self.count - 1) / self.count), smallest))


@dataclass(frozen=True, slots=True)
class Standing:
    """One variant: posterior mean, the central interval that holds the mean with probability 1 - alpha, weight."""

    weight: int
    probability_best: float
    mean: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Weights in basis points that sum to exactly 10,000. While a variant has no posterior they are equal."""

    variants: Mapping[str, Standing]
    message: str


def allocate(rewards: Mapping[str, Rewards], floor: int = 500, alpha: float = 0.05) -> Allocation:
    """Weights for the next batch; every variant gets `floor` basis points at least.

    Raises `ValueError` without variants or if the floors do not fit.
    """
    if not rewards or floor < 0 or floor * len(rewards) > TOTAL:
        raise ValueError(f"no weights for {len(rewards)} variants with a floor of {floor} of {TOTAL}")
    posteriors = [one.posterior() for one in rewards.values()]
    if None in posteriors:
        best = [1 / len(posteriors)] * len(posteriors)
        message = "equal weights until every variant has rewards"
    else:
        best = probability_best(posteriors)
        leader = max(range(len(best)), key=best.__getitem__)
        message = f"{[*rewards][leader]} is best with probability {best[leader]:.3g}"
    weights = round_weights([floor + (TOTAL - floor * len(best)) * p for p in best])
    variants = {
        name: Standing(
            weight,
            p,
            None if posterior is None else float(posterior.mean()),
            None if posterior is None else Interval(*map(float, posterior.interval(1 - alpha))),
        )
        for name, weight, p, posterior in zip(rewards, weights, best, posteriors, strict=True)
    }
    return Allocation(variants, message)


def probability_best(posteriors: Sequence[Any]) -> list[float]:
    """For each posterior the probability that its draw is the largest; they sum to 1. Scott (2010), section 3.

    P_i = ∫ Π_{j≠i} F_j dF_i, by the trapezoid rule on the quantiles of all posteriors. No random numbers: the same
    rewards give the same weights. `posteriors` are frozen continuous distributions of scipy.
    """
    levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
    grid = np.unique(np.concatenate([one.ppf(levels) for one in posteriors]))
    # Both tails belong to the integral: no draw is below the first point 0, every draw below the last point 1.
    cumulative = np.array([np.concatenate([[0.0], one.cdf(grid), [1.0]]) for one in posteriors])
    shares = []
    for index in range(len(posteriors)):
        others = np.delete(cumulative, index, axis=0).prod(axis=0)
        shares.append(float(np.sum(np.diff(cumulative[index]) * (others[1:] + others[:-1]) / 2)))
    total = sum(shares)
    return [share / total for share in shares]


def round_weights(exact: Sequence[float]) -> list[int]:
    """Whole numbers with the same sum, each less than 1 away: the largest remainders are rounded up (Hamilton, 1792).

    Ties go to the first. Raises `ValueError` unless the sum is `TOTAL`.
    """
    if abs(sum(exact) - TOTAL) > 1e-6:
        raise ValueError(f"weights must sum to {TOTAL}, not {sum(exact)}")
    weights = [int(one) for one in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: weights[index] - exact[index])
    for index in by_remainder[: TOTAL - sum(weights)]:
        weights[index] += 1
    return weights
