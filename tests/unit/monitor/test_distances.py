"""Distances and tests of two samples against scipy, numpy and values worked out by hand."""

from math import log, sqrt

import numpy as np
import pytest
from scipy import stats

from monitor.distances import (
    adjusted,
    chi_square,
    histogram,
    jensen_shannon,
    kolmogorov_smirnov,
    pooled,
    psi,
    quantile_edges,
)


def test_psi_is_jeffreys_divergence_of_smoothed_shares() -> None:
    p, q = [10.5 / 31, 20.5 / 31], [20.5 / 31, 10.5 / 31]
    by_hand = sum((b - a) * log(b / a) for a, b in zip(p, q, strict=True))
    assert psi([10, 20], [20, 10]) == pytest.approx(by_hand)
    p, q = np.array([10.5, 20.5]) / 31, np.array([20.5, 10.5]) / 31
    assert psi([10, 20], [20, 10]) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p))


def test_an_empty_cell_makes_psi_large_and_not_infinite() -> None:
    assert 1 < psi([1000, 1000], [2000, 0]) < 10
    assert psi([1000, 1000, 0], [100, 100, 0]) == psi([1000, 1000], [100, 100])


def test_without_a_change_psi_is_a_chi_square_over_the_sample_sizes() -> None:
    draw = np.random.default_rng(1)
    n, m, cells = 2000, 500, 10
    values = [
        psi(draw.multinomial(n, [1 / cells] * cells), draw.multinomial(m, [1 / cells] * cells)) for _ in range(500)
    ]
    assert np.mean(values) / (1 / n + 1 / m) == pytest.approx(cells - 1, rel=0.1)


def test_jensen_shannon_is_0_for_equal_shares_and_1_for_disjoint_ones() -> None:
    assert jensen_shannon([1, 2, 3], [10, 20, 30]) == 0.0
    assert jensen_shannon([5, 0], [0, 7]) == pytest.approx(1.0)
    p, q = np.array([0.2, 0.8]), np.array([0.6, 0.4])
    middle = (p + q) / 2
    divergence = (stats.entropy(p, middle, 2) + stats.entropy(q, middle, 2)) / 2
    assert jensen_shannon([2, 8], [6, 4]) == pytest.approx(sqrt(divergence))


def test_bins_hold_equally_many_and_a_shared_value_has_its_own() -> None:
    values = np.random.default_rng(2).normal(size=1000)
    assert histogram(values, quantile_edges(values, 10)).tolist() == [100] * 10
    # Below, at and above the only value.
    assert histogram([4, 5, 5, 6, 7], quantile_edges([5.0] * 100, 10)).tolist() == [1, 2, 2]
    half = [0.0] * 50 + [1.0] * 50
    assert histogram(half, quantile_edges(half, 10)).tolist() == [0, 50, 0, 50, 0]


def test_kolmogorov_smirnov_is_that_of_scipy() -> None:
    draw = np.random.default_rng(3)
    one, two = draw.normal(size=300), draw.normal(0.3, size=200)
    result, exact = kolmogorov_smirnov(one, two), stats.ks_2samp(one, two, method="exact")
    assert result.statistic == result.effect == pytest.approx(exact.statistic)
    assert result.p_value == pytest.approx(exact.pvalue, rel=0.15)


def test_chi_square_is_that_of_scipy_and_its_effect_is_cramers() -> None:
    reference, current = {"a": 500, "b": 300, "c": 200}, {"a": 80, "b": 80, "c": 40}
    result = chi_square(reference, current)
    table = np.array([[500, 300, 200], [80, 80, 40]])
    expected = stats.chi2_contingency(table, correction=False)
    assert (result.statistic, result.p_value) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert result.effect == pytest.approx(stats.contingency.association(table, method="cramer"))
    assert result.name == "chi-square"


def test_rare_categories_are_pooled_before_they_are_tested() -> None:
    # With 1000 to 100 records a cell needs 55 in all to expect 5 of the smaller side.
    reference = {"a": 600, "b": 360, "r1": 10, "r2": 10, "r3": 10, "r4": 10}
    current = {"a": 50, "b": 30, "r1": 4, "r2": 4, "r3": 6, "r4": 6}
    table = np.array([[600, 360, 40], [50, 30, 20]])
    assert chi_square(reference, current).p_value == pytest.approx(stats.chi2_contingency(table).pvalue)


def test_ids_that_follow_each_other_are_no_difference() -> None:
    first = {f"2026-01-01T{n:05}": 1 for n in range(1000)}
    second = {f"2026-01-02T{n:05}": 1 for n in range(3000)}
    assert chi_square(first, second).p_value > 0.001
    assert psi(*pooled(first, second)) < 0.2


def test_a_new_category_beside_a_constant_is_tested_exactly() -> None:
    result = chi_square({"a": 2000}, {"a": 96, "b": 4})
    assert result.name == "Fisher"
    assert result.p_value == pytest.approx(stats.fisher_exact([[2000, 0], [96, 4]]).pvalue)
    assert result.p_value < 1e-4


def test_one_category_on_both_sides_is_no_difference() -> None:
    result = chi_square({"a": 2000}, {"a": 100})
    assert (result.p_value, result.effect) == (1.0, 0.0)


def test_a_side_without_records_cannot_be_tested() -> None:
    with pytest.raises(ValueError, match="both sides need records"):
        chi_square({"a": 3}, {"a": 0})


def test_pooling_keeps_the_false_alarms_of_sparse_tables_at_alpha() -> None:
    draw = np.random.default_rng(4)
    shares = np.array([0.5, 0.3, *[0.2 / 40] * 40])
    names = [f"c{n}" for n in range(len(shares))]
    wrong = 0
    for _ in range(400):
        one, two = draw.multinomial(1000, shares), draw.multinomial(150, shares)
        result = chi_square(dict(zip(names, one.tolist(), strict=True)), dict(zip(names, two.tolist(), strict=True)))
        wrong += result.p_value <= 0.05
    assert wrong <= stats.binom.isf(0.001, 400, 0.05)


def test_adjusted_p_values_are_those_worked_out_by_hand() -> None:
    # Benjamini-Hochberg: p_(k) K / k, made monotone from the largest down.
    assert adjusted([0.01, 0.04, 0.03, 0.5], dependent=False) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    assert adjusted([0.01, 0.04, 0.03, 0.5], dependent=True)[0] == pytest.approx(0.04 * harmonic)
