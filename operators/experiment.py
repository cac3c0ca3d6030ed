"""What A/B tests and bandits find: samples of a goal's metric, intervals, winners, weights. Pure.

An A/B test is decided by confidence sequences for the differences of two arms (`monitor.sequential` for proportions,
`monitor.means` for other rewards): an arm that is surely better than each of the others is the winner, whenever one
looks. With K arms each difference has a (K - 1)th of 1 - confidence, which bounds the chance of a wrong winner: let b
be one of the best arms. If a worse arm wins, its difference to b is wrong; if b wins although another is as good, b's
difference to that one is. Either way it is one of the K - 1 differences to b (Boole's inequality).

The arms' own intervals, which are shown, hold together as well. They may touch when there is a winner: two means are
seldom off in opposite directions at once.

A bandit gives each arm the probability that it is the best as its weight (`monitor.bandit`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from monitor import means, sequential
from monitor.sequential import Interval
from operators.analysis import slower_than
from operators.api.strategies import AbTest, Bandit, Goal, Strategy
from operators.observe import VersionFeedback, VersionTraffic
from operators.status import Arm, Tally

FEEDBACK: Final = ("feedback-reward", "feedback-accuracy")
"""Metrics that come from what people say about answers; the others come from the routers' counters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where an experiment stands: its arms, judged; the winner's name, if any; a sentence."""

    arms: tuple[Arm, ...]
    winner: str
    message: str


def goal_of(strategy: Strategy | None) -> Goal | None:
    """What an experiment compares; None for other strategies."""
    bandit = strategy.bandit if strategy is not None else None
    if bandit is None:
        return strategy.ab_test.goal if strategy is not None and strategy.ab_test is not None else None
    # Both blocks are checked already, and a duration that is a number would not be read as one again.
    return Goal.model_construct(metric=bandit.reward, within=bandit.within, min_samples=bandit.min_samples)


def counted(goal: Goal, traffic: VersionTraffic | None, feedback: VersionFeedback | None) -> Tally:
    """Samples of the goal's metric: 1 for a good answer and 0 for another, or the rewards themselves.

    A latency of which it is unknown on which side of the bound it is counts as too long. Failing fast is no virtue:
    no more answers are soon enough than there are below 500. Envoy does not say which of the fast ones failed, so of a
    version that is slow and fails fast besides up to its share of errors is taken for good: a check guards against it.
    """
    if goal.metric == "feedback-reward":
        return feedback.rewards if feedback is not None else Tally()
    if goal.metric == "feedback-accuracy":
        return feedback.labels if feedback is not None else Tally()
    live = traffic.live if traffic is not None else VersionTraffic().live
    if goal.metric == "success-rate":
        good, count = live.requests - live.errors, live.requests
    else:
        _, slow = slower_than(live, (goal.within or 0) * 1000)
        count = live.requests
        good = min(sum(live.bucket_counts) - slow, live.requests - live.errors)
    return Tally(count, float(good), float(good))


def judge_test(arms: Sequence[Arm], test: AbTest) -> Finding:
    """Each arm's mean with its interval, and the arm that is surely better than each of the others."""
    goal, alpha = test.goal, 1 - test.confidence
    intervals = [_interval(goal, arm.counted, alpha / len(arms)) for arm in arms]
    judged = tuple(
        replace(arm, value=_mean(arm.counted), low=_finite(interval.low), high=_finite(interval.high))
        for arm, interval in zip(arms, intervals, strict=True)
    )
    needed = max(goal.min_samples - min(arm.counted.count for arm in arms), 0)
    for arm in judged if not needed else ():
        others = [other.counted for other in judged if other is not arm]
        if all(_surely_better(goal, arm.counted, other, alpha / len(others)) for other in others):
            message = f"{arm.name} has the best {goal.metric} of all: {_described(judged)}"
            return Finding(judged, arm.name, message)
    lacking = f"{needed} more samples are needed" if needed else "none is surely the best yet"
    return Finding(judged, "", f"{goal.metric}: {_described(judged)}; {lacking}")


def judge_bandit(arms: Sequence[Arm], bandit: Bandit, floor: int) -> Finding:
    """Each arm's weight for the next interval, and the arm that is the best with the probability asked for.

    `floor` is what each arm gets at least, in basis points.
    """
    # Here, as it brings scipy, which takes 60 MB and a second: only operators with bandits pay for it.
    from monitor.bandit import BernoulliRewards, GaussianRewards, allocate  # noqa: PLC0415

    rewards = {
        arm.name: (
            GaussianRewards(arm.counted.count, _mean(arm.counted) or 0.0, _spread(arm.counted))
            if bandit.reward == "feedback-reward"
            else BernoulliRewards(round(arm.counted.total), arm.counted.count - round(arm.counted.total))
        )
        for arm in arms
    }
    allocation = allocate(rewards, floor)
    judged = tuple(
        replace(
            arm,
            weight=standing.weight,
            value=standing.mean if arm.counted.count else None,
            low=standing.interval.low if standing.interval is not None and arm.counted.count else None,
            high=standing.interval.high if standing.interval is not None and arm.counted.count else None,
            best=standing.probability_best,
        )
        for arm in arms
        for standing in [allocation.variants[arm.name]]
    )
    enough = min(arm.counted.count for arm in arms) >= bandit.min_samples
    surest = max(judged, key=lambda arm: arm.best or 0.0)
    won = bandit.promote_at is not None and enough and (surest.best or 0.0) >= bandit.promote_at
    return Finding(judged, surest.name if won else "", f"{bandit.reward}: {allocation.message}")


def _interval(goal: Goal, tally: Tally, alpha: float) -> Interval:
    if _proportions(goal, tally):
        return sequential.proportion_interval(round(tally.total), tally.count, alpha)
    return means.mean_interval(*_moments(tally), alpha)


def _surely_better(goal: Goal, one: Tally, other: Tally, alpha: float) -> bool:
    if _proportions(goal, one, other):
        difference = sequential.difference_interval(round(one.total), one.count, round(other.total), other.count, alpha)
    else:
        difference = means.difference_interval(*_moments(one), *_moments(other), alpha)
    return difference.low > 0 if goal.direction == "increase" else difference.high < 0


def _proportions(goal: Goal, *tallies: Tally) -> bool:
    """Whether samples are zeros and ones. Rewards are when each is its own square, once there are enough to tell."""
    return goal.metric != "feedback-reward" or all(
        tally.count >= means.START and tally.squares == tally.total for tally in tallies
    )


def _moments(tally: Tally) -> tuple[float, float, int]:
    """Mean, variance and count."""
    return _mean(tally) or 0.0, _spread(tally) / max(tally.count - 1, 1), tally.count


def _mean(tally: Tally) -> float | None:
    return tally.total / tally.count if tally.count else None


def _spread(tally: Tally) -> float:
    """The sum of squared deviations from the mean."""
    return max(tally.squares - tally.total * tally.total / tally.count, 0.0) if tally.count else 0.0


def _finite(end: float) -> float | None:
    return end if isfinite(end) else None


def _described(arms: Sequence[Arm]) -> str:
    return ", ".join(
        f"{arm.name} {arm.value:.4g} of {arm.counted.count}" if arm.value is not None else f"{arm.name} nothing yet"
        for arm in arms
    )
