"""How many samples a watched comparison will take."""

from math import inf

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from benchmarks.gates import OURS, versus
from benchmarks.peeking import play
from monitor import fixed_horizon, means
from monitor.planning import plan_means, plan_proportions, plan_share
from monitor.sequential import proportion_interval


@pytest.mark.parametrize("power", [0.5, 0.8])
@pytest.mark.parametrize(
    ("base", "variant", "shares"),
    [(0.9, 0.95, (1, 1)), (0.01, 0.03, (1, 19)), (0.92, 0.88, (1, 9)), (0.5, 0.6, (1, 1)), (0.9, 0.95, (5, 1))],
)
def test_so_many_simulated_comparisons_are_decided_by_then(
    base: float, variant: float, shares: tuple[int, int], power: float
) -> None:
    runs = 400
    plan = plan_proportions(base, variant, power=power, ratio=shares[0] / shares[1])
    gate = versus("", (variant, base), 0.0, shares, worse_above=variant > base)
    found = int((play(gate, runs, plan.variant_samples // shares[0])[OURS] > 0).sum())
    assert stats.binom.isf(0.999, runs, power - 0.05) <= found <= stats.binom.isf(0.001, runs, power + 0.05)


def test_watching_costs_less_than_twice_the_samples_of_a_single_look_and_half_of_the_time_none() -> None:
    single = fixed_horizon.plan_proportions(0.90, 0.92).variant_samples
    assert single < plan_proportions(0.90, 0.92).variant_samples < 2 * single
    assert plan_proportions(0.90, 0.92, power=0.5).variant_samples < 1.05 * single


def test_small_differences_certainty_and_power_cost_samples() -> None:
    assert plan_proportions(0.9, 0.91).variant_samples > 3 * plan_proportions(0.9, 0.92).variant_samples
    assert plan_proportions(0.9, 0.92, alpha=0.01).variant_samples > plan_proportions(0.9, 0.92).variant_samples
    assert plan_proportions(0.9, 0.92, power=0.9).variant_samples > plan_proportions(0.9, 0.92).variant_samples


def test_a_small_share_of_the_traffic_needs_fewer_samples_of_its_own_but_more_in_all() -> None:
    equal, small = plan_proportions(0.05, 0.06), plan_proportions(0.05, 0.06, ratio=1 / 9)
    assert small.variant_samples < equal.variant_samples
    assert small.base_samples + small.variant_samples > equal.base_samples + equal.variant_samples
    assert small.base_samples == pytest.approx(9 * small.variant_samples, abs=9)


def test_certain_successes_and_failures_can_be_planned_for() -> None:
    assert plan_proportions(0.0, 1.0).variant_samples < 30
    assert plan_proportions(0.0, 0.5).variant_samples < 60


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
        plan_proportions(base, variant, alpha, power, ratio)


@pytest.mark.parametrize("power", [0.5, 0.8])
@pytest.mark.parametrize(("bound", "share"), [(0.97, 0.99), (0.9, 0.95), (0.5, 0.55), (0.6, 0.5)])
def test_so_many_simulated_shares_have_left_the_bound_by_then(bound: float, share: float, power: float) -> None:
    runs, n = 400, plan_share(bound, share, power=power)
    good, tried = (np.random.default_rng(1).random((runs, n)) < share).cumsum(axis=1), np.arange(1, n + 1)
    # By the definition of `sequential.proportion_interval` the bound is outside when the mixture is 1 / alpha likelier.
    mixture = betaln(good + 0.5, tried - good + 0.5) - betaln(0.5, 0.5)
    outside = mixture - good * np.log(bound) - (tried - good) * np.log(1 - bound) >= np.log(20)
    found = int(outside.any(axis=1).sum())
    assert stats.binom.isf(0.999, runs, power - 0.05) <= found <= stats.binom.isf(0.001, runs, power + 0.07)


def test_a_certain_share_has_left_the_bound_when_its_interval_says_so() -> None:
    n = plan_share(0.99, 1.0)
    assert proportion_interval(n, n, 0.05).low >= 0.99 > proportion_interval(n - 2, n - 2, 0.05).low


@pytest.mark.parametrize(("difference", "ratio", "power"), [(0.2, 1.0, 0.5), (0.1, 1 / 9, 0.8), (-0.3, 3.0, 0.8)])
def test_so_many_simulated_means_are_told_apart_by_then(difference: float, ratio: float, power: float) -> None:
    runs, plan = 300, plan_means(difference, 1.0, power=power, ratio=ratio)
    draw, found = np.random.default_rng(2), 0
    for _ in range(runs):
        one, base = draw.normal(difference, 1, plan.variant_samples), draw.normal(0, 1, plan.base_samples)
        for part in np.linspace(0.2, 1, 40):
            sides = [values[: int(part * len(values))] for values in (one, base)]
            moments = [(float(side.mean()), float(side.var(ddof=1)), len(side)) for side in sides]
            interval = means.difference_interval(*moments[0], *moments[1], 0.05)
            if not interval.low <= 0 <= interval.high:
                found += 1
                break
    assert stats.binom.isf(0.999, runs, power - 0.07) <= found <= stats.binom.isf(0.001, runs, power + 0.05)


def test_no_difference_of_means_is_found_before_anything_is_said_of_them() -> None:
    plan = plan_means(50.0, 1.0)
    assert (plan.base_samples, plan.variant_samples) == (means.START, means.START)


def test_means_and_shares_that_cannot_be_planned_for_are_refused() -> None:
    for difference, deviation, ratio in ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="no plan"):
            plan_means(difference, deviation, ratio=ratio)
    for bound, share, power in ((0.5, 0.5, 0.8), (1.0, 0.5, 0.8), (0.5, 1.1, 0.8), (0.5, 0.6, 1.0)):
        with pytest.raises(ValueError, match="no plan"):
            plan_share(bound, share, power=power)
