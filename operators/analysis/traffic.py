"""What the routers count: errors, and latencies against a fixed bound.

A latency percentile is judged as a proportion: pNN is at most `max` exactly when at most 1 - NN/100 of the requests are
slower than `max`. Of a histogram bucket that `max` falls into it is unknown which requests were slower: none of them
count for a failure, all of them against a pass.
"""

from itertools import pairwise

from monitor.sequential import Interval, difference_interval, proportion_interval
from operators.analysis.basis import Basis
from operators.analysis.findings import (
    NO_TRAFFIC,
    Sample,
    allowed_by,
    found,
    interval_in_words,
    missing,
    shown,
    with_enough,
    with_proof,
)
from operators.api import Check
from operators.status import CheckResult, Verdict
from router.ir import TrafficCounters


def judge_error_rate(check: Check, basis: Basis) -> CheckResult:
    """The share of answers of 500 and above, against a bound or the stable version's."""
    candidate, stable, alpha = basis.candidate, basis.stable, 1 - check.confidence
    if candidate is None or (check.versus is not None and stable is None):
        return missing(check, NO_TRAFFIC)
    if check.versus is None or stable is None:
        interval = proportion_interval(candidate.errors, candidate.requests, alpha)
        return with_proof(found(check, "requests", interval, [_errors(candidate)]), candidate.errors)
    interval = difference_interval(candidate.errors, candidate.requests, stable.errors, stable.requests, alpha)
    return with_proof(found(check, "requests", interval, [_errors(candidate), _errors(stable)]), candidate.errors)


def judge_latency(check: Check, basis: Basis) -> CheckResult:
    """A percentile against a bound. `value`, `low` and `high` are shares of requests slower than it."""
    if basis.candidate is None:
        return missing(check, NO_TRAFFIC)
    surely, possibly = slower_than(basis.candidate, check.bound)
    samples, alpha, allowed = sum(basis.candidate.bucket_counts), 1 - check.confidence, allowed_by(check)
    failing, passing = proportion_interval(surely, samples, alpha), proportion_interval(possibly, samples, alpha)
    value = possibly / samples if samples else None
    result = CheckResult(
        name=check.name,
        verdict=(
            Verdict.FAIL if failing.low > allowed else Verdict.PASS if passing.high <= allowed else Verdict.INCONCLUSIVE
        ),
        value=value,
        bound=allowed,
        low=failing.low,
        high=passing.high,
        samples=samples,
        message=(
            f"{check.metric} at most {check.max} means {shown('share', allowed)} slower requests allowed, "
            f"{'none seen' if value is None else shown('share', value)} were: {samples} requests, "
            f"{interval_in_words(check, 'share', Interval(failing.low, passing.high))}"
        ),
    )
    return with_proof(with_enough(check, result, "requests"), surely)


def slower_than(traffic: TrafficCounters, milliseconds: float) -> tuple[int, int]:
    """How many requests surely took longer, and how many possibly did, as far as the histogram can tell."""
    edges = (0.0, *traffic.bucket_bounds, float("inf"))
    buckets = list(zip(pairwise(edges), traffic.bucket_counts, strict=False))
    surely = sum(count for (above, _), count in buckets if above >= milliseconds)
    possibly = sum(count for (_, most), count in buckets if most > milliseconds)
    return surely, possibly


def _errors(traffic: TrafficCounters) -> Sample:
    return Sample(traffic.errors / traffic.requests if traffic.requests else None, traffic.requests)
