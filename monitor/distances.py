"""How far apart two distributions are: test statistics and distances of counts and samples. Pure.

Every function takes the reference first. Counts belong to the same cells in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial import distance

from monitor.profiles import hash_of

_EXPECTED: Final = 5.0
"""A chi-square approximation wants at least this many expected records in every cell. W. Cochran, Some methods for
strengthening the common chi-square tests, Biometrics 10 (1954) 417-451."""

_SMOOTHING: Final = 0.5
"""Records added to every cell before logarithms are taken, so that an empty one costs much, and not everything. The
Jeffreys prior of cell probabilities: H. Jeffreys, Proc. R. Soc. A 186 (1946) 453-461."""


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """A two-sample test. `effect` does not grow with the number of records: D, or Cramér's V."""

    name: str
    statistic: float
    p_value: float
    effect: float


def quantile_edges(reference: ArrayLike, bins: int) -> NDArray[np.float64]:
    """Inner edges of bins that hold about equally many reference values; the outer bins are open.

    An edge belongs to the bin on its left. A value that many records share gets a bin of its own, so that the bins of
    a constant are below, at and above it.
    """
    values = np.asarray(reference, dtype=np.float64)
    levels = np.quantile(values, np.arange(bins + 1) / bins, method="inverted_cdf")
    distinct, times = np.unique(levels, return_counts=True)
    shared = distinct[times > 1]
    edges: NDArray[np.float64] = np.unique(np.concatenate([levels[1:-1], shared, np.nextafter(shared, -np.inf)]))
    return edges


def histogram(values: ArrayLike, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values fall into each of the len(edges) + 1 bins."""
    cells = np.searchsorted(edges, np.asarray(values, dtype=np.float64), side="left")
    counts: NDArray[np.int64] = np.bincount(cells, minlength=len(edges) + 1)
    return counts


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """The population stability index of two histograms: the sum over cells of (q - p) ln(q / p).

    p and q are smoothed shares (n_i + 1/2) / (n + B/2) of reference and current; cells that are empty on both sides do
    not count. It is Jeffreys' divergence, symmetric
    and without an upper limit. Below 0.1 is commonly read as no change, above 0.2 or 0.25 as a large one: N. Siddiqi,
    Credit Risk Scorecards (2006). Without any change it is about (1/n + 1/m) times a chi-square with B - 1 degrees of
    freedom: B. Yurdakul, J. Naranjo, Statistical properties of the population stability index, J. Risk Model
    Validation 14 (2020) 89-100; so small samples give large values, and a threshold alone is no test.
    """
    counts = np.array([reference, current], dtype=np.float64)
    raised = counts[:, counts.any(axis=0)] + _SMOOTHING
    p, q = raised / raised.sum(axis=1, keepdims=True)
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """The Jensen-Shannon distance of two histograms, between 0 and 1: the root of the divergence with base 2.

    J. Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991) 145-151; a metric: D.
    Endres, J. Schindelin, IEEE Trans. Inf. Theory 49 (2003) 1858-1860.
    """
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    # Rounding may leave the distance of equal histograms undefined.
    return 0.0 if np.allclose(p * q.sum(), q * p.sum()) else float(distance.jensenshannon(p, q, base=2))


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> TwoSampleTest:
    """The two-sample test: the largest distance D between the empirical distribution functions.

    N. Smirnov, Table for estimating the goodness of fit of empirical distributions, Ann. Math. Statist. 19 (1948)
    279-281; asymptotic p-value. Values that repeat make it cautious, never too bold.
    """
    single = np.size(reference) == np.size(current) == 1  # has no asymptotic p-value
    result = stats.ks_2samp(reference, current, method="exact" if single else "asymp")
    return TwoSampleTest("Kolmogorov-Smirnov", float(result.statistic), float(result.pvalue), float(result.statistic))


def pooled(reference: Mapping[str, int], current: Mapping[str, int]) -> NDArray[np.int64]:
    """Counts of both (two rows) by category, the rarest of them pooled until every cell expects enough records.

    Two cells remain at least, if there were two. Which categories are pooled depends on the counts of both sides
    together, so that a test does not see what was chosen. Of those that are equally rare the hashes decide: names in
    the order of time, as ids have them, would gather the new ones in cells of their own. Raises `ValueError` if a side
    has no records.
    """
    if not sum(reference.values()) or not sum(current.values()):
        raise ValueError("both sides need records")
    names = sorted(reference.keys() | current.keys(), key=lambda name: (hash_of(name), name))
    table = np.array([[side.get(name, 0) for name in names] for side in (reference, current)], dtype=np.int64)
    table = table[:, table.any(axis=0)]
    smaller_share = table.sum(axis=1).min() / table.sum()
    while True:
        table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
        if table.shape[1] <= 2 or table[:, -1].sum() * smaller_share >= _EXPECTED:
            return table
        table[:, -2] += table[:, -1]
        table = table[:, :-1]


def chi_square(reference: Mapping[str, int], current: Mapping[str, int]) -> TwoSampleTest:
    """Pearson's test of homogeneity of two sets of category counts, with Cramér's V = sqrt(chi2 / N) as effect.

    Categories with fewer than 5 expected records on a side are pooled; if that leaves two cells, Fisher's exact test
    takes over, which needs no such minimum. A category that only one side has counts like any other. K. Pearson,
    Philos. Mag. 50 (1900) 157-175; H. Cramér, Mathematical Methods of Statistics (1946) 282; R. Fisher, J. R. Stat.
    Soc. 85 (1922) 87-94. Raises `ValueError` if a side has no records.
    """
    table = pooled(reference, current)
    if table.shape[1] < 2:
        return TwoSampleTest("chi-square", 0.0, 1.0, 0.0)
    statistic, p_value, _, expected = stats.chi2_contingency(table, correction=False)
    effect = sqrt(float(statistic) / float(table.sum()))
    if table.shape[1] == 2 and float(np.min(expected)) < _EXPECTED:
        return TwoSampleTest("Fisher", float(statistic), float(stats.fisher_exact(table).pvalue), effect)
    return TwoSampleTest("chi-square", float(statistic), float(p_value), effect)


def adjusted(p_values: Sequence[float], dependent: bool) -> list[float]:
    """P-values of a family of tests, adjusted so that rejecting those up to alpha has a false discovery rate of alpha.

    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57 (1995) 289-300, which holds
    for independent and positively dependent tests. `dependent` chooses Y. Benjamini, D. Yekutieli, Ann. Statist. 29
    (2001) 1165-1188, which holds whatever the dependence and costs a factor of about ln(number of tests).
    """
    return [float(p) for p in stats.false_discovery_control(p_values, method="by" if dependent else "bh")]
