"""Rollouts of a candidate that is exactly as bad as it may be: how many does chance abort?

The whole chain is in play: draws, counters, windows, checks at every interval, decisions. A check promises that it
fails with probability 1 - confidence at most over all its looks together, of which there are sixty here.
"""

from math import comb, sqrt
from statistics import NormalDist

import pytest
from simulate_kit import play, rollout

from monitor.sequential import Interval
from operators.analysis import traffic
from operators.simulate import Outcome

ROLLOUTS = 150
CONFIDENCE = 0.8
MAX = {"metric": "error-rate", "max": 0.05}
VERSUS = {"metric": "error-rate", "versus": "stable", "margin": 0.04}


def aborted(check: dict[str, object], world: str, rollouts: int = ROLLOUTS) -> int:
    """How many rollouts of a version that is watched for ten minutes end in an abort."""
    manifest = rollout(
        steps=[{"setWeight": 50}, {"pause": {"duration": "10m"}}],
        analysis={"interval": "10s", "checks": [{"name": "errors", "confidence": CONFIDENCE, **check}]},
    )
    text = f"{{requestsPerSecond: 20, duration: 10m, {world}}}"
    return sum(play(manifest, text, seed).outcome is Outcome.ABORTED for seed in range(rollouts))


def too_many(n: int, p: float, doubt: float = 1e-4) -> int:
    """The smallest number that a binomial variable reaches with probability `doubt` at most."""
    tail, k = 1.0, 0
    while tail > doubt:
        tail, k = tail - comb(n, k) * p**k * (1 - p) ** (n - k), k + 1
    return k


@pytest.mark.parametrize(
    ("check", "world"),
    [
        (MAX, "candidate: {errorRate: 0.05}"),
        (VERSUS, "stable: {errorRate: 0.01}, candidate: {errorRate: 0.05}"),
    ],
    ids=["max", "versus stable"],
)
def test_chance_aborts_no_more_rollouts_than_the_confidence_allows(check: dict[str, object], world: str) -> None:
    assert aborted(check, world) < too_many(ROLLOUTS, 1 - CONFIDENCE)


def test_an_interval_for_a_single_look_would_abort_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def wilson(successes: int, n: int, alpha: float) -> Interval:
        if n == 0:
            return Interval(0.0, 1.0)
        z, p = NormalDist().inv_cdf(1 - alpha / 2), successes / n
        middle, reach = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return Interval((middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n))

    monkeypatch.setattr(traffic, "proportion_interval", wilson)
    assert aborted(MAX, "candidate: {errorRate: 0.05}") >= too_many(ROLLOUTS, 1 - CONFIDENCE)


def test_a_candidate_that_is_worse_than_it_may_be_is_always_aborted() -> None:
    assert aborted(MAX, "candidate: {errorRate: 0.1}", rollouts=20) == 20
