"""Who has won an A/B test, by what was counted of its arms."""

import pytest

from monitor import means, sequential
from operators.api.strategies import AbTest
from operators.experiment import Finding, judge_test
from operators.status import Arm, Tally

ALPHA = 0.05


def judged(metric: str, direction: str = "increase", samples: int = 1, **arms: Tally) -> Finding:
    goal = {"metric": metric, "direction": direction, "minSamples": samples}
    test = AbTest.model_validate({"goal": goal, "confidence": 1 - ALPHA})
    return judge_test([Arm(name, f"{name}-1", counted=tally) for name, tally in arms.items()], test)


def good(successes: int, count: int) -> Tally:
    """Zeros and ones."""
    return Tally(count, float(successes), float(successes))


def test_an_arm_wins_as_soon_as_its_difference_is_sure_though_the_arms_intervals_still_touch() -> None:
    counts = (4_600, 5_000, 4_500, 5_000)
    assert sequential.difference_interval(*counts, ALPHA).low > 0
    finding = judged("feedback-accuracy", control=good(4_500, 5_000), candidate=good(4_600, 5_000))
    assert finding.winner == "candidate"
    control, candidate = finding.arms
    assert candidate.low < control.high  # type: ignore[operator]
    assert finding.message == (
        "candidate has the best feedback-accuracy of all: control 0.9 of 5000, candidate 0.92 of 5000"
    )


def test_a_difference_that_may_be_none_makes_no_winner() -> None:
    finding = judged("success-rate", control=good(450, 500), candidate=good(460, 500))
    assert finding.winner == ""
    assert finding.message.endswith("none is surely the best yet")


def test_the_arms_intervals_hold_together() -> None:
    finding = judged("success-rate", a=good(90, 100), b=good(80, 100), c=good(70, 100))
    for arm in finding.arms:
        alone = sequential.proportion_interval(round(arm.counted.total), 100, ALPHA / 3)
        assert (arm.low, arm.high) == (alone.low, alone.high)


def test_a_winner_of_three_must_surely_be_better_than_each_of_the_others() -> None:
    finding = judged("success-rate", a=good(950, 1000), b=good(940, 1000), c=good(500, 1000))
    assert finding.winner == ""
    assert judged("success-rate", a=good(950, 1000), b=good(800, 1000), c=good(500, 1000)).winner == "a"


def test_each_of_two_differences_gets_half_of_the_doubt() -> None:
    # Enough for two arms, not for the same two beside a third that is far behind.
    one, other, behind = good(960, 1000), good(927, 1000), good(100, 1000)
    assert sequential.difference_interval(960, 1000, 927, 1000, ALPHA).low > 0
    assert sequential.difference_interval(960, 1000, 927, 1000, ALPHA / 2).low < 0
    assert judged("success-rate", a=one, b=other).winner == "a"
    assert judged("success-rate", a=one, b=other, c=behind).winner == ""


@pytest.mark.parametrize(("direction", "winner"), [("increase", "b"), ("decrease", "a")])
def test_rewards_are_compared_by_their_means_and_spreads(direction: str, winner: str) -> None:
    a, b = Tally(1000, 5_000.0, 26_000.0), Tally(1000, 5_200.0, 28_040.0)  # means 5 and 5.2, variances about 1
    assert means.difference_interval(5.2, 1.0, 1000, 5.0, 1.0, 1000, ALPHA).low > 0
    finding = judged("feedback-reward", direction, a=a, b=b)
    assert finding.winner == winner
    assert judged("feedback-reward", direction, a=a, b=Tally(1000, 5_050.0, 26_502.5)).winner == ""


def test_rewards_that_are_all_0_or_1_are_proportions() -> None:
    # Rare ones: their mean's interval would be too narrow by far.
    a, b = good(3, 400), good(16, 400)
    finding = judged("feedback-reward", a=a, b=b)
    alone = sequential.proportion_interval(3, 400, ALPHA / 2)
    assert (finding.arms[0].low, finding.arms[0].high) == (alone.low, alone.high)
    assert judged("feedback-reward", a=good(0, 1000), b=good(40, 1000)).winner == "b"


def test_rewards_need_enough_of_them_before_anybody_wins() -> None:
    few, many = Tally(means.START - 1, 990.0, 9_901.0), Tally(1000, 1_000.0, 1_999.0)
    finding = judged("feedback-reward", a=few, b=many)
    assert (finding.winner, finding.arms[0].low, finding.arms[0].high) == ("", None, None)


def test_nobody_wins_before_every_arm_has_the_samples_asked_for() -> None:
    finding = judged("success-rate", samples=600, a=good(1000, 1000), b=good(100, 500))
    assert (finding.winner, finding.message.rpartition("; ")[2]) == ("", "100 more samples are needed")
    assert judged("success-rate", samples=500, a=good(1000, 1000), b=good(100, 500)).winner == "a"


def test_an_arm_of_which_nothing_is_known_wins_and_loses_nothing() -> None:
    finding = judged("success-rate", a=Tally(), b=good(999, 1000))
    assert finding.winner == ""
    assert finding.message.startswith("success-rate: a nothing yet, b 0.999 of 1000")
