"""What the monitor knows of answers: agreement in the shadow, labels, rewards, errors.

Labels and rewards count for the answer that the user got, so they come late and for a part of the answers only: checks
on them rest on whoever speaks up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.evidence import ErrorTally, Evidence
from monitor.means import START, mean_interval
from monitor.means import difference_interval as mean_difference
from monitor.sequential import Interval, difference_interval, proportion_interval
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.analysis.basis import Basis
from operators.analysis.findings import Sample, found, missing, with_proof
from operators.api import Check
from operators.status import CheckResult

_NOTHING: Final = VersionTally(0, 0, RewardTally(0, 0.0, 0.0, True), LabelTally(0, 0), ())


def judge_agreement(check: Check, evidence: Evidence) -> CheckResult:
    """The share of copies that the candidate answers as the stable version answered the request."""
    tally = next((one for one in evidence.pairs if one.tolerance == check.allowed_difference), None)
    if tally is None:
        return missing(check, "the monitor has compared no answers yet")
    share = tally.agreeing / tally.pairs if tally.pairs else None
    detail = f" ({tally.pairs - tally.agreeing} of {tally.pairs} disagree)" if tally.pairs else ""
    interval = _proportions(check, [(tally.agreeing, tally.pairs)])
    result = found(check, "pairs of answers", interval, [Sample(share, tally.pairs)], detail)
    return with_proof(result, tally.pairs - tally.agreeing)


def judge_labels(check: Check, basis: Basis, evidence: Evidence) -> CheckResult:
    """The share of answers that agree with their label."""
    versions = (basis.candidate_id,) if check.versus is None else (basis.candidate_id, basis.stable_id)
    counted = [_of(evidence, version).labels for version in versions]
    shares = [Sample(one.correct / one.count if one.count else None, one.count) for one in counted]
    result = found(check, "labels", _proportions(check, [(one.correct, one.count) for one in counted]), shares)
    return with_proof(result, counted[0].count - counted[0].correct)


def judge_rewards(check: Check, basis: Basis, evidence: Evidence) -> CheckResult:
    """The mean reward. Rewards that are all 0 or 1 are a proportion, which has an exact sequence.

    That they are is known from the rewards so far alone, so not before there are as many as any mean needs.
    """
    mine, base = (_of(evidence, version).rewards for version in (basis.candidate_id, basis.stable_id))
    counted = (mine,) if check.versus is None else (mine, base)
    means = [_Mean(tally.count, tally.sum, tally.squares) for tally in counted]
    if not all(tally.zero_one and tally.count >= START for tally in counted):
        return _judge_means(check, "rewards", means)
    ones = [(round(tally.sum), tally.count) for tally in counted]
    result = found(check, "rewards", _proportions(check, ones), [mean.sample for mean in means])
    return with_proof(result, ones[0][1] - ones[0][0])


def judge_errors(check: Check, basis: Basis, evidence: Evidence) -> CheckResult:
    """The mean absolute error of answers that are numbers."""
    versions = (basis.candidate_id,) if check.versus is None else (basis.candidate_id, basis.stable_id)
    counted = [evidence.errors.get(version, ErrorTally()) for version in versions]
    return _judge_means(check, "labels", [_Mean(one.count, one.absolute, one.squares) for one in counted])


@dataclass(frozen=True, slots=True)
class _Mean:
    """The mean of so many values with this sum and sum of squares."""

    count: int
    total: float
    squares: float

    @property
    def sample(self) -> Sample:
        return Sample(self.total / self.count if self.count else None, self.count)

    @property
    def moments(self) -> tuple[float, float, int]:
        """Mean, unbiased variance, and how many values."""
        if self.count < 2:
            return self.total, 0.0, self.count
        spread = max(self.squares - self.total * self.total / self.count, 0.0)
        return self.total / self.count, spread / (self.count - 1), self.count


def _judge_means(check: Check, noun: str, means: Sequence[_Mean]) -> CheckResult:
    """The candidate's mean, against the stable version's if there are two."""
    alpha = 1 - check.confidence
    moments = [mean.moments for mean in means]
    interval = (
        mean_interval(*moments[0], alpha) if len(moments) == 1 else mean_difference(*moments[0], *moments[1], alpha)
    )
    return found(check, noun, interval, [mean.sample for mean in means])


def _proportions(check: Check, counted: Sequence[tuple[int, int]]) -> Interval:
    """The interval for the candidate's proportion, or its difference from the stable version's if there are two."""
    alpha = 1 - check.confidence
    if len(counted) == 1:
        return proportion_interval(*counted[0], alpha)
    return difference_interval(*counted[0], *counted[1], alpha)


def _of(evidence: Evidence, version: str) -> VersionTally:
    return evidence.versions.get(version, _NOTHING)
