"""Thompson sampling of shares of traffic."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from monitor.bandit import (
    TOTAL,
    BernoulliRewards,
    GaussianRewards,
    Rewards,
    allocate,
    probability_best,
    round_weights,
)


def gaussian(rewards: Sequence[float]) -> GaussianRewards:
    return GaussianRewards(len(rewards), float(np.mean(rewards)), float(np.var(rewards) * len(rewards)))


def weights(rewards: Mapping[str, Rewards], floor: int = 500) -> dict[str, int]:
    return {name: standing.weight for name, standing in allocate(rewards, floor).variants.items()}


def closed_form(a1: int, b1: int, a2: int, b2: int) -> float:
    """P(second > first) of two Beta variables with whole parameters: E. Miller, Formulas for Bayesian A/B testing."""
    terms = (betaln(a1 + i, b1 + b2) - np.log(b2 + i) - betaln(1 + i, b2) - betaln(a1, b1) for i in range(a2))
    return float(sum(np.exp(term) for term in terms))


@pytest.mark.parametrize("ab", [(2, 3, 4, 2), (11, 91, 16, 86), (501, 501, 521, 481), (1, 1, 1, 1), (1, 1, 5000, 100)])
def test_the_probability_to_be_best_is_that_of_the_closed_form(ab: tuple[int, int, int, int]) -> None:
    best = probability_best([stats.beta(*ab[:2]), stats.beta(*ab[2:])])
    assert best[1] == pytest.approx(closed_form(*ab), abs=1e-4)


def test_the_probability_to_be_best_is_that_of_draws() -> None:
    posteriors = [stats.beta(20, 80), stats.beta(25, 75), stats.beta(3, 7), stats.t(5, 0.3, 0.05)]
    draws = np.array([one.rvs(200_000, random_state=seed) for seed, one in enumerate(posteriors)])
    shares = np.bincount(draws.argmax(axis=0), minlength=4) / 200_000
    assert probability_best(posteriors) == pytest.approx(shares, abs=0.005)


def test_a_posterior_beside_a_much_wider_one_is_integrated_as_well() -> None:
    best = probability_best([stats.norm(0, 1e-9), stats.norm(0.5, 1.0)])
    assert best[1] == pytest.approx(stats.norm.cdf(0.5), abs=1e-3)


def test_posteriors_are_conjugate() -> None:
    posterior = BernoulliRewards(30, 70).posterior()
    assert posterior.mean() == pytest.approx(31 / 102)
    values = np.random.default_rng(1).normal(50, 5, 40)
    interval = allocate({"a": gaussian(values.tolist())}).variants["a"].interval
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval is not None
    assert (interval.low, interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_without_rewards_all_get_the_same() -> None:
    assert weights({"a": BernoulliRewards(), "b": BernoulliRewards()}) == {"a": 5000, "b": 5000}
    few = {"a": gaussian([1.0, 2.0, 3.0]), "b": gaussian([9.0, 9.0]), "c": GaussianRewards()}
    allocation = allocate(few)
    assert [one.weight for one in allocation.variants.values()] == [3334, 3333, 3333]
    assert allocation.message == "equal weights until every variant has rewards"
    assert allocation.variants["c"].interval is None


def test_the_better_variant_gets_more_and_the_others_keep_their_floor() -> None:
    given = {"a": BernoulliRewards(50, 950), "b": BernoulliRewards(100, 900), "c": BernoulliRewards(20, 980)}
    assert weights(given) == {"a": 500, "b": 9000, "c": 500}
    assert allocate(given).message.startswith("b is best with probability 1")
    slight = weights({"a": BernoulliRewards(50, 950), "b": BernoulliRewards(58, 942)})
    assert 6000 < slight["b"] < 9000


def test_rewards_of_any_size_and_without_spread_are_compared() -> None:
    given = {"a": gaussian([1e9] * 5), "b": gaussian([1e9 + 1] * 5)}
    assert weights(given, 0) == {"a": 0, "b": TOTAL}
    same = {"a": gaussian([0.0] * 5), "b": gaussian([0.0] * 5)}
    assert weights(same, 0) == {"a": 5000, "b": 5000}


def test_the_same_rewards_give_the_same_weights() -> None:
    given = {"a": BernoulliRewards(7, 13), "b": BernoulliRewards(9, 13), "c": BernoulliRewards(1, 2)}
    assert allocate(given) == allocate(dict(given))


@pytest.mark.parametrize(("count", "floor"), [(0, 500), (3, 3334), (2, -1)])
def test_floors_that_do_not_fit_are_refused(count: int, floor: int) -> None:
    with pytest.raises(ValueError, match="no weights"):
        allocate({str(n): BernoulliRewards() for n in range(count)}, floor)


def test_the_largest_remainders_are_rounded_up() -> None:
    assert round_weights([3333.5, 3333.3, 3333.2]) == [3334, 3333, 3333]
    assert round_weights([2500.5, 2499.5, 2500.5, 2499.5]) == [2501, 2500, 2500, 2499]
    with pytest.raises(ValueError, match="must sum to 10000"):
        round_weights([5000.0, 4000.0])


def regret(rates: list[float], batches: int, size: int, seed: int) -> float:
    """What a fleet that is allocated batch by batch earns less per request than the best variant would, in the end."""
    draw = np.random.default_rng(seed)
    rewards = {str(n): BernoulliRewards() for n in range(len(rates))}
    lost = 0.0
    for _ in range(batches):
        shares = weights(rewards, 100)
        for name, rate in zip(rewards, rates, strict=True):
            tries = size * shares[name] // TOTAL
            won = int(draw.binomial(tries, rate))
            known = rewards[name]
            rewards[name] = BernoulliRewards(known.successes + won, known.failures + tries - won)
            lost += tries * (max(rates) - rate)
    return lost / (batches * size)


def test_regret_falls_below_that_of_equal_shares() -> None:
    rates = [0.1, 0.12, 0.2]
    equal = max(rates) - sum(rates) / 3
    regrets = [regret(rates, 20, 300, seed) for seed in range(5)]
    assert max(regrets) < equal / 2
    assert np.mean(regrets) < equal / 4
