"""Latency percentiles against the stable version's."""

from itertools import accumulate
from math import inf

from monitor.quantiles import quantile_difference_interval
from monitor.sequential import Interval
from operators.analysis.basis import Basis
from operators.analysis.findings import NO_TRAFFIC, Sample, found, missing
from operators.api import Check
from operators.status import CheckResult
from router.ir import TrafficCounters


def judge_quantile(check: Check, basis: Basis) -> CheckResult:
    """How much more a percentile is than the stable version's, in milliseconds."""
    candidate, stable, q = basis.candidate, basis.stable, check.quantile
    if candidate is None or stable is None or q is None:
        return missing(check, NO_TRAFFIC)
    bounds = candidate.bucket_bounds or stable.bucket_bounds
    counts, base_counts = (one.bucket_counts or (0,) * (len(bounds) + 1) for one in (candidate, stable))
    interval = (
        quantile_difference_interval(counts, base_counts, bounds, q, 1 - check.confidence)
        if bounds
        else Interval(-inf, inf)
    )
    return found(check, "requests", interval, [_estimate(candidate, q), _estimate(stable, q)])


def _estimate(traffic: TrafficCounters, q: float) -> Sample:
    """The quantile if requests were spread evenly within their bucket; beyond the last bound, that bound."""
    total, edges = sum(traffic.bucket_counts), (0.0, *traffic.bucket_bounds)
    for index, up_to in enumerate(accumulate(traffic.bucket_counts[:-1])):
        if up_to >= q * total > 0:
            rest = (up_to - q * total) / traffic.bucket_counts[index]
            return Sample(edges[index + 1] - rest * (edges[index + 1] - edges[index]), total)
    return Sample(edges[-1] if total else None, total)
