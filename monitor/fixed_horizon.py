"""A/B reports: tests for one look at a number of samples that was planned beforehand, and the plan itself.

Who looks repeatedly and stops when he likes what he sees is wrong far more often than alpha says: after k looks the
chance of a false alarm is up to k alpha. `monitor.sequential` has what may be watched. Differences are variant - base.
"""

from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from monitor.sequential import Interval
from monitor.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """`verdict` is fail when the difference is no accident and in the worse direction, pass when it is no accident and
    in the better one, inconclusive otherwise. `effect` is Cohen's h or d, or the probability of superiority.
    """

    test: str
    verdict: Verdict
    statistic: float
    p_value: float
    difference: float
    interval: Interval
    effect: float
    samples: tuple[int, int]
    message: str


def compare_proportions(
    base: tuple[int, int],
    variant: tuple[int, int],
    alpha: float = 0.05,
    *,
    higher_is_better: bool = True,
) -> Comparison:
    """Two pairs (successes, trials): the pooled z-test, or Fisher's exact test where a cell expects fewer than 5.

    Interval: R. Newcombe, Interval estimation for the difference between independent proportions, Stat. Med. 17
    (1998) 873-890, method 10. Effect: h = 2 asin sqrt(p) - 2 asin sqrt(p_base), J. Cohen, Statistical Power
    Analysis (1988) ch. 6. Raises `ValueError` for counts that cannot be.
    """
    # With pandas 70 MB, which a monitor that nobody asks for this need not have.
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest  # noqa: PLC0415

    for successes, n in (base, variant):
        if not 0 <= successes <= n or n < 1:
            raise ValueError(f"no proportion of {successes} in {n}")
    (s0, n0), (s1, n1) = base, variant
    table = np.array([[s1, n1 - s1], [s0, n0 - s0]])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() < 5:
        exact = stats.fisher_exact(table)
        name, statistic, p_value = "Fisher", float(exact.statistic), float(exact.pvalue)
    else:
        z, p = proportions_ztest([s1, s0], [n1, n0])
        name, statistic, p_value = "two-proportion z", float(z), float(p)
    low, high = confint_proportions_2indep(s1, n1, s0, n0, method="newcomb", compare="diff", alpha=alpha)
    return _comparison(
        name,
        statistic=statistic,
        p_value=p_value,
        difference=s1 / n1 - s0 / n0,
        interval=Interval(float(low), float(high)),
        effect=("h", _cohens_h(s1 / n1, s0 / n0)),
        samples=(n0, n1),
        alpha=alpha,
        higher_is_better=higher_is_better,
    )


def compare_means(
    base: ArrayLike, variant: ArrayLike, alpha: float = 0.05, *, higher_is_better: bool = True
) -> Comparison:
    """Welch's t-test of two means, which needs no equal variances. B. Welch, Biometrika 34 (1947) 28-35.

    Effect: d = difference / pooled standard deviation, J. Cohen (1988) ch. 2. Raises `ValueError` for fewer than two
    values on a side or values that are not finite.
    """
    one, two = _values(base), _values(variant)
    difference = float(two.mean() - one.mean())
    pooled = sqrt((one.var(ddof=1) * (len(one) - 1) + two.var(ddof=1) * (len(two) - 1)) / (len(one) + len(two) - 2))
    if pooled == 0:  # two constants: there is no chance in them
        statistic, p_value = (float("inf"), 0.0) if difference else (0.0, 1.0)
        interval, effect = Interval(difference, difference), float("inf") if difference else 0.0
        statistic, effect = (statistic, effect) if difference >= 0 else (-statistic, -effect)
    else:
        test = stats.ttest_ind(two, one, equal_var=False)
        limits = test.confidence_interval(1 - alpha)
        statistic, p_value = float(test.statistic), float(test.pvalue)
        interval, effect = Interval(float(limits.low), float(limits.high)), difference / pooled
    return _comparison(
        "Welch t",
        statistic=statistic,
        p_value=p_value,
        difference=difference,
        interval=interval,
        effect=("d", effect),
        samples=(len(one), len(two)),
        alpha=alpha,
        higher_is_better=higher_is_better,
    )


def compare_ranks(
    base: ArrayLike, variant: ArrayLike, alpha: float = 0.05, *, higher_is_better: bool = True
) -> Comparison:
    """The Mann-Whitney test, for latencies and other skewed values: does one side tend to be larger?

    H. Mann, D. Whitney, Ann. Math. Statist. 18 (1947) 50-60. `difference` is Cliff's delta, P(variant > base) -
    P(variant < base), with E. Brunner, U. Munzel's standard error (Biom. J. 42 (2000) 17-25); `effect` is the
    probability of superiority, P(variant > base) + P(equal) / 2. Raises `ValueError` as `compare_means` does.
    """
    one, two = _values(base), _values(variant)
    test = stats.mannwhitneyu(two, one, method="asymptotic")
    superiority = float(test.statistic) / (len(one) * len(two))
    ranks = stats.rankdata(np.concatenate([one, two]))
    # How often each value beats the other side's: its rank among all less its rank among its own.
    wins = ranks[: len(one)] - stats.rankdata(one), ranks[len(one) :] - stats.rankdata(two)
    variance = wins[0].var(ddof=1) / len(one) / len(two) ** 2 + wins[1].var(ddof=1) / len(two) / len(one) ** 2
    delta = 2 * superiority - 1
    radius = 2 * float(stats.norm.isf(alpha / 2)) * sqrt(variance)
    return _comparison(
        "Mann-Whitney",
        statistic=float(test.statistic),
        p_value=float(test.pvalue) if np.ptp(np.concatenate([one, two])) > 0 else 1.0,
        difference=delta,
        interval=Interval(max(delta - radius, -1.0), min(delta + radius, 1.0)),
        effect=("P(variant > base)", superiority),
        samples=(len(one), len(two)),
        alpha=alpha,
        higher_is_better=higher_is_better,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """How many samples a test needs to find an effect of this size with this power."""

    base_samples: int
    variant_samples: int
    effect: float
    alpha: float
    power: float


def plan_proportions(base: float, variant: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> Plan:
    """Samples for a two-sided z-test of two proportions; `ratio` is variant samples per base sample.

    By Cohen's h: J. Cohen (1988) ch. 6. Raises `ValueError` unless the two differ and lie between 0 and 1.
    """
    if base == variant or not (0 <= base <= 1 and 0 <= variant <= 1):
        raise ValueError(f"no plan to tell {base} from {variant}")
    return _plan("z", _cohens_h(variant, base), alpha, power, ratio)


def plan_means(
    difference: float, deviation: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> Plan:
    """Samples for a two-sided t-test of two means that differ by `difference`, with this standard deviation.

    By Cohen's d: J. Cohen (1988) ch. 2. Raises `ValueError` for no difference or no deviation.
    """
    if difference == 0 or deviation <= 0:
        raise ValueError(f"no plan to find a difference of {difference} at a deviation of {deviation}")
    return _plan("t", difference / deviation, alpha, power, ratio)


def plan_share(bound: float, share: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Trials for a two-sided z-test of one proportion against a bound, when the success probability is `share`.

    By Cohen's h: J. Cohen (1988) ch. 6. Raises `ValueError` unless the two differ and lie between 0 and 1.
    """
    if bound == share or not (0 <= bound <= 1 and 0 <= share <= 1):
        raise ValueError(f"no plan to tell {share} from {bound}")
    return _plan("z", _cohens_h(share, bound), alpha, power, 0).base_samples


def _cohens_h(variant: float, base: float) -> float:
    from statsmodels.stats.proportion import proportion_effectsize  # noqa: PLC0415

    return float(proportion_effectsize(variant, base))


def _plan(test: Literal["z", "t"], effect: float, alpha: float, power: float, ratio: float) -> Plan:
    from statsmodels.stats.power import NormalIndPower, TTestIndPower  # noqa: PLC0415

    kind = NormalIndPower() if test == "z" else TTestIndPower()
    needed = kind.solve_power(effect_size=abs(effect), alpha=alpha, power=power, ratio=ratio)
    samples = float(np.ravel(needed)[0])
    if not isfinite(samples):
        raise ValueError(f"no number of samples finds an effect of {effect}")
    return Plan(max(ceil(samples), 2), max(ceil(samples * ratio), 2), effect, alpha, power)


def _values(given: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError("a side needs two values or more, all of them finite")
    return values


def _comparison(
    test: str,
    *,
    statistic: float,
    p_value: float,
    difference: float,
    interval: Interval,
    effect: tuple[str, float],
    samples: tuple[int, int],
    alpha: float,
    higher_is_better: bool,
) -> Comparison:
    if p_value > alpha:
        verdict, said = Verdict.INCONCLUSIVE, "no difference has been shown"
    else:
        better = (difference > 0) == higher_is_better
        verdict = Verdict.PASS if better else Verdict.FAIL
        said = f"the variant is {'better' if better else 'worse'}"
    message = (
        f"{said}: difference {difference:.4g} ({interval.low:.4g} to {interval.high:.4g}), {test} p {p_value:.2g}, "
        f"{effect[0]} {effect[1]:.3g}, {samples[1]} samples against {samples[0]}"
    )
    return Comparison(test, verdict, statistic, p_value, difference, interval, effect[1], samples, message)
