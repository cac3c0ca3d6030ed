"""Checks on what was counted."""

from typing import Any

import pytest
from core_world import counters

from operators.analysis import Basis, evaluate, evidence, slower_than, worst
from operators.api import Check
from operators.observe import VersionTraffic
from operators.status import CheckResult, Verdict
from router.ir import TrafficCounters


def check(**fields: Any) -> Check:
    """A check, as a manifest has it."""
    return Check.model_validate({"name": "c", "metric": "error-rate"} | fields)


def judge(one: Check, candidate: TrafficCounters | None, stable: TrafficCounters | None = None) -> CheckResult:
    """The result of one check."""
    return evaluate([one], Basis(stable=stable, candidate=candidate))[0]


RATE = check(max=0.05)
VERSUS = check(versus="stable", margin=0.02)
LATENCY = check(metric="latency-p95", max="50ms")


@pytest.mark.parametrize(
    ("requests", "errors", "verdict"),
    [
        (0, 0, Verdict.INCONCLUSIVE),
        (20, 0, Verdict.INCONCLUSIVE),
        (200, 0, Verdict.PASS),
        (200, 10, Verdict.INCONCLUSIVE),
        (200, 30, Verdict.FAIL),
        (10, 10, Verdict.FAIL),
    ],
)
def test_an_error_rate_is_held_against_its_bound(requests: int, errors: int, verdict: Verdict) -> None:
    result = judge(RATE, counters(requests, errors))
    assert result.verdict is verdict
    assert (result.samples, result.bound) == (requests, 0.05)
    assert result.value == (errors / requests if requests else None)


@pytest.mark.parametrize(
    ("candidate", "stable", "verdict"),
    [
        (counters(5000, 50), counters(5000, 50), Verdict.PASS),
        (counters(500, 100), counters(5000, 50), Verdict.FAIL),
        (counters(100, 1), counters(5000, 50), Verdict.INCONCLUSIVE),
        (counters(5000, 0), counters(0, 0), Verdict.PASS),
        (counters(5000, 250), counters(0, 0), Verdict.INCONCLUSIVE),
        (counters(5000, 0), None, Verdict.INCONCLUSIVE),
    ],
)
def test_an_error_rate_is_compared_with_stable(
    candidate: TrafficCounters, stable: TrafficCounters | None, verdict: Verdict
) -> None:
    assert judge(VERSUS, candidate, stable).verdict is verdict


def test_a_bad_stable_version_excuses_a_candidate_that_is_no_worse() -> None:
    assert judge(VERSUS, counters(40_000, 8_000), counters(40_000, 8_000)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("requests", "milliseconds", "verdict"),
    [(500, 3, Verdict.PASS), (500, 200, Verdict.FAIL), (500, 1000, Verdict.FAIL), (20, 3, Verdict.INCONCLUSIVE)],
)
def test_a_percentile_is_judged_by_the_share_of_slower_requests(
    requests: int, milliseconds: float, verdict: Verdict
) -> None:
    result = judge(LATENCY, counters(requests, milliseconds=milliseconds))
    assert result.verdict is verdict
    assert result.bound == 0.05


def test_requests_in_the_bucket_of_the_bound_neither_fail_nor_pass() -> None:
    inside = check(metric="latency-p95", max="70ms")
    assert slower_than(counters(500, milliseconds=80), 70) == (0, 500)
    assert judge(inside, counters(500, milliseconds=80)).verdict is Verdict.INCONCLUSIVE


def test_the_edges_of_buckets_are_exact() -> None:
    assert slower_than(counters(7, milliseconds=50), 50) == (0, 0)
    assert slower_than(counters(7, milliseconds=51), 50) == (7, 7)
    assert slower_than(counters(7, milliseconds=10_000), 250) == (7, 7)
    assert slower_than(counters(7, milliseconds=10_000), 300) == (0, 7)


def test_a_pass_needs_its_samples_and_a_failure_does_not() -> None:
    patient = check(max=0.05, min_samples=1000)
    waiting = judge(patient, counters(999))
    assert waiting.verdict is Verdict.INCONCLUSIVE
    assert "1000 requests are needed" in waiting.message
    assert judge(patient, counters(1000)).verdict is Verdict.PASS
    assert judge(patient, counters(20, 20)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("one", "stable"),
    [
        (check(max=0.01), None),
        (check(max=0), None),
        (check(versus="stable", margin=0), counters(50_000)),
        (check(metric="latency-p99", max="50ms"), None),
    ],
)
def test_a_single_failure_may_be_an_accident_and_two_are_none(one: Check, stable: TrafficCounters | None) -> None:
    slow = 200 if one.quantile is not None else 3
    accident = judge(one, counters(1, 1, milliseconds=slow), stable)
    assert accident.verdict is Verdict.INCONCLUSIVE
    assert accident.low is not None
    assert accident.low > accident.bound
    assert accident.message.endswith("; a single failure may be an accident")
    certain = judge(one, counters(2, 2, milliseconds=slow), stable)
    assert certain.verdict is Verdict.FAIL
    assert "accident" not in certain.message


def test_a_single_failure_that_proves_nothing_anyway_is_not_remarked_upon() -> None:
    assert "accident" not in judge(RATE, counters(1, 1)).message
    assert "accident" not in judge(RATE, counters(500, 1)).message


def test_a_step_can_ask_for_more_samples_than_the_check() -> None:
    assert evaluate([RATE], Basis(candidate=counters(500)), min_samples=501)[0].verdict is Verdict.INCONCLUSIVE
    assert evaluate([RATE], Basis(candidate=counters(501)), min_samples=501)[0].verdict is Verdict.PASS


def test_more_confidence_needs_more_evidence() -> None:
    sure = check(max=0.05, confidence=0.9999)
    assert judge(RATE, counters(200)).verdict is Verdict.PASS
    assert judge(sure, counters(200)).verdict is Verdict.INCONCLUSIVE


def test_no_reading_is_inconclusive_and_says_so() -> None:
    result = judge(RATE, None)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.message == "error-rate: there is no current reading of the traffic"


def test_a_message_names_metric_value_bound_samples_and_interval() -> None:
    assert judge(RATE, counters(200, 30)).message == (
        "error-rate is 15 %, 5 % allowed: 200 requests, 95 % interval 7.76 % to 24.9 %"
    )
    assert "stable's 1 %, 2 % more allowed" in judge(VERSUS, counters(500, 100), counters(5000, 50)).message
    assert "latency-p95 at most 50ms means 5 % slower requests allowed, 100 % were" in (
        judge(LATENCY, counters(500, milliseconds=200)).message
    )


QUANTILE = check(metric="latency-p95", versus="stable", margin="25ms")


@pytest.mark.parametrize(
    ("candidate", "stable", "verdict"),
    [
        (counters(2000, milliseconds=8), counters(2000, milliseconds=8), Verdict.PASS),
        (counters(2000, milliseconds=200), counters(2000, milliseconds=8), Verdict.FAIL),
        (counters(2000, milliseconds=40), counters(2000, milliseconds=8), Verdict.INCONCLUSIVE),
        (counters(1, milliseconds=200), counters(2000, milliseconds=8), Verdict.INCONCLUSIVE),
        (counters(2000, milliseconds=200), counters(20, milliseconds=8), Verdict.INCONCLUSIVE),
        (counters(2000, milliseconds=10_000), counters(2000, milliseconds=10_000), Verdict.INCONCLUSIVE),
        (counters(2000, milliseconds=8), TrafficCounters(), Verdict.PASS),
        (counters(2000, milliseconds=200), TrafficCounters(), Verdict.INCONCLUSIVE),
        (TrafficCounters(), TrafficCounters(), Verdict.INCONCLUSIVE),
        (counters(2000, milliseconds=200), None, Verdict.INCONCLUSIVE),
        (None, counters(2000, milliseconds=8), Verdict.INCONCLUSIVE),
    ],
)
def test_a_percentile_is_compared_with_stables(
    candidate: TrafficCounters | None, stable: TrafficCounters | None, verdict: Verdict
) -> None:
    assert judge(QUANTILE, candidate, stable).verdict is verdict


def test_a_compared_percentile_names_both_and_what_is_known_of_the_difference() -> None:
    slow = judge(QUANTILE, counters(2000, milliseconds=200), counters(1000, milliseconds=8))
    assert slow.message == (
        "latency-p95 is 242.5 ms, stable's 9.75 ms, 25 ms more allowed: 2000 requests, 95 % interval 90 ms to 245 ms "
        "for the difference, stable answered 1000"
    )
    assert (slow.value, slow.bound, slow.low, slow.high) == (232.75, 25, 90, 245)
    open_ended = judge(QUANTILE, counters(2000, milliseconds=10_000), counters(1000, milliseconds=8))
    assert (open_ended.verdict, open_ended.low, open_ended.high) == (Verdict.FAIL, 240, None)
    assert "95 % interval 240 ms to anything for the difference" in open_ended.message
    nothing = judge(QUANTILE, TrafficCounters(), TrafficCounters())
    assert "latency-p95 is unknown, stable's unknown" in nothing.message
    assert "0 requests, too few for an interval" in nothing.message


def test_nothing_passes_without_a_single_sample() -> None:
    assert judge(check(max=1), counters(0)).verdict is Verdict.INCONCLUSIVE
    assert judge(check(max=1), counters(1)).verdict is Verdict.PASS


def test_a_dry_run_is_evaluated_and_has_no_say() -> None:
    tried = judge(check(max=0.05, dry_run=True), counters(99, 99))
    assert (tried.verdict, tried.dry_run, tried.gates) == (Verdict.FAIL, True, False)
    assert worst([tried]) is None
    assert worst([tried, judge(RATE, counters(999))]) is Verdict.PASS


def test_mirrored_requests_count_until_there_are_live_ones() -> None:
    traffic = VersionTraffic(live=counters(1), mirrored=counters(2))
    assert evidence(traffic, live=False) == counters(2)
    assert evidence(traffic, live=True) == counters(1)
    assert evidence(None, live=True) is None


def test_the_worst_verdict_counts() -> None:
    failing, passing, open_ = judge(RATE, counters(9, 9)), judge(RATE, counters(999)), judge(RATE, counters(0))
    assert worst([]) is None
    assert worst([passing, passing]) is Verdict.PASS
    assert worst([passing, open_]) is Verdict.INCONCLUSIVE
    assert worst([passing, open_, failing]) is Verdict.FAIL
