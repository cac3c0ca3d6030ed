"""What the routers count for requests to a version, and what people say about its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Final

from operators.observe import VersionFeedback
from operators.simulate.behaviour import Behaviour, Reward
from operators.simulate.draws import binomial
from operators.status import Tally
from router.ir import TrafficCounters

NOTHING: Final = TrafficCounters()
Coming = tuple[float, str, VersionFeedback]
"""When something is known about a version, and what that is."""


def answered(
    dice: Random, requests: int, behaviour: Behaviour, bounds: Sequence[float], timeout: float
) -> TrafficCounters:
    """What Envoy counts for so many requests; `bounds` of the histogram and `timeout` in milliseconds.

    A request that takes longer than the timeout is answered 504 and counts as slower than anything.
    """
    latency = behaviour.latency
    in_time = latency.within(timeout)
    late = binomial(dice, requests, 1 - in_time)
    errors = late + binomial(dice, requests - late, behaviour.error_rate)
    counts, left = [], requests - late
    edges = [0.0, *(min(latency.within(bound), in_time) for bound in bounds)]
    for below, upto in pairwise(edges):
        counts.append(binomial(dice, left, (upto - below) / (in_time - below) if in_time > below else 0.0))
        left -= counts[-1]
    return TrafficCounters(requests, errors, tuple(bounds), (*counts, left + late))


def refused(requests: int, bounds: Sequence[float]) -> TrafficCounters:
    """What Envoy counts for requests that no replica was there for: 503, without a latency."""
    return TrafficCounters(requests, requests, tuple(bounds), (0,) * (len(bounds) + 1))


def together(one: TrafficCounters, other: TrafficCounters) -> TrafficCounters:
    """Both counts."""
    counts = one.bucket_counts or (0,) * len(other.bucket_counts)
    return TrafficCounters(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        bucket_bounds=other.bucket_bounds,
        bucket_counts=tuple(a + b for a, b in zip(counts, other.bucket_counts, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What people say about the answers since some time: what is known by now, and what is still to come.

    The first to come is the first of `coming`.
    """

    known: Mapping[str, VersionFeedback] = field(default_factory=dict)
    coming: tuple[Coming, ...] = ()

    def and_then(self, coming: Sequence[Coming], now: float) -> "Said":
        """With more to come, and with what is known at a time."""
        everything = (*self.coming, *coming)
        due = [one for one in everything if one[0] <= now]
        if not due:
            return replace(self, coming=everything)
        known = dict(self.known)
        for _, version, new in due:
            old = known.get(version, VersionFeedback())
            known[version] = VersionFeedback(old.rewards + new.rewards, old.labels + new.labels)
        return Said(known, everything[len(due) :])


def said_about(dice: Random, answers: int, behaviour: Behaviour, share: float) -> VersionFeedback:
    """What people say about a share of so many answers."""
    number = binomial(dice, answers, share)
    right = float(binomial(dice, number, behaviour.accuracy))
    return VersionFeedback(_rewards(dice, number, behaviour.reward), Tally(number, right, right))


def _rewards(dice: Random, number: int, reward: Reward) -> Tally:
    """The sums of so many rewards, drawn at once.

    The mean of normal samples is normal, and independent of it their squared deviations are chi-squared with one degree
    of freedom less (Cochran's theorem).
    """
    if reward.deviation is None:
        ones = float(binomial(dice, number, reward.mean))
        return Tally(number, ones, ones)
    if not number:
        return Tally()
    total = dice.gauss(number * reward.mean, number**0.5 * reward.deviation)
    spread = reward.deviation**2 * (2 * dice.gammavariate((number - 1) / 2, 1.0) if number > 1 else 0.0)
    return Tally(number, total, total**2 / number + spread)
