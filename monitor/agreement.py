"""Do two versions say the same? Pairs of answers to one request: the stable version's, and the candidate's.

A tally of parts is the tally of the whole in any order, and so are the examples that it keeps: those disagreements
whose request ids have the lowest hashes, a uniform sample of all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isclose, isfinite, nan, sqrt
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import norm

from monitor.distances import histogram, jensen_shannon, kolmogorov_smirnov, psi, quantile_edges
from monitor.means import mean_interval
from monitor.performance import Estimate
from monitor.profiles import NumericColumn, category, hash_of, mix, number
from monitor.sequential import Interval, proportion_interval

EXAMPLES: Final = 20
"""Disagreements kept for a person to read."""


class Pair(NamedTuple):
    """Both answers to the request with this id."""

    request_id: str
    stable: object
    candidate: object


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Numbers agree when they differ by at most `absolute`, or by `relative` times the larger one."""

    absolute: float = 0.0
    relative: float = 1e-6


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """`share` with its confidence sequence; kappa with a normal interval for one look (NaN where it is undefined).

    `confusion` counts pairs by (stable, candidate).
    """

    share: Estimate
    kappa: Estimate
    confusion: Mapping[tuple[str, str], int]
    examples: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class NumberAgreement:
    """`share` of pairs within the tolerance and the mean `difference` (candidate - stable), with confidence sequences.

    The distances compare the two versions' distributions of answers; NaN without pairs.
    """

    share: Estimate
    difference: Estimate
    kolmogorov_smirnov: float
    psi: float
    jensen_shannon: float
    examples: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class ClassTally:
    """Counts of pairs by (stable, candidate), named as `profiles.category` does; missing answers are a class too."""

    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)
    examples: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "ClassTally":
        named = [Pair(one.request_id, *(category(answer) or "" for answer in one[1:])) for one in pairs]
        counts = Counter((str(one.stable), str(one.candidate)) for one in named)
        return cls(dict(counts), _examples(one for one in named if one.stable != one.candidate))

    def merge(self, other: "ClassTally") -> "ClassTally":
        counts = Counter(self.confusion) + Counter(other.confusion)
        return ClassTally(dict(counts), _examples((*self.examples, *other.examples)))

    def report(self, alpha: float = 0.05) -> ClassAgreement:
        n = sum(self.confusion.values())
        same = sum(count for (stable, candidate), count in self.confusion.items() if stable == candidate)
        share = Estimate(same / n if n else nan, proportion_interval(same, n, alpha), n)
        return ClassAgreement(share, self._kappa(alpha), dict(sorted(self.confusion.items())), self.examples)

    def _kappa(self, alpha: float) -> Estimate:
        """(p_o - p_e) / (1 - p_e): agreement beyond what two versions with these class shares have by chance.

        J. Cohen, A coefficient of agreement for nominal scales, Educ. Psychol. Meas. 20 (1960) 37-46; standard error:
        J. Fleiss, J. Cohen, B. Everitt, Large sample standard errors of kappa, Psychol. Bull. 72 (1969) 323-327.
        """
        names = sorted({name for pair in self.confusion for name in pair})
        n = sum(self.confusion.values())
        if len(names) < 2:  # by chance alone they would agree always
            return Estimate(nan, Interval(-1.0, 1.0), n)
        shares = np.array([[self.confusion.get((row, col), 0) for col in names] for row in names]) / n
        rows, columns = shares.sum(axis=1), shares.sum(axis=0)
        observed, expected = float(np.trace(shares)), float(rows @ columns)
        kappa = (observed - expected) / (1 - expected)
        marginal = rows[None, :] + columns[:, None]  # of cell (i, j): share of j by stable, of i by candidate
        on = float((np.diag(shares) * (1 - np.diag(marginal) * (1 - kappa)) ** 2).sum())
        off = (1 - kappa) ** 2 * float(((shares - np.diag(np.diag(shares))) * marginal**2).sum())
        variance = (on + off - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
        radius = float(norm.isf(alpha / 2)) * sqrt(max(variance, 0.0))
        return Estimate(kappa, Interval(max(kappa - radius, -1.0), min(kappa + radius, 1.0)), n)


@dataclass(frozen=True, slots=True)
class NumberTally:
    """Pairs of numbers; a pair with an answer that is no finite number disagrees and counts nowhere else.

    Both columns are sampled by request id, so that they hold the same requests.
    """

    tolerance: Tolerance = Tolerance()
    pairs: int = 0
    agreeing: int = 0
    stable: NumericColumn = field(default_factory=NumericColumn)
    candidate: NumericColumn = field(default_factory=NumericColumn)
    difference: NumericColumn = field(default_factory=NumericColumn)
    examples: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[Pair], tolerance: Tolerance | None = None) -> "NumberTally":
        tolerance = tolerance or Tolerance()
        given = list(pairs)
        apart = [one for one in given if not _close(one, tolerance)]
        valid = [one for one in given if isfinite(number(one.stable)) and isfinite(number(one.candidate))]
        priorities = mix(np.array([hash_of(one.request_id) for one in valid], dtype=np.uint64)) >> np.uint64(11)
        stable = np.array([number(one.stable) for one in valid], dtype=np.float64)
        candidate = np.array([number(one.candidate) for one in valid], dtype=np.float64)
        return cls(
            tolerance,
            pairs=len(given),
            agreeing=len(given) - len(apart),
            stable=NumericColumn.of(stable, priorities),
            candidate=NumericColumn.of(candidate, priorities),
            difference=NumericColumn.of(candidate - stable, priorities),
            examples=_examples(apart),
        )

    def merge(self, other: "NumberTally") -> "NumberTally":
        """Raises `ValueError` if they used different tolerances."""
        if self.tolerance != other.tolerance:
            raise ValueError(f"tallies with {self.tolerance} and {other.tolerance} cannot be merged")
        return NumberTally(
            self.tolerance,
            pairs=self.pairs + other.pairs,
            agreeing=self.agreeing + other.agreeing,
            stable=self.stable.merge(other.stable),
            candidate=self.candidate.merge(other.candidate),
            difference=self.difference.merge(other.difference),
            examples=_examples((*self.examples, *other.examples)),
        )

    def report(self, alpha: float = 0.05) -> NumberAgreement:
        n, apart = self.pairs, self.difference
        share = Estimate(self.agreeing / n if n else nan, proportion_interval(self.agreeing, n, alpha), n)
        moved = mean_interval(apart.mean, apart.variance or 0.0, apart.count, alpha)
        difference = Estimate(apart.mean if apart.count else nan, moved, apart.count)
        if not apart.count:
            return NumberAgreement(share, difference, nan, nan, nan, self.examples)
        edges = quantile_edges(self.stable.sample, 10)
        counts = histogram(self.stable.sample, edges), histogram(self.candidate.sample, edges)
        return NumberAgreement(
            share=share,
            difference=difference,
            kolmogorov_smirnov=kolmogorov_smirnov(self.stable.sample, self.candidate.sample).statistic,
            psi=psi(*counts),
            jensen_shannon=jensen_shannon(*counts),
            examples=self.examples,
        )


def _examples(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted(pairs, key=lambda one: (hash_of(one.request_id), one.request_id))[:EXAMPLES])


def _close(pair: Pair, tolerance: Tolerance) -> bool:
    one, two = number(pair.stable), number(pair.candidate)
    close = isclose(one, two, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)
    return close and isfinite(one)
