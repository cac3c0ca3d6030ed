"""Tests for one look, against scipy, statsmodels and published numbers."""

from math import asin, inf, sqrt

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from monitor.fixed_horizon import (
    compare_means,
    compare_proportions,
    compare_ranks,
    plan_means,
    plan_proportions,
    plan_share,
)
from monitor.verdict import Verdict

DRAW = np.random.default_rng(1)


def test_two_proportions_are_told_apart_by_the_pooled_z_test() -> None:
    result = compare_proportions((100, 1000), (150, 1000))
    pooled = sqrt(0.125 * 0.875 * 2 / 1000)
    assert (result.test, result.statistic) == ("two-proportion z", pytest.approx(0.05 / pooled))
    assert result.p_value == pytest.approx(2 * stats.norm.sf(0.05 / pooled))
    assert result.difference == pytest.approx(0.05)
    assert result.effect == pytest.approx(2 * asin(sqrt(0.15)) - 2 * asin(sqrt(0.1)))
    assert result.verdict is Verdict.PASS
    assert result.message.startswith("the variant is better: difference 0.05 (0.0")


def test_the_interval_of_two_proportions_is_newcombes() -> None:
    # R. Newcombe (1998), table II (a): 56/70 - 48/80, method 10.
    interval = compare_proportions((48, 80), (56, 70)).interval
    assert (interval.low, interval.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_sparse_tables_are_tested_exactly() -> None:
    result = compare_proportions((0, 50), (8, 50))
    assert result.test == "Fisher"
    assert result.p_value == pytest.approx(stats.fisher_exact([[8, 42], [0, 50]]).pvalue)


def test_nothing_on_either_side_is_no_difference() -> None:
    for counts in ((0, 100), (100, 100)):
        result = compare_proportions(counts, counts)
        assert (result.verdict, result.p_value, result.difference) == (Verdict.INCONCLUSIVE, 1.0, 0.0)


def test_which_direction_is_better_decides_between_pass_and_fail() -> None:
    worse = compare_proportions((100, 1000), (150, 1000), higher_is_better=False)
    assert worse.verdict is Verdict.FAIL
    assert worse.message.startswith("the variant is worse")
    same = compare_proportions((100, 1000), (101, 1000))
    assert same.verdict is Verdict.INCONCLUSIVE
    assert same.message.startswith("no difference has been shown")


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        compare_proportions(counts, (1, 2))


def test_means_are_compared_as_statsmodels_does() -> None:
    base, variant = DRAW.normal(10, 1, 80), DRAW.normal(10.6, 3, 50)
    result = compare_means(base, variant)
    expected = CompareMeans(DescrStatsW(variant), DescrStatsW(base))
    statistic, p_value, _ = expected.ttest_ind(usevar="unequal")
    low, high = expected.tconfint_diff(usevar="unequal")
    assert (result.statistic, result.p_value) == (pytest.approx(statistic), pytest.approx(p_value))
    assert (result.interval.low, result.interval.high) == (pytest.approx(low), pytest.approx(high))


def test_cohens_d_is_the_difference_in_pooled_deviations() -> None:
    # Deviations 1 and 3 of three values each: pooled sqrt(5).
    assert compare_means([1.0, 2.0, 3.0], [2.0, 5.0, 8.0]).effect == pytest.approx(3 / sqrt(5))


def test_constants_differ_for_certain_or_not_at_all() -> None:
    higher, lower, same = (compare_means([2.0, 2.0], [value] * 3) for value in (3.0, 1.0, 2.0))
    assert (higher.p_value, higher.effect, higher.verdict) == (0.0, inf, Verdict.PASS)
    assert (lower.p_value, lower.effect, lower.verdict) == (0.0, -inf, Verdict.FAIL)
    assert (same.p_value, same.effect, same.verdict) == (1.0, 0.0, Verdict.INCONCLUSIVE)


def test_ranks_are_compared_as_scipy_does() -> None:
    base, variant = DRAW.exponential(1, 100), DRAW.exponential(2.5, 90)
    result = compare_ranks(base, variant, higher_is_better=False)
    expected = stats.mannwhitneyu(variant, base, method="asymptotic")
    assert (result.statistic, result.p_value) == (expected.statistic, pytest.approx(expected.pvalue))
    wins = (variant[:, None] > base[None, :]).mean()
    assert result.effect == pytest.approx(wins)
    assert result.difference == pytest.approx(2 * wins - 1)
    assert result.verdict is Verdict.FAIL


def test_the_interval_of_cliffs_delta_is_that_of_brunner_and_munzel() -> None:
    base, variant = DRAW.normal(size=60), DRAW.normal(0.4, 2, size=40)
    result = compare_ranks(base, variant)
    # Their statistic is (p - 1/2) over its standard error.
    statistic = stats.brunnermunzel(base, variant).statistic
    error = (result.effect - 0.5) / statistic
    assert (result.interval.high - result.difference) / 2 == pytest.approx(1.959964 * abs(error), rel=1e-5)


def test_equal_values_have_equal_ranks() -> None:
    result = compare_ranks([1.0] * 20, [1.0] * 30)
    assert (result.p_value, result.difference, result.verdict) == (1.0, 0.0, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, float("nan")], [[1.0, 2.0]]])
def test_values_that_cannot_be_compared_are_refused(values: list[float]) -> None:
    for compare in (compare_means, compare_ranks):
        with pytest.raises(ValueError, match="two values or more"):
            compare([1.0, 2.0], values)


def test_one_look_keeps_alpha_and_many_do_not() -> None:
    runs = 150
    once = often = 0
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        one, two = draw.normal(size=400), draw.normal(size=400)
        looks = [compare_means(one[:n], two[:n]).p_value <= 0.05 for n in range(40, 401, 40)]
        once += looks[-1]
        often += any(looks)
    assert once <= stats.binom.isf(0.001, runs, 0.05)
    assert often > stats.binom.isf(0.001, runs, 0.05)


def test_plans_are_those_of_cohens_tables() -> None:
    # J. Cohen (1988), tables 2.4.1 and 6.4.1, two-sided 5 %, power 80 %: d = 0.5 needs 64, h = 0.2 needs 392 or 393.
    assert plan_means(5.0, 10.0).base_samples == 64
    variant = np.sin(np.arcsin(np.sqrt(0.3)) + 0.1) ** 2
    assert plan_proportions(0.3, float(variant)).base_samples == 393


def test_a_plan_reaches_its_power() -> None:
    plan = plan_proportions(0.9, 0.92, power=0.9, ratio=0.5)
    assert plan.variant_samples == pytest.approx(plan.base_samples / 2, abs=1)
    effect = 2 * asin(sqrt(0.92)) - 2 * asin(sqrt(0.9))
    error = sqrt(1 / plan.base_samples + 1 / plan.variant_samples)
    assert stats.norm.sf(stats.norm.isf(0.025) - effect / error) == pytest.approx(0.9, abs=1e-3)


def test_a_plan_for_one_proportion_needs_half_of_what_each_of_two_does() -> None:
    # J. Cohen (1988), section 6.4: testing against a constant takes half of the samples of each group.
    alone = plan_share(0.5, 0.6)
    assert alone == pytest.approx(plan_proportions(0.5, 0.6).base_samples / 2, abs=1)
    found = stats.binom.sf(stats.binom.isf(0.025, alone, 0.5), alone, 0.6)
    assert found == pytest.approx(0.8, abs=0.05)


def test_a_planned_test_finds_its_effect_as_often_as_planned() -> None:
    plan = plan_proportions(0.2, 0.3, power=0.8)
    draw = np.random.default_rng(2)
    found = sum(
        compare_proportions(
            (int(draw.binomial(plan.base_samples, 0.2)), plan.base_samples),
            (int(draw.binomial(plan.variant_samples, 0.3)), plan.variant_samples),
        ).verdict
        is Verdict.PASS
        for _ in range(300)
    )
    assert stats.binom.ppf(0.001, 300, 0.8) <= found <= stats.binom.isf(0.001, 300, 0.8)


def test_plans_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="no plan"):
        plan_proportions(0.5, 0.5)
    with pytest.raises(ValueError, match="no plan"):
        plan_proportions(0.5, 1.5)
    with pytest.raises(ValueError, match="no plan"):
        plan_means(0.0, 1.0)
    with pytest.raises(ValueError, match="no plan"):
        plan_means(1.0, 0.0)
    for bound, share in ((0.5, 0.5), (1.5, 0.5), (0.5, -0.1)):
        with pytest.raises(ValueError, match="no plan"):
            plan_share(bound, share)
