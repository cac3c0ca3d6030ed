"""Draws follow their distributions, and histograms are those of the routers."""

from collections import Counter
from itertools import pairwise
from math import comb, exp, lgamma, log
from random import Random

import pytest
from simulate_kit import LATENCY, rollout

from operators.simulate.draws import binomial, poisson
from operators.simulate.latency import BOUNDS, Empirical, LogNormal, bounds_for
from router.bootstrap import latency_bounds

DRAWS = 20_000


def chi_square(found: Counter[int], expected: dict[int, float]) -> float:
    """Pearson's statistic in standard deviations above its mean; cells of less than 10 expected draws together."""
    cells = [(found[value], DRAWS * p) for value, p in expected.items() if DRAWS * p >= 10]
    cells.append((DRAWS - sum(n for n, _ in cells), DRAWS - sum(mean for _, mean in cells)))
    statistic = sum((n - mean) ** 2 / max(mean, 1.0) for n, mean in cells)
    return (statistic - (len(cells) - 1)) / (2 * (len(cells) - 1)) ** 0.5


@pytest.mark.parametrize(("n", "p"), [(7, 0.3), (100, 0.01), (100, 0.5), (60, 0.97)])
def test_binomial_draws_are_binomial(n: int, p: float) -> None:
    dice = Random(1)
    expected = {k: comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)}
    assert chi_square(Counter(binomial(dice, n, p) for _ in range(DRAWS)), expected) < 5


@pytest.mark.parametrize("mean", [0.4, 5.0, 40.0, 150.0])
def test_poisson_draws_are_poisson(mean: float) -> None:
    dice = Random(1)
    expected = {k: exp(k * log(mean) - mean - lgamma(k + 1)) for k in range(400)}
    assert chi_square(Counter(poisson(dice, mean) for _ in range(DRAWS)), expected) < 5


def test_draws_at_the_edges() -> None:
    dice = Random(1)
    assert [binomial(dice, 1000, p) for p in (0.0, 1.0)] == [0, 1000]
    assert [binomial(dice, 0, 0.5), poisson(dice, 0.0)] == [0, 0]
    assert poisson(dice, 1e9) == pytest.approx(1e9, rel=1e-3)


def test_buckets_are_those_of_the_routers() -> None:
    assert latency_bounds() == BOUNDS


def test_percentiles_of_a_latency_are_those_that_were_named() -> None:
    latency = LogNormal(p50=5.0, p99=80.0)
    assert (latency.within(5.0), latency.within(80.0), latency.within(0.0)) == (
        pytest.approx(0.5),
        pytest.approx(0.99),
        0,
    )


def test_seen_latencies_are_taken_as_they_are() -> None:
    latency = Empirical((1.0, 2.0, 2.0, 10.0))
    assert [latency.within(bound) for bound in (1.0, 2.0, 3.0, 11.0)] == [0.0, 0.25, 0.75, 1.0]


@pytest.mark.parametrize(("bound", "edges"), [("50ms", (50.0,)), ("53ms", (50.0, 56.0)), ("90s", (60_000.0,))])
def test_only_the_buckets_that_a_check_asks_for_are_kept(bound: str, edges: tuple[float, ...]) -> None:
    checked = rollout(analysis={"checks": [{**LATENCY, "max": bound}]})
    compared = rollout(strategy={"abTest": {"goal": {"metric": "latency-within", "within": bound}}})
    assert bounds_for([checked]) == bounds_for([compared]) == bounds_for([checked, compared]) == edges
    assert set(edges) <= set(BOUNDS)
    assert all(above < below for above, below in pairwise(edges))
