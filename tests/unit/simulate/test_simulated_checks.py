"""Checks on predictions in simulated rollouts."""

import pytest
from simulate_kit import ERRORS, play, rollout, totals

from operators.api import ModelRollout
from operators.simulate import Outcome, Result

STEPS = [{"setShadow": 100}, {"analysis": {"minSamples": 100}}, {"setShadow": 0}, {"setWeight": 20}, {"analysis": {}}]
AGREEMENT = {"name": "agreement", "metric": "shadow-agreement", "min": 0.95}
ACCURACY = {"name": "accuracy", "metric": "feedback-accuracy", "versus": "stable", "margin": 0.05}
REWARD = {"name": "reward", "metric": "feedback-reward", "min": 0.4}
ANY_REWARD = {"name": "reward", "metric": "feedback-reward", "versus": "stable", "margin": 1}
LATENCY = {"name": "latency", "metric": "latency-p95", "versus": "stable", "margin": "10ms"}
REST = [
    {"name": "error", "metric": "feedback-error", "max": 3},
    {"name": "features", "metric": "feature-drift", "max": 0.2},
    {"name": "answers", "metric": "prediction-drift", "max": 0.2},
    {"name": "query", "prometheus": {"query": "up"}, "min": 1},
    {"name": "page", "web": {"url": "http://x.example", "value": ""}, "max": 2},
]
FEEDBACK = "requestsPerSecond: 200, feedback: {share: 0.5, after: 1m}, duration: 1h"


def checked(*checks: dict[str, object]) -> ModelRollout:
    return rollout(steps=STEPS, analysis={"interval": "10s", "checks": [ERRORS, *checks]})


def shadowed_only(result: Result) -> bool:
    return totals(result, result.candidate).requests == 0 < totals(result, result.candidate).copies


@pytest.mark.parametrize(
    ("check", "candidate", "stopped"),
    [
        (AGREEMENT, "agreement: 0.99", ""),
        (AGREEMENT, "agreement: 0.8", "check agreement failed"),
        (ACCURACY, "accuracy: 0.9", ""),
        (ACCURACY, "accuracy: 0.7", "check accuracy failed"),
        (REWARD, "reward: 0.5", ""),
        (REWARD, "reward: 0.2", "check reward failed"),
        (ANY_REWARD, "reward: {mean: 0.5, deviation: 2}", ""),
        (ANY_REWARD, "reward: {mean: -2, deviation: 2}", "check reward failed"),
        (LATENCY, "latency: {p50: 5ms, p99: 20ms}", ""),
        (LATENCY, "latency: {p50: 50ms, p99: 200ms}", "check latency failed"),
    ],
)
def test_a_version_is_stopped_by_what_it_answers(check: dict[str, object], candidate: str, stopped: str) -> None:
    result = play(checked(check), f"{{{FEEDBACK}, candidate: {{{candidate}}}}}")
    assert result.outcome is (Outcome.ABORTED if stopped else Outcome.PROMOTED)
    assert stopped in result.message


def test_a_version_that_answers_otherwise_never_gets_a_users_request() -> None:
    assert shadowed_only(play(checked(AGREEMENT), "{candidate: {agreement: 0.5}}"))


def test_answers_may_change_on_the_way() -> None:
    text = f"{{{FEEDBACK}, candidate: {{changes: [{{at: 30s, accuracy: 0.5, agreement: 0.1}}]}}}}"
    result = play(checked(AGREEMENT, ACCURACY), text)
    assert result.outcome is Outcome.ABORTED
    assert "check accuracy failed" in result.message, "what was in the shadow agreed"
    said = [note for moment in result.moments for note in moment.notes]
    assert "candidate version: 50 % of the answers are right, 10 % of the copies are answered as by stable" in said


def test_what_is_not_simulated_is_named_and_passes() -> None:
    result = play(checked(*REST), f"{{{FEEDBACK}}}")
    assert result.outcome is Outcome.PROMOTED
    assert result.taken_as_good == (
        "error (feedback-error)", "features (feature-drift)", "answers (prediction-drift)", "query (prometheus)",
        "page (web)",
    )  # fmt: skip


def test_nobody_who_says_anything_holds_a_rollout_that_waits_for_labels() -> None:
    result = play(checked(ACCURACY), "{feedback: {share: 0}}")
    assert result.outcome is Outcome.HELD
    assert dict(result.moments[-1].checks)["accuracy"].value == "Inconclusive"


def test_a_dry_run_is_no_lane_of_the_story() -> None:
    result = play(checked(AGREEMENT, {"name": "tried", "metric": "error-rate", "max": 0.0, "dryRun": True}))
    assert {name for moment in result.moments for name, _ in moment.checks} == {"errors", "agreement"}
