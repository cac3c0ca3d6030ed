"""Checks on what the monitor knows of answers."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from core_world import counters

from monitor.evidence import DriftTally, ErrorTally, Evidence, Move, PairTally
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.analysis import Basis, evaluate
from operators.api import METRICS, PREDICTIONS, Check
from operators.status import CheckResult, Verdict

STABLE, CANDIDATE = "aaaaaaaaaa", "bbbbbbbbbb"
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
AGREEMENT = {"metric": "shadow-agreement", "min": 0.95}
ACCURACY = {"metric": "feedback-accuracy", "min": 0.8}
ACCURACY_VERSUS = {"metric": "feedback-accuracy", "versus": "stable", "margin": 0.05}
REWARD = {"metric": "feedback-reward", "min": 2.0}
REWARD_VERSUS = {"metric": "feedback-reward", "versus": "stable", "margin": 0.5}
ERROR = {"metric": "feedback-error", "max": 3.0}
ERROR_VERSUS = {"metric": "feedback-error", "versus": "stable", "margin": 0.5}
FEATURES = {"metric": "feature-drift", "max": 0.2}
PREDICTED = {"metric": "prediction-drift", "max": 0.2}


def check(fields: dict[str, Any], **more: Any) -> Check:
    """A check, as a manifest has it."""
    return Check.model_validate({"name": "c"} | fields | more)


def judge(one: Check, evidence: Evidence | None, **basis: Any) -> CheckResult:
    """The result of one check while copies and requests reach the candidate."""
    known = Basis(STABLE, CANDIDATE, candidate=counters(10_000), evidence=evidence, live=True, copies=True)
    return evaluate([one], replace(known, **basis))[0]


def rewards(count: int, mean: float, deviation: float = 1.0) -> RewardTally:
    """So many rewards with this mean and standard deviation."""
    squares = count * mean**2 + max(count - 1, 0) * deviation**2
    return RewardTally(count, count * mean, squares, zero_one=False)


NOTHING = rewards(0, 0.0)


def version(labels: tuple[int, int] = (0, 0), rewarded: RewardTally = NOTHING) -> VersionTally:
    """What is known of one version."""
    return VersionTally(10_000, 0, rewarded, LabelTally(*labels), ())


def labelled(candidate: tuple[int, int], stable: tuple[int, int] = (0, 0)) -> Evidence:
    return Evidence({CANDIDATE: version(candidate), STABLE: version(stable)})


def rewarded(candidate: RewardTally, stable: RewardTally = NOTHING) -> Evidence:
    return Evidence({CANDIDATE: version(rewarded=candidate), STABLE: version(rewarded=stable)})


def wrong(candidate: RewardTally, stable: RewardTally = NOTHING) -> Evidence:
    """Answers that are numbers, with absolute errors of these sums."""
    tallies = {CANDIDATE: candidate, STABLE: stable}
    return Evidence(errors={name: ErrorTally(one.count, one.sum, one.squares) for name, one in tallies.items()})


def paired(pairs: int, agreeing: int, tolerance: float = 1e-6) -> Evidence:
    return Evidence(pairs=(PairTally(0.5, 9, 0), PairTally(tolerance, pairs, agreeing)))


def drift(moves: Sequence[tuple[str, float | None, float]], samples: int = 500, reference: str = "file") -> DriftTally:
    return DriftTally(reference, 1000, samples, tuple(Move(name, samples, psi, e) for name, psi, e in moves))


@pytest.mark.parametrize(
    ("fields", "evidence", "verdict"),
    [
        (AGREEMENT, paired(2000, 1990), PASS),
        (AGREEMENT, paired(200, 150), FAIL),
        (AGREEMENT, paired(200, 190), OPEN),
        (AGREEMENT, paired(0, 0), OPEN),
        (AGREEMENT | {"min": 0.0}, paired(0, 0), OPEN),
        (AGREEMENT | {"tolerance": 0.5}, paired(2000, 1990), FAIL),
        (AGREEMENT | {"tolerance": 0.01}, paired(2000, 1990), OPEN),
        (ACCURACY, labelled((1000, 900)), PASS),
        (ACCURACY, labelled((200, 100)), FAIL),
        (ACCURACY, labelled((100, 82)), OPEN),
        (ACCURACY, labelled((0, 0)), OPEN),
        (ACCURACY_VERSUS, labelled((5000, 4500), (5000, 4500)), PASS),
        (ACCURACY_VERSUS, labelled((1000, 700), (5000, 4500)), FAIL),
        (ACCURACY_VERSUS, labelled((50, 45), (5000, 4500)), OPEN),
        (ACCURACY_VERSUS, labelled((1000, 700), (10, 9)), OPEN),
        (REWARD, rewarded(rewards(2000, 2.5)), PASS),
        (REWARD, rewarded(rewards(2000, 1.5)), FAIL),
        (REWARD, rewarded(rewards(2000, 2.0)), OPEN),
        (REWARD, rewarded(rewards(99, 9.0)), OPEN),
        (REWARD, rewarded(rewards(99, 0.0)), OPEN),
        (REWARD_VERSUS, rewarded(rewards(2000, 2.0), rewards(2000, 2.0)), PASS),
        (REWARD_VERSUS, rewarded(rewards(2000, 1.0), rewards(2000, 2.0)), FAIL),
        (REWARD_VERSUS, rewarded(rewards(2000, 1.5), rewards(2000, 2.0)), OPEN),
        (REWARD_VERSUS, rewarded(rewards(2000, 1.0), rewards(50, 2.0)), OPEN),
        (ERROR, wrong(rewards(2000, 2.5)), PASS),
        (ERROR, wrong(rewards(2000, 3.5)), FAIL),
        (ERROR, wrong(rewards(2000, 3.0)), OPEN),
        (ERROR, wrong(rewards(1, 9.0)), OPEN),
        (ERROR_VERSUS, wrong(rewards(2000, 2.0), rewards(2000, 2.0)), PASS),
        (ERROR_VERSUS, wrong(rewards(2000, 3.0), rewards(2000, 2.0)), FAIL),
        (ERROR_VERSUS, wrong(rewards(2000, 2.5), rewards(2000, 2.0)), OPEN),
        (ERROR_VERSUS, wrong(rewards(2000, 3.0)), OPEN),
    ],
)
def test_answers_are_judged_by_what_the_monitor_counts(
    fields: dict[str, Any], evidence: Evidence, verdict: Verdict
) -> None:
    assert judge(check(fields), evidence).verdict is verdict


def zero_one(count: int, ones: int) -> RewardTally:
    return RewardTally(count, float(ones), float(ones), zero_one=True)


@pytest.mark.parametrize(
    ("fields", "one", "two"),
    [
        (AGREEMENT | {"min": 0.99}, paired(1, 0), paired(2, 0)),
        (ACCURACY | {"min": 0.99}, labelled((1, 0)), labelled((2, 0))),
        (ACCURACY_VERSUS | {"margin": 0}, labelled((1, 0), (50_000, 50_000)), labelled((2, 0), (50_000, 50_000))),
        (REWARD | {"min": 1.0}, rewarded(zero_one(100, 99)), rewarded(zero_one(100, 98))),
    ],
)
def test_a_single_answer_that_is_bad_may_be_an_accident_and_two_are_none(
    fields: dict[str, Any], one: Evidence, two: Evidence
) -> None:
    accident = judge(check(fields), one)
    assert accident.verdict is OPEN
    assert accident.message.endswith("; a single failure may be an accident")
    assert judge(check(fields), two).verdict is FAIL


ALL = [AGREEMENT, ACCURACY, ACCURACY_VERSUS, REWARD, REWARD_VERSUS, ERROR, ERROR_VERSUS, FEATURES, PREDICTED]


@pytest.mark.parametrize("fields", ALL, ids=lambda fields: f"{fields['metric']}{' versus' * ('versus' in fields)}")
def test_what_is_not_known_is_inconclusive_and_says_so(fields: dict[str, Any]) -> None:
    unasked = judge(check(fields), None)
    assert unasked.verdict is OPEN
    assert unasked.message == f"{fields['metric']}: there is no current answer of the monitor"
    empty = judge(check(fields), Evidence())
    assert (empty.verdict, empty.samples, empty.value) == (OPEN, 0, None)


def test_every_metric_of_predictions_is_judged() -> None:
    assert {fields["metric"] for fields in ALL} == PREDICTIONS
    assert {name for name, metric in METRICS.items() if metric.source == "monitor"} == PREDICTIONS


def test_messages_name_metric_value_bound_samples_and_interval() -> None:
    assert judge(check(AGREEMENT), paired(200, 150)).message == (
        "shadow-agreement is 75 % (50 of 200 disagree), 95 % needed: 200 pairs of answers, 95 % interval "
        "63.7 % to 84.4 %"
    )
    compared = judge(check(ACCURACY_VERSUS), labelled((1000, 700), (5000, 4500)))
    assert compared.low is not None
    assert compared.high is not None
    assert compared.message == (
        "feedback-accuracy is 70 %, stable's 90 %, 5 % less allowed: 1000 labels, 95 % interval "
        f"{compared.low * 100:.3g} % to {compared.high * 100:.3g} % for the difference, stable has 5000"
    )
    assert judge(check(ERROR), wrong(rewards(50, 3.5))).message == (
        "feedback-error is 3.5, 3 allowed: 50 labels, too few for an interval"
    )
    assert judge(check(REWARD), rewarded(rewards(2000, 1.5))).message.startswith(
        "feedback-reward is 1.5, 2 needed: 2000 rewards, 95 % interval 1.4"
    )


def test_the_figures_of_a_comparison_are_those_of_the_difference() -> None:
    result = judge(check(ACCURACY_VERSUS), labelled((1000, 700), (5000, 4500)))
    assert result.value == pytest.approx(-0.2)
    assert (result.bound, result.samples) == (-0.05, 1000)
    assert result.low is not None
    assert result.high is not None
    assert result.low < -0.2 < result.high < -0.05
    too_few = judge(check(REWARD_VERSUS), rewarded(rewards(50, 1.0), rewards(50, 2.0)))
    assert (too_few.value, too_few.low, too_few.high) == (-1.0, None, None)


def ones(count: int, good: int) -> RewardTally:
    return RewardTally(count, float(good), float(good), zero_one=True)


def test_rewards_of_0_and_1_are_judged_as_the_proportion_that_they_are() -> None:
    exact = judge(check(REWARD | {"min": 0.9}), rewarded(ones(200, 200)))
    labels = judge(check(ACCURACY | {"min": 0.9}), labelled((200, 200)))
    assert (exact.low, exact.high) == (labels.low, labels.high)
    compared = judge(check(REWARD_VERSUS | {"margin": 0.05}), rewarded(ones(1000, 700), ones(5000, 4500)))
    same = judge(check(ACCURACY_VERSUS), labelled((1000, 700), (5000, 4500)))
    assert (compared.verdict, compared.low, compared.high) == (same.verdict, same.low, same.high)
    mixed = judge(check(REWARD_VERSUS), rewarded(ones(1000, 700), rewards(1000, 0.9)))
    assert mixed.low != compared.low


def test_a_few_rewards_of_0_and_1_do_not_show_that_all_will_be() -> None:
    assert judge(check(REWARD | {"min": 0.0}), rewarded(ones(99, 99))).verdict is OPEN
    assert judge(check(REWARD | {"min": 0.0}), rewarded(ones(100, 100))).verdict is PASS


@pytest.mark.parametrize(
    ("moves", "samples", "verdict", "said"),
    [
        ([("age", 0.1, 1.0), ("size", 0.02, 9e9)], 100, PASS, "age has a PSI of 0.1, 0.2 allowed: 100 values against"),
        ([("age", 0.1, 1.0)], 99, OPEN, "; 100 values are needed"),
        ([("age", 0.4, 39.0), ("size", 0.1, 1.0)], 500, OPEN, "e-value 39 where 40 proves a move among 2 "),
        ([("age", 0.4, 40.1), ("size", 0.1, 1.0)], 20, FAIL, "age has a PSI of 0.4, 0.2 allowed: 20 values against"),
        ([("age", 0.9, 2.0), ("size", 0.4, 50.0)], 500, FAIL, "size has a PSI of 0.4"),
        ([("a", 0.9, 70.0), ("b", 0.4, 70.0), ("c", 0.1, 1.0)], 500, FAIL, "a has a PSI of 0.9 (and 1 more "),
        ([("age", 0.1, 1.0), ("size", None, 1.0)], 500, OPEN, "; nothing is known yet of size"),
        ([("age", None, 1.0)], 500, OPEN, "age has no PSI yet"),
        ([("age", 0.1, 1.0), ("size", nan, nan)], 500, OPEN, "; nothing is known yet of size"),
        ([("age", inf, 1e9)], 500, FAIL, "age has a PSI of inf"),
    ],
)
@pytest.mark.parametrize(("fields", "columns"), [(FEATURES, "features"), (PREDICTED, "outputs")])
def test_a_drift_fails_by_a_move_that_is_large_and_no_accident(
    fields: dict[str, Any],
    columns: str,
    moves: list[tuple[str, float | None, float]],
    samples: int,
    verdict: Verdict,
    said: str,
) -> None:
    result = judge(check(fields), Evidence(**{{"outputs": "predictions"}.get(columns, columns): drift(moves, samples)}))
    assert result.verdict is verdict
    assert said in result.message
    assert (result.samples, result.bound, result.low, result.high) == (samples, 0.2, None, None)


def test_a_drift_without_reference_or_columns_is_inconclusive() -> None:
    without = judge(check(FEATURES), Evidence(features=drift([("age", 9.0, 1e9)], reference="")))
    assert (without.verdict, without.message) == (
        OPEN,
        "feature-drift: the monitor has no reference to compare with yet",
    )
    empty = judge(check(PREDICTED), Evidence(predictions=drift([])))
    assert (empty.verdict, empty.message) == (OPEN, "prediction-drift: the monitor has compared no outputs yet")


def test_many_unknown_features_are_not_all_named() -> None:
    evidence = Evidence(features=drift([(name, None, 1.0) for name in "abcde"]))
    assert judge(check(FEATURES), evidence).message.endswith("; nothing is known yet of a, b, c and others")


def test_more_confidence_asks_for_more_evidence_of_a_drift() -> None:
    evidence = Evidence(features=drift([("age", 0.4, 50.0)]))
    assert judge(check(FEATURES), evidence).verdict is FAIL
    assert judge(check(FEATURES, confidence=0.99), evidence).verdict is OPEN


@pytest.mark.parametrize(
    ("fields", "evidence", "noun"),
    [
        (AGREEMENT, paired(2000, 1990), "pairs of answers"),
        (ACCURACY, labelled((2000, 1900)), "labels"),
        (REWARD, rewarded(rewards(2000, 2.5)), "rewards"),
        (FEATURES, Evidence(features=drift([("age", 0.1, 1.0)], 2000)), "values"),
    ],
)
def test_a_check_asks_for_samples_of_its_own_and_a_step_for_requests(
    fields: dict[str, Any], evidence: Evidence, noun: str
) -> None:
    assert judge(check(fields, min_samples=2000), evidence).verdict is PASS
    patient = judge(check(fields, min_samples=2001), evidence)
    assert (patient.verdict, patient.message.rpartition("; ")[2]) == (OPEN, f"2001 {noun} are needed")
    basis = Basis(STABLE, CANDIDATE, candidate=counters(499), evidence=evidence, live=True, copies=True)
    waiting = evaluate([check(fields)], basis, min_samples=500)[0]
    assert (waiting.verdict, waiting.message.rpartition("; ")[2]) == (OPEN, "500 requests are needed")
    assert evaluate([check(fields)], replace(basis, candidate=None), min_samples=1)[0].verdict is OPEN


@pytest.mark.parametrize(
    ("fields", "evidence", "needs", "said"),
    [
        (AGREEMENT, paired(200, 150), {"copies": True, "live": False}, "copies of requests reach"),
        (ACCURACY, labelled((200, 100)), {"live": True, "copies": False}, "requests of users reach"),
    ],
)
def test_a_check_is_idle_where_what_it_needs_does_not_reach_the_candidate(
    fields: dict[str, Any], evidence: Evidence, needs: dict[str, bool], said: str
) -> None:
    one = check(fields)
    judged = judge(one, evidence, **needs)
    assert (judged.verdict, judged.idle) == (FAIL, False)
    elsewhere = {name: not reached for name, reached in needs.items()}
    before = judge(one, evidence, **elsewhere)
    assert (before.verdict, before.idle, before.gates) == (OPEN, True, False)
    assert before.message == f"{one.metric}: is judged while {said} the candidate"
    after = judge(one, evidence, **elsewhere, before=(judged,))
    assert after == replace(judged, idle=True)
    assert judge(one, evidence, **needs, before=(after,)) == judged


@pytest.mark.parametrize("needs", [{"copies": True, "live": False}, {"live": True, "copies": False}])
def test_a_drift_is_judged_by_copies_and_by_requests(needs: dict[str, bool]) -> None:
    assert judge(check(FEATURES), Evidence(features=drift([("age", 0.4, 99.0)])), **needs).verdict is FAIL
