"""What experiments promise, held against many simulated ones: winners of an A/B test, the regret of a bandit.

The whole chain is in play: draws, routers' shares, counters, windows, findings at every interval, decisions.
"""

from math import comb, log
from statistics import NormalDist, mean

import pytest
from simulate_kit import alone, play, rollout, totals, variants

from monitor import sequential
from monitor.sequential import Interval
from operators.simulate import Outcome, Result

TESTS = 150
CONFIDENCE = 0.8
"""Of the A/B tests: a winner among equals is allowed in one test of five."""


def winners(seeds: int, text: str, delay: str = "") -> int:
    """How many A/B tests, looked at sixty times in ten minutes, have a winner."""
    metric = "feedback-accuracy" if delay else "success-rate"
    test = {"abTest": {"goal": {"metric": metric}, "confidence": CONFIDENCE, "onWinner": "promote"}}
    manifest = rollout(strategy=test, analysis={"interval": "10s"})
    world = f"{{requestsPerSecond: 20, duration: 10m, {delay}{text}}}"
    return sum(play(manifest, world, seed).outcome is not Outcome.HELD for seed in range(seeds))


def too_many(n: int, p: float, doubt: float = 1e-4) -> int:
    """The smallest number that a binomial variable reaches with probability `doubt` at most."""
    tail, k = 1.0, 0
    while tail > doubt:
        tail, k = tail - comb(n, k) * p**k * (1 - p) ** (n - k), k + 1
    return k


EQUALS = "stable: {errorRate: 0.1}, candidate: {errorRate: 0.1}"


def test_of_two_equal_versions_one_wins_no_more_often_than_the_confidence_allows() -> None:
    """150 tests tell a procedure that keeps alpha = 0.2 from one that is wrong in 45 of 100 tests, which would pass in
    2 of 1,000 runs at most. They say nothing about one that is wrong in 25 of 100.
    """
    limit = too_many(TESTS, 1 - CONFIDENCE)
    assert sum(comb(TESTS, k) * 0.45**k * 0.55 ** (TESTS - k) for k in range(limit)) < 2e-3
    assert winners(TESTS, EQUALS) < limit


def test_intervals_for_a_single_look_would_find_more_winners(monkeypatch: pytest.MonkeyPatch) -> None:
    def single_look(successes: int, n: int, base_successes: int, base_n: int, alpha: float) -> Interval:
        """That of the z-test."""
        if not n or not base_n:
            return Interval(-1.0, 1.0)
        p, q = successes / n, base_successes / base_n
        reach = NormalDist().inv_cdf(1 - alpha / 2) * (p * (1 - p) / n + q * (1 - q) / base_n) ** 0.5
        return Interval(p - q - reach, p - q + reach)

    monkeypatch.setattr(sequential, "difference_interval", single_look)
    assert winners(TESTS, EQUALS) >= too_many(TESTS, 1 - CONFIDENCE)


def test_labels_that_come_late_and_for_some_answers_only_make_no_winners() -> None:
    assert winners(40, "stable: {accuracy: 0.9}", "feedback: {share: 0.4, after: 2m}, ") < too_many(40, 1 - CONFIDENCE)


def test_a_version_that_is_better_wins_in_every_test() -> None:
    assert winners(20, "stable: {errorRate: 0.3}") == 20


SUCCESS = {"control": 0.80, "b": 0.85, "c": 0.82, "d": 0.90}
BEST = "d"
SEEDS = 20
RATE, SECONDS, INTERVAL = 10, 2400, 120


def bandit(floor: float, seed: int) -> Result:
    """A bandit over three variants and their control, for forty minutes."""
    strategy = {"bandit": {"reward": "success-rate", "interval": f"{INTERVAL}s", "explorationFloor": floor}}
    manifest = rollout(strategy=strategy, variants=variants(b=4, c=3, d=6), analysis={"interval": "60s"})
    behaves = {name: f"{{errorRate: {1 - success:.2f}}}" for name, success in SUCCESS.items()}
    others = ", ".join(f"{name}: {text}" for name, text in behaves.items() if name != "control")
    world = f"stable: {behaves['control']}, variants: {{{others}}}"
    return alone(manifest, f"{{requestsPerSecond: {RATE}, duration: {SECONDS}s, {world}}}", seed)


def regret(result: Result) -> float:
    """How many answers more would have been good, on average, had the best version given all of them."""
    versions = {"control": result.stable, **dict(result.variants)}
    return sum((SUCCESS[BEST] - SUCCESS[name]) * totals(result, version).requests for name, version in versions.items())


def bound(floor: float) -> float:
    """What Thompson sampling may lose on average over all seeds, in good answers. Three parts:

    - the floor, of which the worse versions always have their share, whatever is known;
    - the time without a choice: until the variants are ready the control answers, and in the first interval all have
      equal shares;
    - learning: (1 + e) sum of gap · ln(n) / KL(version, best), the bound of S. Agrawal and N. Goyal, Further optimal
      regret bounds for Thompson sampling, AISTATS 2013, theorem 1, with e = 1 in place of its term that does not grow.
    """
    requests = RATE * SECONDS
    gaps = {name: SUCCESS[BEST] - success for name, success in SUCCESS.items() if name != BEST}
    forced = requests * floor / 100 * sum(gaps.values())
    blind = RATE * (5 * gaps["control"] + INTERVAL * sum(gaps.values()) / len(SUCCESS))
    learning = 2 * sum(gap * log(requests) / _divergence(SUCCESS[name], SUCCESS[BEST]) for name, gap in gaps.items())
    return forced + blind + learning


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of Bernoulli variables."""
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def test_a_bandit_over_three_variants_finds_the_best_within_the_regret_bound() -> None:
    results = [bandit(1, seed) for seed in range(SEEDS)]
    assert {max(result.arms, key=lambda arm: arm.weight).name for result in results} == {BEST}
    assert mean(map(regret, results)) < bound(1)
    uniform = RATE * SECONDS * mean(SUCCESS[BEST] - success for success in SUCCESS.values())
    assert max(map(regret, results)) < uniform / 2


def test_equal_shares_would_break_the_regret_bound() -> None:
    assert min(regret(bandit(25, seed)) for seed in range(2)) > bound(1)
