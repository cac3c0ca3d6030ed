"""What the monitor would know of answers, and others of the candidate, while checks ask for it.

Agreement in the shadow, labels and rewards are drawn. The rest is not simulated and taken as good: no feature and no
answer drifts, answers that are numbers are exact, and every query finds a number that is allowed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from monitor.evidence import DriftTally, ErrorTally, Evidence, Move, PairTally
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.api import Check, ModelRollout
from operators.observe import Measured, VersionFeedback
from operators.simulate.answers import Said
from operators.simulate.draws import binomial

_TAKEN_AS_GOOD: Final = ("feedback-error", "feature-drift", "prediction-drift", "prometheus", "web")


@dataclass(frozen=True, slots=True)
class Compared:
    """What happened since the traffic was divided as it is.

    `answers` of the candidate, `pairs` of copies with the requests that they copy and how many of these agree, and what
    people said about live answers.
    """

    answers: int = 0
    pairs: int = 0
    agreeing: int = 0
    said: Said = field(default_factory=Said)

    def copied(self, dice: Random, answers: int, agreement: float) -> "Compared":
        """With so many copies that the candidate answered."""
        return replace(
            self,
            answers=self.answers + answers,
            pairs=self.pairs + answers,
            agreeing=self.agreeing + binomial(dice, answers, agreement),
        )

    def evidence(self, checks: Sequence[Check]) -> Evidence:
        """As the monitor tells it."""
        tolerances = sorted({check.allowed_difference for check in checks if check.metric == "shadow-agreement"})
        known = self.said.known
        still = DriftTally("records", self.answers, self.answers, (Move("every column", self.answers, 0.0, 1.0),))
        return Evidence(
            versions={version: _tally(said) for version, said in known.items()},
            errors={version: ErrorTally(said.labels.count) for version, said in known.items()},
            pairs=tuple(PairTally(tolerance, self.pairs, self.agreeing) for tolerance in tolerances),
            features=still,
            predictions=still,
        )


def asks_the_monitor(rollout: ModelRollout) -> bool:
    """Whether a check on predictions needs to know what happens now."""
    asked = any(check.predicted for check in rollout.spec.analysis.checks)
    return asked and rollout.status.candidate is not None and rollout.status.evidence_since is not None


def measured(rollout: ModelRollout) -> Mapping[str, Measured]:
    """What others say: a number that is allowed."""
    checks = (check for check in rollout.spec.analysis.checks if check.measured)
    return {check.name: Measured((check.bound if check.min is None else check.min,)) for check in checks}


def taken_as_good(rollout: ModelRollout) -> Iterator[str]:
    """The checks that are about what is not simulated."""
    for check in rollout.spec.analysis.checks:
        if check.subject in _TAKEN_AS_GOOD:
            yield f"{check.name} ({check.subject})"


def _tally(said: VersionFeedback) -> VersionTally:
    rewards, labels = said.rewards, said.labels
    ones = rewards.total == rewards.squares
    return VersionTally(
        requests=0,
        errors=0,
        rewards=RewardTally(rewards.count, rewards.total, rewards.squares, ones),
        labels=LabelTally(labels.count, round(labels.total)),
        by_share=(),
    )
