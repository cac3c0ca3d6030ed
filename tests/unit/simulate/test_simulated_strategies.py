"""Each strategy's whole life in simulation."""

from typing import Any

import pytest
from simulate_kit import ERRORS, alone, arm, notes, play, rollout, told, totals, variants

from operators.api import revision_of
from operators.simulate import InvalidScenario, Outcome, Result
from operators.simulate.plot import as_svg
from operators.simulate.report import as_json

CHECKED = {"interval": "5s", "checks": [ERRORS]}
PREVIEW = [{"header": "x-preview", "exact": "yes"}]
FEEDBACK = "feedback: {share: 0.3, after: 10m}"


def blue_green(**fields: Any) -> dict[str, Any]:
    return {"blueGreen": fields}


def steps(result: Result) -> list[str]:
    return [note.split(": ")[1] for note in notes(result) if note.startswith("step")]


# Blue-green.

FULL = blue_green(
    previewMatch=PREVIEW,
    prePromotionAnalysis={"minSamples": 100},
    postPromotionAnalysis={"minSamples": 2000},
)


def test_blue_green_previews_switches_at_once_and_is_watched() -> None:
    result = play(rollout(strategy=FULL, analysis=CHECKED), "{requestsPerSecond: 100, matching: 0.05}")
    assert result.outcome is Outcome.PROMOTED
    assert steps(result) == ["preview", "analysis before the switch", "switch", "analysis after the switch"]
    given = [dict(moment.weights).get(result.candidate, 0) for moment in result.moments]
    assert set(given) == {0, 10_000}
    previewed = [moment for moment in result.moments if moment.selected == result.candidate]
    assert previewed
    assert {dict(moment.weights)[result.candidate] for moment in previewed} == {0}
    assert told(result, "step 3 of 4").at == pytest.approx(100 / 5 + 5, abs=10)
    assert (result.errors, result.unanswered) == (0, 0)


def test_a_bad_candidate_is_stopped_in_its_preview_and_only_previewers_see_it() -> None:
    result = play(
        rollout(strategy=FULL, analysis=CHECKED), "{requestsPerSecond: 100, matching: 0.05, candidate: {errorRate: 1}}"
    )
    assert result.outcome is Outcome.ABORTED
    candidate = totals(result, result.candidate)
    assert candidate.requests == candidate.errors == result.errors
    assert result.errors < 0.1 * result.requests


def test_a_failing_analysis_after_the_switch_switches_back() -> None:
    late = "candidate: {changes: [{at: 30s, errorRate: 0.5}]}"
    after = blue_green(postPromotionAnalysis={"minSamples": 100_000})
    result = play(rollout(strategy=after, analysis=CHECKED), late)
    assert result.outcome is Outcome.ABORTED
    assert 30 < result.at < 60
    assert result.moments[-1].weights[0][0] != result.candidate
    assert dict(result.moments[-1].weights)[result.stable] == 10_000


def test_blue_green_without_automatic_promotion_waits_for_a_person() -> None:
    manifest = rollout(strategy=blue_green(previewMatch=PREVIEW, autoPromote=False))
    result = play(manifest, "events: [{at: 1h, command: promote}]")
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(3600, abs=1))
    assert totals(result, result.candidate).requests > 0.8 * 0.01 * 50 * 3600


def test_only_matching_requests_reach_a_preview() -> None:
    manifest = rollout(strategy=blue_green(previewMatch=PREVIEW, autoPromote=False))
    result = play(manifest, "{matching: 0.2, requestsPerSecond: 100, events: [{at: 1000s, command: abort}]}")
    assert totals(result, result.candidate).requests == pytest.approx(0.2 * 100 * 995, rel=0.05)
    none = play(manifest, "{matching: 0, requestsPerSecond: 100, events: [{at: 1000s, command: abort}]}")
    assert totals(none, none.candidate).requests == 0


# Canary: matches and sizes.


def test_matching_requests_reach_a_canary_whatever_its_weight_and_are_not_copied() -> None:
    canary = [{"setShadow": 50}, {"pause": {"duration": "1000s"}}, {"setWeight": 10}, {"pause": {}}]
    manifest = rollout(steps=canary, traffic={"match": PREVIEW})
    result = play(manifest, "{matching: 0.1, requestsPerSecond: 100, duration: 1005s}")
    candidate = totals(result, result.candidate)
    assert candidate.requests == pytest.approx(0.1 * 100_000, rel=0.05)
    assert candidate.copies == pytest.approx(0.5 * 0.9 * 100_000, rel=0.05)


def test_a_candidate_grows_with_its_steps_and_waits_for_its_replicas() -> None:
    canary = [
        {"setReplicas": 1},
        {"setWeight": 5},
        {"pause": {"duration": "1m"}},
        {"setReplicas": 3},
        {"setWeight": 50},
    ]
    manifest = rollout(steps=canary, serving={"replicas": 3})
    result = play(manifest, "candidate: {readyAfter: 20s}")
    assert steps(result)[:5] == ["setReplicas 1", "setWeight 5 %", "pause 1m", "setReplicas 3", "setWeight 50 %"]
    begun, grown = told(result, "setReplicas 3").at, told(result, "setWeight 50 %").at
    assert begun == pytest.approx(80, abs=1)
    assert grown - begun == pytest.approx(20, abs=0.1)
    assert (result.outcome, result.errors) == (Outcome.PROMOTED, 0)


def test_a_candidate_of_which_some_replicas_answer_is_used() -> None:
    manifest = rollout(serving={"replicas": 4})
    shrunk = manifest.model_copy(
        update={
            "spec": manifest.spec.model_copy(
                update={"serving": manifest.spec.serving.model_copy(update={"replicas": 2})}
            )
        }
    )
    result = play(manifest, "events: [{at: 1m, apply: fewer.yaml}]", fewer=shrunk)
    assert (result.outcome, result.errors, len(result.totals)) == (Outcome.PROMOTED, 0, 2)


# Shadow.


def test_a_shadow_copies_and_holds_for_a_person() -> None:
    shadow = {"shadow": {"percent": 50, "minSamples": 1000}}
    result = play(rollout(strategy=shadow, analysis=CHECKED), "events: [{at: 10m, command: promote}]")
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(600, abs=1))
    assert totals(result, result.candidate).copies == pytest.approx(25 * 595, rel=0.1)


def test_a_bad_shadow_is_aborted_and_no_user_sees_it() -> None:
    shadow = {"shadow": {"then": "promote"}}
    result = play(rollout(strategy=shadow, analysis=CHECKED), "candidate: {errorRate: 0.5}")
    assert (result.outcome, result.errors, totals(result, result.candidate).requests) == (Outcome.ABORTED, 0, 0)


# Experiments between a candidate and stable.


def test_an_ab_test_keeps_its_share_until_one_has_surely_won() -> None:
    test = {"abTest": {"goal": {"metric": "success-rate"}, "weight": 20, "onWinner": "promote"}}
    result = play(rollout(strategy=test), "{stable: {errorRate: 0.1}, candidate: {errorRate: 0.02}}")
    assert result.outcome is Outcome.PROMOTED
    weights = [dict(moment.weights).get(result.candidate, 0) for moment in result.moments]
    assert list(dict.fromkeys(weights)) == [0, 2_000, 10_000]
    assert arm(result, "candidate").value > arm(result, "control").value  # type: ignore[operator]


def test_an_ab_test_that_stable_wins_aborts_the_candidate() -> None:
    test = {"abTest": {"goal": {"metric": "latency-within", "within": "50ms"}, "onWinner": "promote"}}
    result = play(rollout(strategy=test), "candidate: {latency: {p50: 40ms, p99: 200ms}}")
    assert result.outcome is Outcome.ABORTED
    assert "stable has won the experiment" in result.message
    assert arm(result, "control").value == 1.0
    assert arm(result, "candidate").value == pytest.approx(0.63, abs=0.1)


def test_feedback_that_comes_late_and_seldom_decides_all_the_same() -> None:
    test = {"abTest": {"goal": {"metric": "feedback-accuracy"}, "onWinner": "promote"}}
    result = play(rollout(strategy=test), f"{{{FEEDBACK}, stable: {{accuracy: 0.7}}, candidate: {{accuracy: 0.8}}}}")
    assert result.outcome is Outcome.PROMOTED
    seconds = result.at - 600
    assert seconds > 0, "nothing is known before the first labels have arrived"
    counted = arm(result, "control").counted.count + arm(result, "candidate").counted.count
    assert counted == pytest.approx(0.3 * 50 * seconds, rel=0.15)


def test_rewards_of_any_size_are_compared_in_the_direction_that_is_better() -> None:
    goal = {"metric": "feedback-reward", "direction": "decrease"}
    manifest = rollout(strategy={"abTest": {"goal": goal, "onWinner": "promote"}})
    worlds = "stable: {reward: {mean: 40, deviation: 10}}, candidate: {reward: {mean: 35, deviation: 20}}"
    result = play(manifest, f"{{{FEEDBACK}, {worlds}}}")
    assert result.outcome is Outcome.PROMOTED
    candidate = arm(result, "candidate")
    assert candidate.value == pytest.approx(35, abs=3)
    spread = candidate.counted.squares - candidate.counted.total**2 / candidate.counted.count
    assert (spread / (candidate.counted.count - 1)) ** 0.5 == pytest.approx(20, rel=0.15)


def test_people_say_nothing_about_failed_answers_or_when_nobody_asks() -> None:
    test = {"abTest": {"goal": {"metric": "feedback-accuracy"}}}
    result = play(rollout(strategy=test), "{feedback: {share: 1, after: 0s}, candidate: {errorRate: 1}, duration: 10m}")
    assert arm(result, "candidate").counted.count == 0
    assert arm(result, "control").counted.count > 10_000
    assert play(rollout(), "feedback: {share: 1, after: 0s}").arms == ()


def test_a_bandit_moves_requests_to_the_better_version_and_back_when_it_gets_worse() -> None:
    manifest = rollout(strategy={"bandit": {"reward": "success-rate", "interval": "1m", "explorationFloor": 10}})
    world = "stable: {errorRate: 0.1}, candidate: {errorRate: 0.02, changes: [{at: 10m, errorRate: 0.9}]}"
    result = play(manifest, f"{{{world}, duration: 1h}}")
    weights = [(moment.at, dict(moment.weights).get(result.candidate, 0)) for moment in result.moments]
    assert max(weight for at, weight in weights if at < 600) == 9_000
    assert weights[-1][1] == 1_000


# Variants.


THREE = {"control": 40, "b": 30, "c": 30}


def ab_test(**fields: Any) -> dict[str, Any]:
    return {"abTest": {"goal": {"metric": "success-rate"}, "shares": THREE, **fields}}


def test_variants_start_beside_the_version_that_is_stable_and_the_winner_is_promoted() -> None:
    manifest = rollout(strategy=ab_test(onWinner="promote"), variants=variants(b=4, c=3))
    world = "{stable: {errorRate: 0.2}, variants: {b: {errorRate: 0.2, readyAfter: 30s}, c: {errorRate: 0.02}}}"
    result = alone(manifest, world)
    assert result.stable == result.candidate == revision_of(manifest).id
    assert dict(result.variants) == {name: revision_of(manifest, name).id for name in ("b", "c")}
    assert told(result, "b, c and control divide the traffic").at == pytest.approx(30.2, abs=0.2)
    divided = next(moment.weights for moment in result.moments if moment.at > 31)
    assert dict(divided) == {result.stable: 4_000, dict(result.variants)["b"]: 3_000, dict(result.variants)["c"]: 3_000}
    assert result.outcome is Outcome.PROMOTED
    assert dict(result.moments[-1].weights) == {dict(result.variants)["c"]: 10_000}


def test_a_winner_that_is_held_is_promoted_by_name() -> None:
    manifest = rollout(strategy=ab_test(), variants=variants(b=4, c=3))
    result = alone(manifest, "events: [{at: 1h, command: promote --variant b}]")
    assert (result.outcome, result.at) == (Outcome.PROMOTED, pytest.approx(3600, abs=0.5))
    assert dict(result.moments[-1].weights) == {dict(result.variants)["b"]: 10_000}


def test_a_control_that_wins_is_kept() -> None:
    manifest = rollout(strategy=ab_test(onWinner="promote"), variants=variants(b=4, c=3))
    result = alone(manifest, "{stable: {errorRate: 0.01}, variants: {b: {errorRate: 0.3}, c: {errorRate: 0.3}}}")
    assert result.outcome is Outcome.KEPT
    assert "control stays stable, the variants leave" in notes(result)
    assert dict(result.moments[-1].weights) == {result.stable: 10_000}


def test_an_experiment_that_is_aborted_ends_without_a_winner() -> None:
    manifest = rollout(strategy=ab_test(), variants=variants(b=4, c=3))
    result = alone(manifest, "events: [{at: 1m, command: abort}]")
    assert (result.outcome, result.at) == (Outcome.ABORTED, 60)


def test_a_variant_that_fails_a_check_is_taken_out_and_the_others_go_on() -> None:
    manifest = rollout(strategy=ab_test(), variants=variants(b=4, c=3), analysis=CHECKED)
    result = alone(manifest, "{variants: {b: {changes: [{at: 2m, errorRate: 0.9}]}}, duration: 10m}")
    assert result.outcome is Outcome.HELD
    assert told(result, "variant b: 90 % of the requests fail").at == 120
    assert "check errors failed" in next(note for note in notes(result) if note.startswith("variant b ("))
    assert dict(result.moments[-1].weights) == {result.stable: 7_000, dict(result.variants)["c"]: 3_000}


def test_a_variant_that_loses_its_replicas_gets_nothing_until_it_has_some() -> None:
    manifest = rollout(strategy=ab_test(), variants=variants(b=4, c=3))
    world = "{variants: {b: {readyAfter: 10s}}, events: [{at: 1m, replicasLost: b}], duration: 2m}"
    result = alone(manifest, world)
    version = dict(result.variants)["b"]
    given = {moment.at: dict(moment.weights)[version] for moment in result.moments if moment.at > 60}
    assert (min(given.values()), max(given.values())) == (0, 3_000)
    assert told(result, "all replicas of variant b are lost").at == 60


def test_a_version_with_variants_takes_over_first_and_is_their_control() -> None:
    result = play(rollout(strategy=ab_test(), variants=variants(b=4, c=3)), "duration: 10m")
    assert result.stable != result.candidate
    assert told(result, "is stable instead of").at < told(result, "b, c").at + 0.1
    assert dict(result.moments[-1].weights)[result.candidate] == 4_000


def test_a_bandit_among_variants_whose_rewards_come_late_promotes_the_best() -> None:
    bandit = {"bandit": {"reward": "feedback-reward", "interval": "5m", "promoteAt": 0.99, "explorationFloor": 2}}
    manifest = rollout(strategy=bandit, variants=variants(b=4, c=3, d=6))
    worlds = "stable: {reward: 0.3}, variants: {b: {reward: 0.32}, c: {reward: 0.4}, d: {reward: 0.28}}"
    result = alone(manifest, f"{{{FEEDBACK}, {worlds}}}")
    assert result.outcome is Outcome.PROMOTED
    assert dict(result.moments[-1].weights)[dict(result.variants)["c"]] == 10_000
    assert result.at > 600
    assert arm(result, "c").best > 0.99  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("variants: {b: {}, x: {}}", "variants.x: x is no variant of the manifest; it has b and c"),
        ("events: [{at: 1s, replicasLost: x}]", "events[0].replicasLost: x is no variant of the manifest; it has b"),
    ],
)
def test_variants_that_the_manifest_does_not_have_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidScenario) as refused:
        alone(rollout(strategy=ab_test(), variants=variants(b=4, c=3)), text)
    assert str(refused.value).startswith(problem)
    with pytest.raises(InvalidScenario, match="it has none"):
        play(rollout(), text)


def test_the_same_seed_gives_the_same_timeline_byte_for_byte_and_another_one_another() -> None:
    bandit = {"bandit": {"reward": "feedback-reward", "interval": "1m"}}
    manifest = rollout(strategy=bandit, variants=variants(b=4, c=3), analysis=CHECKED)
    world = f"{{{FEEDBACK}, variants: {{b: {{reward: {{mean: 1, deviation: 3}}}}}}, duration: 1h}}"
    first, again, other = (alone(manifest, world, seed) for seed in (7, 7, 8))
    assert as_json(first) == as_json(again) != as_json(other)
    assert as_svg(first) == as_svg(again) != as_svg(other)
