"""From an estimate and its interval to a verdict and a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final, Literal

from monitor.sequential import Interval
from operators.api import METRICS, Check
from operators.api.checks import Metric
from operators.status import CheckResult, Verdict

FEWEST_FAILURES: Final = 2
"""Failures of the candidate without which no proportion fails."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An estimate, None without any samples, and how many there are."""

    value: float | None
    count: int


def found(check: Check, noun: str, interval: Interval, samples: Sequence[Sample], detail: str = "") -> CheckResult:
    """The result of a metric with this interval.

    It belongs to the candidate's sample or, where the stable version's comes after it, to the difference between them.
    `noun` says what is sampled; `detail` is a remark about the value.
    """
    sample, *rest = samples
    base = rest[0] if rest else None
    metric, allowed = metric_of(check), allowed_by(check)
    unit, less_is_good = metric.unit, metric.bound == "max"
    value = f"{check.metric} is {shown(unit, sample.value)}{detail}"
    basis = f"{sample.count} {noun}, {interval_in_words(check, unit, interval)}"
    if base is None:
        estimate = sample.value
        asked = f"{shown(unit, check.bound)} {'allowed' if less_is_good else 'needed'}"
        message = f"{value}, {asked}: {basis}"
    else:
        estimate = None if sample.value is None or base.value is None else sample.value - base.value
        asked = f"{shown(unit, check.bound)} {'more' if less_is_good else 'less'} allowed"
        message = f"{value}, stable's {shown(unit, base.value)}, {asked}: {basis} for the difference, "
        message += f"stable answered {base.count}" if noun == "requests" else f"stable has {base.count}"
    if less_is_good:
        failed, passed = interval.low > allowed, interval.high <= allowed
    else:
        failed, passed = interval.high < allowed, interval.low >= allowed
    result = CheckResult(
        name=check.name,
        verdict=Verdict.FAIL if failed else Verdict.PASS if passed and sample.count else Verdict.INCONCLUSIVE,
        value=finite(estimate),
        bound=allowed,
        low=finite(interval.low),
        high=finite(interval.high),
        samples=sample.count,
        message=message,
    )
    return with_enough(check, result, noun)


def missing(check: Check, why: str) -> CheckResult:
    """The result of a check about which nothing is known."""
    message = f"{check.subject}: {why}"
    return CheckResult(check.name, Verdict.INCONCLUSIVE, None, allowed_by(check), None, None, 0, message)


def with_enough(check: Check, result: CheckResult, noun: str) -> CheckResult:
    """The result, which does not pass without the samples that the check asks for."""
    if result.verdict is Verdict.PASS and result.samples < check.min_samples:
        message = f"{result.message}; {check.min_samples} {noun} are needed"
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=message)
    return result


def with_proof(result: CheckResult, failures: int) -> CheckResult:
    """The result of a proportion of which so many were failures: a single one is an accident and does not fail it.

    An interval may say otherwise, since the very first request decides against a bound below 2.5 % at 95 % confidence.
    """
    if result.verdict is Verdict.FAIL and failures < FEWEST_FAILURES:
        message = f"{result.message}; a single failure may be an accident"
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=message)
    return result


def metric_of(check: Check) -> Metric:
    """What is known about the check's metric. Raises `LookupError` for a check without one."""
    if check.metric is None:
        raise LookupError(f"check {check.name} is about no metric")
    return METRICS[check.metric]


def allowed_by(check: Check) -> float:
    """What the value is held against, or the difference from stable: how much more or less it may be."""
    if check.quantile is not None and check.versus is None:
        return round(1 - check.quantile, 4)
    downwards = check.versus is not None and metric_of(check).bound == "min"
    return -check.bound if downwards else check.bound


def interval_in_words(check: Check, unit: Literal["share", "duration", "number"], interval: Interval) -> str:
    """The interval with its confidence."""
    if not isfinite(interval.low) and not isfinite(interval.high):
        return "too few for an interval"
    ends = [shown(unit, end) if isfinite(end) else "anything" for end in (interval.low, interval.high)]
    return f"{check.confidence * 100:g} % interval {' to '.join(ends)}"


def shown(unit: Literal["share", "duration", "number"], value: float | None) -> str:
    """A value as people read it; durations are in milliseconds."""
    if value is None:
        return "unknown"
    return {"share": f"{value * 100:.3g} %", "duration": f"{value:.4g} ms", "number": f"{value:.4g}"}[unit]


def finite(value: float | None) -> float | None:
    """The number, None where it is none that JSON knows."""
    return value if value is not None and isfinite(value) else None


NO_TRAFFIC: Final = "there is no current reading of the traffic"
