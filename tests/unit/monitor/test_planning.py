"""How many samples a watched comparison will take."""

from math import inf

import pytest
from scipy import stats

from benchmarks.gates import OURS, versus
from benchmarks.peeking import play
from monitor.fixed_horizon import plan_proportions
from monitor.planning import plan_watch


@pytest.mark.parametrize("power", [0.5, 0.8])
@pytest.mark.parametrize(
    ("base", "variant", "shares"),
    [(0.9, 0.95, (1, 1)), (0.01, 0.03, (1, 19)), (0.92, 0.88, (1, 9)), (0.5, 0.6, (1, 1)), (0.9, 0.95, (5, 1))],
)
def test_so_many_simulated_comparisons_are_decided_by_then(
    base: float, variant: float, shares: tuple[int, int], power: float
) -> None:
    runs = 400
    plan = plan_watch(base, variant, power=power, ratio=shares[0] / shares[1])
    gate = versus("", (variant, base), 0.0, shares, worse_above=variant > base)
    found = int((play(gate, runs, plan.variant_samples // shares[0])[OURS] > 0).sum())
    assert stats.binom.isf(0.999, runs, power - 0.05) <= found <= stats.binom.isf(0.001, runs, power + 0.05)


def test_watching_costs_less_than_twice_the_samples_of_a_single_look_and_half_of_the_time_none() -> None:
    single = plan_proportions(0.90, 0.92).variant_samples
    assert single < plan_watch(0.90, 0.92).variant_samples < 2 * single
    assert plan_watch(0.90, 0.92, power=0.5).variant_samples < 1.05 * single


def test_small_differences_certainty_and_power_cost_samples() -> None:
    assert plan_watch(0.9, 0.91).variant_samples > 3 * plan_watch(0.9, 0.92).variant_samples
    assert plan_watch(0.9, 0.92, alpha=0.01).variant_samples > plan_watch(0.9, 0.92).variant_samples
    assert plan_watch(0.9, 0.92, power=0.9).variant_samples > plan_watch(0.9, 0.92).variant_samples


def test_a_small_share_of_the_traffic_needs_fewer_samples_of_its_own_but_more_in_all() -> None:
    equal, small = plan_watch(0.05, 0.06), plan_watch(0.05, 0.06, ratio=1 / 9)
    assert small.variant_samples < equal.variant_samples
    assert small.base_samples + small.variant_samples > equal.base_samples + equal.variant_samples
    assert small.base_samples == pytest.approx(9 * small.variant_samples, abs=9)


def test_certain_successes_and_failures_can_be_planned_for() -> None:
    assert plan_watch(0.0, 1.0).variant_samples < 30
    assert plan_watch(0.0, 0.5).variant_samples < 60


@pytest.mark.parametrize(
    ("base", "variant", "alpha", "power", "ratio"),
    [
        (0.5, 0.5, 0.05, 0.8, 1),
        (-0.1, 0.5, 0.05, 0.8, 1),
        (0.5, 1.1, 0.05, 0.8, 1),
        (0.5, 0.6, 0.0, 0.8, 1),
        (0.5, 0.6, 0.05, 1.0, 1),
        (0.5, 0.6, 0.05, 0.8, 0),
        (inf, 0.6, 0.05, 0.8, 1),
    ],
)
def test_what_cannot_be_planned_is_refused(
    base: float, variant: float, alpha: float, power: float, ratio: float
) -> None:
    with pytest.raises(ValueError, match="no plan"):
        plan_watch(base, variant, alpha, power, ratio)
