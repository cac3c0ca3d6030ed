"""What the simulation says a rollout would do."""

import time

import pytest
from simulate_kit import ERRORS, LATENCY, demo, notes, play, rollout, told, totals

from monitor.sequential import proportion_interval
from operators.api import ModelRollout
from operators.observe import Observed
from operators.plan import Plan
from operators.reconcile import reconcile
from operators.simulate import Outcome, operator, simulate
from operators.status import Phase, Verdict

HALF = [{"setWeight": 50}, {"analysis": {"minSamples": 500}}]
CHECKED = {"interval": "1s", "checks": [ERRORS]}


def test_a_healthy_candidate_of_the_demo_goes_through_all_steps() -> None:
    result = simulate(demo())
    assert result.outcome is Outcome.PROMOTED
    steps = [note for note in notes(result) if note.startswith("step")]
    assert [step.split(":")[0] for step in steps] == [f"step {number} of 9" for number in range(1, 10)]
    weights = [moment.weights[0][1] for moment in result.moments if len(moment.weights) == 2]
    assert list(dict.fromkeys(weights)) == [0, 500, 2500, 5000, 10_000]
    assert (result.errors, result.unanswered) == (0, 0)
    assert result.message == f"{result.candidate} serves all requests"


def test_requests_are_divided_as_the_routers_divide_them() -> None:
    manifest = rollout(steps=[{"setWeight": 20}, {"pause": {"duration": "1000s"}}], scaleDownDelaySeconds=0)
    result = play(manifest, "requestsPerSecond: 100")
    assert result.requests == pytest.approx(100 * result.end, rel=0.05)
    assert totals(result, result.candidate).requests == pytest.approx(20 * 1000, rel=0.1)


def test_copies_are_no_requests_of_users() -> None:
    steps = [{"setShadow": 50}, {"pause": {"duration": "1000s"}}, {"setShadow": 0}]
    result = play(rollout(steps=steps), "{requestsPerSecond: 10, candidate: {errorRate: 1.0}, duration: 1000s}")
    candidate = totals(result, result.candidate)
    assert candidate.copies == candidate.failed_copies == pytest.approx(5_000, rel=0.15)
    assert (candidate.requests, result.errors) == (0, 0)


def test_errors_abort_after_about_as_many_requests_as_the_interval_needs() -> None:
    promised = next(n for n in range(1, 10_000) if proportion_interval(round(0.2 * n), n, 0.05).low > 0.05)
    taken = []
    for seed in range(20):
        result = play(rollout(steps=HALF, analysis=CHECKED), "candidate: {errorRate: 0.2}", seed)
        assert result.outcome is Outcome.ABORTED
        assert dict(told(result, "was aborted: check errors failed").checks) == {"errors": Verdict.FAIL}
        taken.append(totals(result, result.candidate).requests)
    one_look = 25
    assert promised / 2 <= sorted(taken)[len(taken) // 2] <= promised * 2 + one_look, (promised, taken)


def test_what_users_saw_of_a_bad_candidate_is_counted() -> None:
    result = play(rollout(steps=HALF, analysis=CHECKED), "candidate: {errorRate: 0.2}")
    assert result.errors == totals(result, result.candidate).errors > 0
    assert totals(result, result.stable).errors == 0
    assert result.moments[-1].weights == ((result.stable, 10_000),)


def test_slow_answers_abort() -> None:
    manifest = rollout(steps=HALF, analysis={"interval": "1s", "checks": [LATENCY]})
    result = play(manifest, "candidate: {latency: {p50: 80ms, p99: 500ms}}")
    assert result.outcome is Outcome.ABORTED
    assert "check latency failed: latency-p95 at most 100ms" in result.message


def test_answers_beyond_the_timeout_are_errors() -> None:
    manifest = rollout(steps=HALF, analysis=CHECKED, traffic={"timeout": "100ms"})
    result = play(manifest, "candidate: {latency: {p50: 200ms, p99: 500ms}}")
    candidate = totals(result, result.candidate)
    assert result.outcome is Outcome.ABORTED
    assert candidate.errors / candidate.requests > 0.8


@pytest.mark.parametrize(
    ("decision", "outcome", "words"),
    [
        ("hold", Outcome.HELD, "holding until the evidence is conclusive"),
        ("abort", Outcome.ABORTED, "the step's time is over and the evidence is still inconclusive"),
        ("pause", Outcome.HELD, "waits for a person: `tidegate promote iris`"),
    ],
)
def test_too_few_requests_neither_pass_nor_fail(decision: str, outcome: Outcome, words: str) -> None:
    steps = [{"setWeight": 10}, {"analysis": {"minSamples": 1000, "maxDuration": "5m"}}]
    manifest = rollout(steps=steps, analysis={**CHECKED, "interval": "10s", "onInconclusive": decision})
    result = play(manifest, "{requestsPerSecond: 1, duration: 10m}")
    assert (result.outcome, words in result.message) == (outcome, True), result.message
    assert result.end == (600 if outcome is Outcome.HELD else pytest.approx(335, abs=5))  # stable keeps 30 s


def test_what_starts_to_fail_later_aborts_later() -> None:
    manifest = rollout(steps=[{"setWeight": 50}, {"pause": {"duration": "1h"}}], analysis=CHECKED)
    result = play(manifest, "candidate: {changes: [{at: 10m, errorRate: 0.5}]}")
    assert result.outcome is Outcome.ABORTED
    assert told(result, "candidate version: 50 % of the requests fail").at == 600
    assert 600 < result.at < 900  # ten good minutes are in the evidence as well


def test_requests_can_change_over_time() -> None:
    rates = "{requestsPerSecond: [{at: 100s, rps: 1000}, {at: 0s, rps: 0}, {at: 200s, rps: 0}], duration: 300s}"
    result = play(rollout(paused=True), rates)
    assert result.requests == pytest.approx(100_000, rel=0.02)


def test_a_candidate_that_cannot_be_loaded_is_aborted_at_once() -> None:
    result = play(rollout(), "candidate: {cannotLoad: the file is no model, readyAfter: 3s}")
    assert (result.outcome, result.at) == (Outcome.ABORTED, 3.0)
    assert "it could not be loaded: the file is no model" in result.message


def test_a_candidate_that_starts_too_slowly_is_aborted_at_its_deadline() -> None:
    result = play(rollout(progressDeadlineSeconds=60), "candidate: {readyAfter: 2m}")
    assert result.outcome is Outcome.ABORTED
    assert result.at == pytest.approx(60, abs=0.2)


def test_commands_are_answered_when_they_come() -> None:
    manifest = rollout(steps=[{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}])
    result = play(manifest, "events: [{at: 1m, command: promote}, {at: 2m, command: promote --full}]")
    assert told(result, "somebody promoted it past step 2").at == 60
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(120.1, abs=0.05))


def test_a_rollout_waits_for_a_person_until_the_time_is_up() -> None:
    result = play(rollout(steps=[{"setWeight": 5}, {"pause": {}}]), "duration: 2h")
    assert (result.outcome, result.end) == (Outcome.HELD, pytest.approx(5.2, abs=0.1))  # nothing can happen any more
    assert result.moments[-1].phase is Phase.PAUSED


def test_abort_and_retry() -> None:
    manifest = rollout(steps=[{"setWeight": 5}, {"pause": {"duration": "1m"}}])
    result = play(manifest, "events: [{at: 30s, command: abort}, {at: 2m, command: retry}]")
    assert "somebody asked for it" in told(result, "was aborted").notes[1]
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(120 + 60.2, abs=6))


def test_pause_and_resume() -> None:
    manifest = rollout(steps=[{"setWeight": 5}, {"pause": {"duration": "1m"}}])
    result = play(manifest, "events: [{at: 30s, command: pause}, {at: 10m, command: resume}]")
    assert told(result, "somebody says pause").phase is Phase.PAUSED
    assert result.at == pytest.approx(660, abs=1)


def test_undo_takes_a_promoted_version_back() -> None:
    result = play(rollout(), "events: [{at: 20s, command: undo}]")
    assert (result.outcome, result.at) == (Outcome.ABORTED, pytest.approx(20, abs=0.5))
    assert result.moments[-1].weights[0] == (result.stable, 10_000)


def test_another_version_in_the_middle_of_a_rollout_starts_over() -> None:
    steps = [{"setWeight": 50}, {"pause": {"duration": "1m"}}]
    result = play(
        rollout(steps=steps, analysis=CHECKED),
        "{candidate: {changes: [{at: 25s, errorRate: 1.0}]}, events: [{at: 20s, apply: third.yaml}]}",
        third=rollout("3", steps=steps, analysis=CHECKED),
    )
    assert result.outcome is Outcome.PROMOTED
    assert told(result, "gives way: the spec changed").at == 20
    assert [totals(result, version.version).errors for version in result.totals] == [0, 0, 0]
    assert len(result.totals) == 3


def test_another_version_behaves_as_the_scenario_says() -> None:
    result = play(
        rollout(),
        "events: [{at: 20s, apply: third.yaml, behaves: {errorRate: 0.5}}]",
        third=rollout("3", steps=HALF, analysis=CHECKED),
    )
    assert result.outcome is Outcome.ABORTED
    assert result.moments[-1].weights[0] == (result.candidate, 10_000)


def test_nothing_advances_while_ray_cannot_be_reached() -> None:
    manifest = rollout(steps=[{"setWeight": 5}, {"pause": {"duration": "1m"}}])
    result = play(manifest, "events: [{at: 30s, rayUnreachable: 10m}]")
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(630.1, abs=0.1))
    assert result.errors == 0


def test_nothing_starts_while_ray_cannot_be_reached() -> None:
    result = play(rollout(), "events: [{at: 0s, rayUnreachable: 10m}]")
    assert result.at == pytest.approx(605.2, abs=0.2)


def test_weights_wait_for_the_routers_to_acknowledge_them() -> None:
    result = play(rollout(steps=[{"setWeight": 5}]), "events: [{at: 5150ms, routerUnacknowledged: 60s}]")
    changed = next(moment for moment in result.moments if (result.candidate, 500) in moment.weights)
    assert told(result, "step 1 of 1").at == pytest.approx(5.1)
    assert changed.at == 65.15
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(65.25, abs=0.1))


def test_lost_replicas_cost_requests_until_the_routers_know() -> None:
    manifest = rollout(steps=[{"setWeight": 50}, {"pause": {"duration": "1m"}}])
    result = play(manifest, "{requestsPerSecond: 1000, events: [{at: 30s, replicasLost: candidate}]}")
    lost = next(moment for moment in result.moments if moment.at > 30)
    assert (lost.at, dict(lost.weights)[result.stable]) == (pytest.approx(30.1), 10_000)
    assert totals(result, result.candidate).errors == result.errors == pytest.approx(50, abs=40)
    assert result.outcome is Outcome.PROMOTED


def test_requests_that_no_version_can_answer_are_errors() -> None:
    result = play(
        rollout(paused=True), "{stable: {readyAfter: 10s}, duration: 1m, events: [{at: 30s, replicasLost: stable}]}"
    )
    assert result.unanswered == pytest.approx(9.9 * 50, rel=0.3)
    assert result.errors > result.unanswered


def test_a_seed_gives_the_same_story_again_and_another_one_another() -> None:
    first, again, other = (simulate(demo(), seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first.totals != other.totals


def test_a_day_takes_one_look_for_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(manifest: ModelRollout, observed: Observed) -> Plan:
        nonlocal looks
        looks += 1
        return reconcile(manifest, observed)

    monkeypatch.setattr(operator, "reconcile", counted)
    hours = [{"setShadow": 100}, {"pause": {"duration": "4h"}}, {"setWeight": 5}, {"pause": {"duration": "19h"}}]
    begun = time.process_time()
    result = play(rollout(steps=hours, analysis={"interval": "15s", "checks": [ERRORS, LATENCY]}))
    assert result.outcome is Outcome.PROMOTED
    assert result.at > 23 * 3600
    assert looks < 1.1 * 23 * 3600 / 15
    assert time.process_time() - begun < 20  # three on an idle machine
