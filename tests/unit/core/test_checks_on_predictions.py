"""Checks on predictions and readings in the course of a rollout."""

from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from monitor.evidence import DriftTally, Evidence, Move, PairTally
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.observe import Measured
from operators.status import CheckResult, Phase, Verdict

AGREEMENT = {"name": "agreement", "metric": "shadow-agreement", "min": 0.95}
ACCURACY = {"name": "accuracy", "metric": "feedback-accuracy", "min": 0.8}
DRIFT = {"name": "drift", "metric": "feature-drift", "max": 0.2}
SCORE = {"name": "score", "prometheus": {"query": "score"}, "min": 0.5}
STEPS = canary({"setShadow": 100}, {"analysis": {}}, {"setShadow": 0}, {"setWeight": 10}, {"pause": {"duration": "1m"}})


def rolling(*checks: dict[str, Any], strategy: dict[str, Any] = STEPS, **analysis: Any) -> World:
    """Version 1 stable, version 2 in its first step that waits."""
    world = live(strategy=strategy, analysis={"interval": "10s", "checks": list(checks)} | analysis)
    world.apply(model=model(2))
    return world.settle()


def pairs(number: int, agreeing: int) -> Evidence:
    return Evidence(pairs=(PairTally(1e-6, number, agreeing),))


def labels(version: str, count: int, correct: int) -> Evidence:
    tally = VersionTally(count, 0, RewardTally(0, 0.0, 0.0, True), LabelTally(count, correct), ())
    return Evidence(versions={version: tally})


def answered(world: World, number: int = 5_000) -> None:
    """Let both versions have answered requests without an error."""
    world.saw(1, live=counters(number))
    world.saw(2, live=counters(number), mirrored=counters(number))


def result(world: World, name: str) -> CheckResult:
    return next(one for one in world.status.checks if one.name == name)


def test_a_candidate_that_answers_otherwise_is_stopped_in_the_shadow() -> None:
    world = rolling(AGREEMENT)
    answered(world)
    world.evidence = pairs(500, 350)
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert (world.weights, world.shadow) == ({world.id(1): 10_000, world.id(2): 0}, 0)
    for part in ("check agreement failed", "shadow-agreement is 70 %", "150 of 500 disagree", "95 % needed",
                 "500 pairs of answers", "95 % interval", "tidegate retry iris"):  # fmt: skip
        assert part in world.status.message
    assert world.condition("Analysed")[:2] == (False, "Fail")


def test_a_shadow_waits_for_pairs_and_goes_on_with_them() -> None:
    world = rolling(AGREEMENT)
    answered(world)
    world.settle(10_000)
    assert (world.status.step, world.status.phase) == (1, Phase.PROGRESSING)
    assert world.condition("Analysed")[1] == "Inconclusive"
    world.evidence = pairs(5_000, 4_990)
    world.settle(10)
    assert (world.status.step, world.weight(2)) == (4, 1_000)


def test_agreement_keeps_its_last_word_after_the_shadow_and_gates_nothing() -> None:
    world = rolling(AGREEMENT)
    answered(world)
    world.evidence = pairs(5_000, 4_990)
    world.settle(10)
    answered(world)
    world.evidence = pairs(5_000, 0)
    world.settle(10)
    kept = result(world, "agreement")
    assert (kept.verdict, kept.idle, kept.samples) == (Verdict.PASS, True, 5_000)
    assert all(one.type != "Analysed" for one in world.status.conditions)
    world.settle(60)
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_an_agreement_that_was_waved_through_does_not_abort_later() -> None:
    world = rolling(AGREEMENT)
    answered(world)
    world.evidence = pairs(500, 350)
    world.say("promote", "step,force")
    world.settle(10)
    assert (world.status.step, world.weight(2)) == (4, 1_000)
    kept = result(world, "agreement")
    assert (kept.verdict, kept.idle) == (Verdict.FAIL, True)
    world.settle(60)
    assert world.status.phase is Phase.HEALTHY


def test_feedback_is_judged_once_users_get_answers_of_the_candidate() -> None:
    world = rolling(ERRORS, ACCURACY)
    world.traffic = None
    world.evidence = labels(world.id(2), 500, 100)
    world.settle(10)
    assert (world.status.step, result(world, "accuracy").idle) == (1, True)
    world.traffic = {}
    answered(world)
    world.settle(10)
    assert (world.status.step, result(world, "accuracy").idle) == (4, False)
    assert result(world, "accuracy").verdict is Verdict.INCONCLUSIVE
    answered(world)
    world.evidence = labels(world.id(2), 500, 100)
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert "feedback-accuracy is 20 %, 80 % needed: 500 labels" in world.status.message


def test_a_drift_names_the_feature_in_the_abort() -> None:
    world = rolling(DRIFT)
    answered(world)
    moves = (Move("petal_width", 700, 0.9, 1e6), Move("sepal_width", 700, 0.01, 1.0))
    world.evidence = Evidence(features=DriftTally("file", 1000, 700, moves))
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert "feature-drift: petal_width has a PSI of 0.9, 0.2 allowed: 700 values against 1000" in world.status.message


def test_nothing_known_neither_advances_nor_aborts() -> None:
    world = rolling(AGREEMENT, DRIFT, SCORE)
    answered(world)
    world.measured = {"score": Measured((), "Prometheus cannot be reached: refused")}
    world.settle(86_400)
    assert (world.status.step, world.status.candidate is not None) == (1, True)
    assert [one.verdict for one in world.status.checks] == [Verdict.INCONCLUSIVE] * 3
    assert "Prometheus cannot be reached: refused" in world.condition("Analysed")[2]


@pytest.mark.parametrize(("readings", "aborted"), [((0.4,), True), ((0.6,), False), ((0.4, 0.6), False)])
def test_a_reading_decides(readings: tuple[float, ...], aborted: bool) -> None:
    world = rolling(SCORE)
    answered(world)
    world.measured = {"score": Measured(readings)}
    world.settle(10)
    assert (world.status.failed == world.id(2)) is aborted
    assert (world.status.step == 4) is not aborted


def test_a_dry_run_is_shown_and_decides_nothing() -> None:
    world = rolling(ERRORS, AGREEMENT | {"dryRun": True}, SCORE | {"dryRun": True})
    answered(world)
    world.evidence = pairs(500, 0)
    world.measured = {"score": Measured((0.1,))}
    world.settle(10)
    assert (world.status.step, world.weight(2)) == (4, 1_000)
    assert [(one.verdict, one.dry_run) for one in world.status.checks[1:]] == [
        (Verdict.FAIL, True), (Verdict.INCONCLUSIVE, True)]  # fmt: skip
    answered(world)
    world.measured = {"score": Measured((0.1,))}
    world.settle(10)
    assert [one.verdict for one in world.status.checks] == [Verdict.PASS, Verdict.FAIL, Verdict.FAIL]
    assert world.condition("Analysed")[:2] == (True, "Pass")
    world.settle(60)
    assert world.status.phase is Phase.HEALTHY


def test_dry_runs_alone_leave_a_shadow_to_a_person() -> None:
    world = rolling(AGREEMENT | {"dryRun": True}, strategy={"shadow": {}})
    answered(world)
    world.evidence = pairs(500, 0)
    world.settle(10)
    assert result(world, "agreement").verdict is Verdict.FAIL
    assert (world.status.phase, world.status.awaits_promotion) == (Phase.PAUSED, True)
    world.say("promote", "step")
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_the_message_of_an_abort_for_lack_of_evidence_names_a_check_that_has_a_say() -> None:
    steps = canary({"setShadow": 100}, {"analysis": {"maxDuration": "1m"}}, {"setWeight": 10})
    tried = AGREEMENT | {"name": "tried", "dryRun": True}
    world = rolling(tried, AGREEMENT, strategy=steps, onInconclusive="abort")
    answered(world)
    world.settle(61)
    assert world.status.failed == world.id(2)
    assert "check agreement: shadow-agreement: there is no current answer of the monitor" in world.status.message
