"""What the traffic says about a candidate: checks, evidence, verdicts. Pure.

The intervals are confidence sequences (`monitor.sequential`), so evaluating at every interval and acting on the first
clear answer is sound: a good candidate fails a check with probability 1 - confidence at most, over a whole evidence
window however often it is looked at. A check therefore may fail before `minSamples` are reached; it passes only after.

A latency percentile is judged as a proportion: pNN is at most `max` exactly when at most 1 - NN/100 of the requests are
slower than `max`. Of a histogram bucket that `max` falls into it is unknown which requests were slower: none of them
count for a failure, all of them against a pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from monitor.sequential import Interval, difference_interval, proportion_interval
from operators.api import Check
from operators.observe import VersionTraffic
from operators.status import CheckResult, Verdict
from router.ir import TrafficCounters

_NOTHING: Final = TrafficCounters()


def evidence(traffic: VersionTraffic | None, live: bool) -> TrafficCounters | None:
    """The requests that a candidate is judged by.

    Live ones as soon as it gets any share of them, as they are what users see; mirrored copies, which are shed under
    load and never retried, only before that.
    """
    if traffic is None:
        return None
    return traffic.live if live else traffic.mirrored


def evaluate(
    checks: Sequence[Check],
    stable: TrafficCounters | None,
    candidate: TrafficCounters | None,
    min_samples: int = 0,
) -> tuple[CheckResult, ...]:
    """Judge the candidate's requests by every check. None stands for requests that could not be counted.

    `min_samples` comes on top of what each check asks for. For latency checks `value`, `low` and `high` are shares of
    requests slower than `max`, and `bound` is the share that may be.
    """
    return tuple(_evaluate(check, stable, candidate, max(min_samples, check.min_samples)) for check in checks)


def worst(results: Sequence[CheckResult]) -> Verdict | None:
    """Fail if any check fails, else Inconclusive if any is, else Pass; None when there are no checks."""
    verdicts = {result.verdict for result in results}
    return next((one for one in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if one in verdicts), None)


def _evaluate(
    check: Check, stable: TrafficCounters | None, candidate: TrafficCounters | None, needed: int
) -> CheckResult:
    if candidate is None or (check.versus is not None and stable is None):
        message = f"{check.metric}: there is no current reading of the traffic"
        return CheckResult(check.name, Verdict.INCONCLUSIVE, None, _allowed(check), None, None, 0, message)
    if check.quantile is not None:
        result = _latency(check, check.quantile, candidate)
    elif check.versus is not None:
        result = _error_rate_versus(check, stable or _NOTHING, candidate)
    else:
        result = _error_rate(check, candidate)
    if result.verdict is Verdict.PASS and result.samples < needed:
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=f"{result.message}; {needed} requests are needed")
    return result


def _error_rate(check: Check, candidate: TrafficCounters) -> CheckResult:
    interval = proportion_interval(candidate.errors, candidate.requests, 1 - check.confidence)
    message = f"error-rate is {_rate(candidate)}, {_percent(check.bound)} allowed: {_basis(check, candidate, interval)}"
    return CheckResult(
        name=check.name,
        verdict=_verdict(check, interval, interval),
        value=_ratio(candidate),
        bound=_allowed(check),
        low=interval.low,
        high=interval.high,
        samples=candidate.requests,
        message=message,
    )


def _error_rate_versus(check: Check, stable: TrafficCounters, candidate: TrafficCounters) -> CheckResult:
    interval = difference_interval(
        candidate.errors, candidate.requests, stable.errors, stable.requests, 1 - check.confidence
    )
    value, base = _ratio(candidate), _ratio(stable)
    difference = None if value is None or base is None else value - base
    message = (
        f"error-rate is {_rate(candidate)}, stable's {_rate(stable)}, {_percent(check.bound)} more allowed: "
        f"{_basis(check, candidate, interval)} for the difference, stable answered {stable.requests}"
    )
    return CheckResult(
        name=check.name,
        verdict=_verdict(check, interval, interval),
        value=difference,
        bound=_allowed(check),
        low=interval.low,
        high=interval.high,
        samples=candidate.requests,
        message=message,
    )


def _latency(check: Check, quantile: float, candidate: TrafficCounters) -> CheckResult:
    surely, possibly = slower_than(candidate, check.bound)
    samples = sum(candidate.bucket_counts)
    alpha = 1 - check.confidence
    failing, passing = proportion_interval(surely, samples, alpha), proportion_interval(possibly, samples, alpha)
    value = possibly / samples if samples else None
    message = (
        f"{check.metric} at most {check.max} means {_percent(1 - quantile)} slower requests allowed, "
        f"{'none seen' if value is None else _percent(value)} were: "
        f"{_basis(check, replace(candidate, requests=samples), Interval(failing.low, passing.high))}"
    )
    return CheckResult(
        name=check.name,
        verdict=_verdict(check, failing, passing),
        value=value,
        bound=_allowed(check),
        low=failing.low,
        high=passing.high,
        samples=samples,
        message=message,
    )


def slower_than(traffic: TrafficCounters, milliseconds: float) -> tuple[int, int]:
    """How many requests surely took longer, and how many possibly did, as far as the histogram can tell."""
    edges = (0.0, *traffic.bucket_bounds, float("inf"))
    buckets = list(zip(pairwise(edges), traffic.bucket_counts, strict=False))
    surely = sum(count for (above, _), count in buckets if above >= milliseconds)
    possibly = sum(count for (_, most), count in buckets if most > milliseconds)
    return surely, possibly


def _verdict(check: Check, failing: Interval, passing: Interval) -> Verdict:
    """Fail when the whole of `failing` is above what is allowed, Pass when the whole of `passing` is not."""
    if failing.low > _allowed(check):
        return Verdict.FAIL
    return Verdict.PASS if passing.high <= _allowed(check) else Verdict.INCONCLUSIVE


def _allowed(check: Check) -> float:
    return check.bound if check.quantile is None else round(1 - check.quantile, 4)


def _ratio(traffic: TrafficCounters) -> float | None:
    return traffic.errors / traffic.requests if traffic.requests else None


def _rate(traffic: TrafficCounters) -> str:
    ratio = _ratio(traffic)
    return "unknown" if ratio is None else _percent(ratio)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _basis(check: Check, candidate: TrafficCounters, interval: Interval) -> str:
    return (
        f"{candidate.requests} requests, {check.confidence * 100:g} % interval "
        f"{_percent(interval.low)} to {_percent(interval.high)}"
    )
