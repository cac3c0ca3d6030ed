"""What other tools for progressive delivery are known to get wrong, each as a test that says how it goes here."""

from collections.abc import Callable
from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase

PREVIEW = [{"header": "x-preview"}]
STEPS = canary({"setWeight": 20}, {"pause": {"duration": "1m"}}, {"setWeight": 60}, {"pause": {"duration": "1m"}})
CHECKS = {"interval": "10s", "checks": [ERRORS]}
GOAL = {"metric": "success-rate"}
STRATEGIES: dict[str, dict[str, Any]] = {
    "canary": {"strategy": STEPS},
    "canary with sizes": {"strategy": canary({"setReplicas": 1}, {"setWeight": 20}, {"pause": {"duration": "1m"}})},
    "canary with an analysis": {"strategy": canary({"setWeight": 20}, {"analysis": {"maxDuration": "1h"}})},
    "canary with selected requests": {
        "strategy": canary({"analysis": {"maxDuration": "1h"}}, {"setWeight": 20}, {"pause": {"duration": "1m"}}),
        "traffic": {"match": PREVIEW},
    },
    "blue-green": {"strategy": {"blueGreen": {"previewMatch": PREVIEW, "prePromotionAnalysis": {"maxDuration": "1h"}}}},
    "blue-green that is watched": {"strategy": {"blueGreen": {"postPromotionAnalysis": {"maxDuration": "1h"}}}},
    "shadow": {"strategy": {"shadow": {"then": "promote", "maxDuration": "1h"}}},
    "A/B test": {"strategy": {"abTest": {"goal": GOAL, "onWinner": "promote", "maxDuration": "1h"}}},
    "bandit": {"strategy": {"bandit": {"reward": "success-rate", "promoteAt": 0.95}}},
}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "A/B test": {"abTest": {"shares": {"control": 40, "b": 30, "c": 30}, "goal": GOAL, "onWinner": "promote"}},
    "bandit": {"bandit": {"reward": "success-rate", "promoteAt": 0.95}},
}
each_strategy = pytest.mark.parametrize("name", STRATEGIES)
each_experiment = pytest.mark.parametrize("name", EXPERIMENTS)


def rolling(name: str, **spec: Any) -> World:
    """Version 1 stable, version 2 as far as it comes without traffic."""
    world = live(analysis=CHECKS, **STRATEGIES[name], **spec)
    world.apply(model=model(2))
    return world.settle()


def with_variants(name: str) -> World:
    """Version 1 is the control, 2 and 3 beside it have their shares."""
    world = live(analysis=CHECKS)
    variants = [{"name": "b", "model": model(2)}, {"name": "c", "model": model(3)}]
    world.apply(strategy=EXPERIMENTS[name], variants=variants)
    return world.settle()


def turns(world: World, number: int = 40) -> list[dict[str, int]]:
    """So many decisions: the weights after each. Nothing is named by a route that does not run (`World._check`)."""
    seen = []
    for _ in range(number):
        world.turn()
        world.now += 1.5
        seen.append(world.weights)
    return seen


def answered(world: World, *, good: int, bad: int = 0) -> None:
    """Versions 1 and 2 have answered alike, version 2 with so many errors."""
    world.saw(1, counters(good))
    world.saw(2, counters(good, errors=bad), counters(good, errors=bad))


# A new version in the middle of a canary killed the old canary while it still got traffic.


def test_a_new_version_in_mid_canary_keeps_the_old_canary_running_until_no_router_sends_it_requests() -> None:
    world = rolling("canary", scaleDownDelaySeconds=0)
    old = world.id(2)
    assert world.weight(2) == 2_000
    world.apply(model=model(3))
    world.lagging = True  # the routers go on sending it its share
    world.settle()
    world.settle(10_000)
    assert world.weights[old] == 2_000
    assert old in world.running
    assert world.serve[old].replicas
    world.lagging = False
    world.settle()
    assert old not in world.weights
    assert old not in world.running


def test_the_old_canary_lives_on_for_the_scale_down_delay_although_nobody_asks_it_any_more() -> None:
    world = rolling("canary", scaleDownDelaySeconds=30)
    world.apply(model=model(3))
    world.settle(0)
    world.settle(29)
    assert world.id(2) in world.running
    world.settle(1)
    assert world.id(2) not in world.running


@each_strategy
def test_three_versions_in_a_row_end_with_the_last_one_and_lose_no_request(name: str) -> None:
    world = rolling(name)
    for number in (3, 4):
        world.apply(model=model(number))
        assert all(sum(weights.values()) == 10_000 for weights in turns(world, 10))
    world.say("promote", "full")
    assert all(sum(weights.values()) == 10_000 for weights in turns(world))
    assert world.running == {world.id(4)}


# Requests were answered 503 at the end of a rollout, on abort, or on scale-down.


@each_strategy
@pytest.mark.parametrize("ending", ["promote", "abort", "back to stable"])
@pytest.mark.parametrize("delay", [0, 30])
def test_no_route_names_a_version_without_endpoints_with_weight_however_a_rollout_ends(
    name: str, ending: str, delay: int
) -> None:
    world = rolling(name, scaleDownDelaySeconds=delay)
    if ending == "back to stable":
        world.apply(model=model(1))
    else:
        world.say(ending, "full" if ending == "promote" else "")
    for weights in turns(world):
        assert sum(weights.values()) == 10_000
        serving = {version for version, weight in weights.items() if weight}
        assert all(world.serve[version].replicas for version in serving)
    assert world.running == {world.id(2 if ending == "promote" else 1)}


@each_experiment
@pytest.mark.parametrize(("command", "value", "last"), [("promote", "variant=c", 3), ("abort", "", 1)])
def test_no_route_names_a_variant_without_endpoints_with_weight_at_the_end(
    name: str, command: str, value: str, last: int
) -> None:
    world = with_variants(name)
    world.say(command, value)
    for weights in turns(world):
        assert sum(weights.values()) == 10_000
        assert all(world.serve[version].replicas for version, weight in weights.items() if weight)
    assert world.running == {world.id(last)}


# A stable version that had broken kept a good one from taking over.


@each_strategy
def test_a_bad_stable_does_not_keep_a_good_candidate_from_being_promoted_by_a_person(name: str) -> None:
    world = live(analysis=CHECKS, **STRATEGIES[name])
    world.replicas(1, ready=0)
    world.apply(model=model(2))
    world.settle()
    world.say("promote", "full")
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.phase is Phase.HEALTHY


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("canary", True),
        ("canary with sizes", True),
        ("canary with an analysis", True),
        ("blue-green that is watched", True),
    ],
)
def test_a_bad_stable_does_not_hold_up_a_good_candidate_that_answers_live_requests(name: str, evidence: bool) -> None:
    world = live(analysis=CHECKS, **STRATEGIES[name])
    world.replicas(1, ready=0)
    world.apply(model=model(2))
    world.settle()
    assert world.weight(2) == 10_000, "the requests that stable cannot answer"
    for _ in range(4):
        if evidence and world.status.candidate is not None:
            world.saw(2, counters(5_000))
        world.settle(60)
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_a_bad_stable_leaves_an_experiment_to_the_others_and_nobody_wins_for_want_of_a_rival() -> None:
    world = live(analysis=CHECKS, **STRATEGIES["A/B test"])
    world.replicas(1, ready=0)
    world.apply(model=model(2))
    world.settle()
    world.saw(2, counters(5_000))
    world.settle(60)
    assert world.weight(2) == 10_000
    assert world.status.experiment is not None
    assert world.status.experiment.winner == ""
    world.replicas(1, ready=1)
    world.settle()
    assert (world.weight(1), world.weight(2)) == (5_000, 5_000)


@pytest.mark.parametrize("name", ["blue-green", "shadow", "canary with selected requests"])
def test_while_a_bad_stable_answers_nothing_what_may_have_no_live_request_still_has_none(name: str) -> None:
    world = live(analysis=CHECKS, **STRATEGIES[name])
    world.replicas(1, ready=0)
    world.apply(model=model(2))
    world.settle(3_000)
    assert set(world.weights.values()) == {0}
    assert world.status.candidate is not None, "held, not given up"
    world.replicas(1, ready=1)
    world.settle()
    assert world.weight(1) == 10_000


@each_strategy
def test_while_a_bad_stable_answers_nothing_a_person_gets_a_candidate_past_each_of_its_steps(name: str) -> None:
    world = live(analysis=CHECKS, **STRATEGIES[name])
    world.replicas(1, ready=0)
    world.apply(model=model(2))
    world.settle()
    while world.status.candidate is not None:
        world.say("promote", "step")
        world.settle()
        assert "CommandRefused" not in {event.reason for event in world.events}
    assert (world.weight(2), world.status.phase) == (10_000, Phase.HEALTHY)


def test_a_stable_that_breaks_when_everything_was_switched_is_not_missed() -> None:
    world = rolling("blue-green that is watched")
    world.replicas(1, ready=0)
    world.settle()
    assert world.weight(2) == 10_000
    world.saw(2, counters(5_000))
    world.settle(10)
    assert world.status.phase is Phase.HEALTHY


def test_a_winner_whose_replicas_are_gone_is_not_promoted_before_they_are_back() -> None:
    world = with_variants("A/B test")
    world.apply(analysis={})
    world.replicas(2, ready=0)
    for number, errors in ((1, 400), (2, 0), (3, 400)):
        world.saw(number, counters(2_000, errors=errors))
    world.settle(60)
    assert world.status.experiment is not None
    assert world.status.experiment.winner == "b"
    assert (world.weight(1), world.weight(2), world.weight(3)) == (7_000, 0, 3_000)
    world.replicas(2, ready=1)
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_a_variant_that_stays_without_replicas_is_taken_out() -> None:
    world = with_variants("bandit")
    world.replicas(2, ready=0)
    world.settle()
    world.settle(600)
    assert world.weights[world.id(2)] == 0
    assert "b was taken out: it was not ready within 600 s" in world.status.message


# Versions that were aborted were tried again by themselves.


def aborted_by_hand(world: World) -> None:
    """Somebody aborts."""
    world.say("abort")


def failing_its_check(world: World) -> None:
    """Half of its answers are errors."""
    answered(world, good=1_000, bad=500)


def taken_back(world: World) -> None:
    """Somebody takes it back."""
    world.say("undo")


def cannot_be_loaded(world: World) -> None:
    """Ray Serve gives up on it."""
    world.broken[world.id(2)] = "MemoryError"


@each_strategy
@pytest.mark.parametrize("failure", [aborted_by_hand, failing_its_check, taken_back, cannot_be_loaded])
def test_a_version_that_was_given_up_is_not_tried_again_for_days_and_restarts(
    name: str, failure: Callable[[World], None]
) -> None:
    world = rolling(name)
    failure(world)
    world.settle(10)
    assert world.status.candidate is None
    world.broken.clear()
    for _ in range(5):
        world.restart()
        world.recount()
        world.settle(86_400)
        assert world.status.candidate is None
        assert world.running == {world.id(1)}
    world.apply(progressDeadlineSeconds=300)
    world.settle()
    assert world.running == {world.id(1)}, "the same version under a spec with another detail"
    world.say("retry")
    world.settle()
    assert world.id(2) in world.running


@each_experiment
def test_an_experiment_that_was_ended_does_not_begin_again_for_days_and_restarts(name: str) -> None:
    world = with_variants(name)
    world.say("abort")
    world.settle()
    for _ in range(5):
        world.restart()
        world.settle(86_400)
        assert world.running == {world.id(1)}


# No traffic, or too little, counted as good (or as bad).


@each_strategy
@pytest.mark.parametrize("requests", [0, 3])
def test_no_or_little_traffic_neither_aborts_nor_advances(name: str, requests: int) -> None:
    world = rolling(name)
    before = (world.status.step, world.weights, world.shadow, world.selected)
    for _ in range(5):
        answered(world, good=requests)
        world.settle(86_400)
        assert world.status.candidate is not None
        assert (world.status.step, world.weights, world.shadow, world.selected) == before
    assert world.status.failed is None


@each_strategy
def test_a_reading_that_fails_neither_aborts_nor_advances(name: str) -> None:
    world = rolling(name)
    before = (world.status.step, world.weights)
    world.traffic = None
    world.settle(86_400)
    assert world.status.candidate is not None
    assert (world.status.step, world.weights) == before


@each_experiment
@pytest.mark.parametrize("requests", [0, 3])
def test_no_or_little_traffic_ends_no_experiment(name: str, requests: int) -> None:
    world = with_variants(name)
    for number, errors in ((1, requests // 3), (2, 0), (3, requests // 3)):
        world.saw(number, counters(requests, errors=errors))
    for _ in range(5):
        world.settle(86_400)
    assert world.status.experiment is not None
    assert world.status.experiment.winner == ""
    assert sum(weight > 0 for weight in world.weights.values()) == 3


# Promotion restarted the replicas of the version that it promoted.


@each_strategy
def test_promotion_restarts_no_replica(name: str) -> None:
    world = rolling(name, serving={"replicas": 3})
    world.say("promote", "full")
    replicas = set(world.serve[world.id(2)].replicas)
    turns(world)
    assert world.status.phase is Phase.HEALTHY
    assert replicas <= set(world.serve[world.id(2)].replicas)
    assert world.running == {world.id(2)}


@each_experiment
def test_the_promotion_of_a_variant_restarts_no_replica(name: str) -> None:
    world = with_variants(name)
    before = world.serve[world.id(3)]
    world.say("promote", "variant=c")
    turns(world)
    assert world.running == {world.id(3)}
    assert world.serve[world.id(3)] == before


@each_experiment
def test_naming_the_winner_in_the_manifest_restarts_no_replica_either(name: str) -> None:
    world = with_variants(name)
    world.say("promote", "variant=c")
    world.settle()
    before = world.serve[world.id(3)]
    world.apply(model=model(3), strategy=None, variants=[])
    turns(world)
    assert (world.status.phase, world.running) == (Phase.HEALTHY, {world.id(3)})
    assert world.serve[world.id(3)] == before


@each_experiment
def test_naming_a_running_variant_as_the_model_goes_on_with_its_replicas(name: str) -> None:
    world = with_variants(name)
    before = world.serve[world.id(3)]
    world.apply(model=model(3), strategy=STEPS, variants=[])
    world.settle()
    assert world.weights == {world.id(3): 2_000, world.id(1): 8_000, world.id(2): 0}
    assert world.serve[world.id(3)] == before
