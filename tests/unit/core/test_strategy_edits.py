"""Another strategy in the manifest while a candidate is on its way: what it got under the old one proves nothing."""

from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.observe import VersionFeedback
from operators.status import Phase, Tally

CANARY = canary({"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}})
SIZED = canary({"setReplicas": 1}, {"setWeight": 20}, {"pause": {}})
BLUE_GREEN = {"blueGreen": {"autoPromote": False}}
SHADOW = {"shadow": {}}
TEST = {"abTest": {"goal": {"metric": "success-rate"}}}
BANDIT = {"bandit": {"reward": "success-rate"}}


def rolling(strategy: dict[str, Any], **spec: Any) -> World:
    """Version 1 stable, version 2 on its way."""
    world = live(strategy=strategy, **spec)
    world.apply(model=model(2))
    return world.settle()


@pytest.mark.parametrize("edited", [CANARY, BLUE_GREEN, SHADOW, TEST, BANDIT])
@pytest.mark.parametrize("first", [CANARY, BLUE_GREEN, SHADOW, TEST, BANDIT])
def test_a_candidate_ends_up_where_it_would_have_been_under_the_other_strategy_from_the_start(
    first: dict[str, Any], edited: dict[str, Any]
) -> None:
    world = rolling(first)
    if first is CANARY:
        world.say("promote", "step")
        world.settle()
    before = (world.status.step, world.weights)
    world.apply(strategy=edited)
    world.settle()
    if first is edited:
        assert (world.status.step, world.weights) == before
        return
    fresh = rolling(edited)
    assert (world.status.step, world.weights, world.shadow) == (fresh.status.step, fresh.weights, fresh.shadow)
    assert (world.status.experiment is None) == (fresh.status.experiment is None)
    assert "StartedOver" in world.reasons()


def test_a_shadow_that_was_a_canary_gets_no_live_request() -> None:
    world = rolling(CANARY)
    world.apply(strategy=SHADOW)
    world.settle()
    assert (world.weight(2), world.shadow) == (0, 10_000)


def test_a_switch_waits_for_the_size_that_a_canary_did_not_need() -> None:
    world = rolling(SIZED, serving={"replicas": 3})
    assert world.sizes_wanted[world.id(2)] == 1
    world.apply(strategy={"blueGreen": {}})
    while world.status.candidate is not None:
        world.turn()
        assert world.weight(2) == 0 or len(world.serve[world.id(2)].replicas) == 3
    assert world.weight(2) == 10_000


def test_steps_that_are_edited_within_a_canary_do_not_start_over() -> None:
    world = rolling(CANARY)
    world.apply(strategy=canary({"setWeight": 20}, {"pause": {"duration": "1h"}}, {"setWeight": 70}, {"pause": {}}))
    world.settle()
    assert (world.weight(2), world.status.step) == (2_000, 1)
    world.settle(3_600)
    assert world.weight(2) == 7_000


def test_a_promotion_that_comes_with_another_strategy_does_not_skip_that_one() -> None:
    world = rolling(CANARY)
    world.apply(strategy=SHADOW)
    world.say("promote", "full")
    world.settle()
    assert world.weight(2) == 0
    assert world.events[-1].reason != "Promoted"
    assert not world.annotations


def test_a_way_back_that_the_manifest_now_asks_for_goes_through_its_steps() -> None:
    world = live(rollbackWindow=0)
    world.apply(model=model(2))
    world.settle()
    world.say("undo")
    world.lag_once(lambda: world.status.weight == 10_000)
    world.apply(model=model(1), strategy=canary({"setShadow": 100}, {"pause": {}}))
    world.lagging = False
    world.settle()
    assert (world.weight(1), world.shadow) == (0, 10_000)


@pytest.mark.parametrize(
    "goal",
    [{"metric": "feedback-reward"}, {"metric": "latency-within", "within": "10ms"}, {"metric": "feedback-accuracy"}],
)
def test_a_test_of_something_else_begins_with_nothing(goal: dict[str, Any]) -> None:
    world = rolling(TEST)
    world.saw(1, counters(2_000, errors=400))
    world.saw(2, counters(2_000))
    world.settle(15)
    assert world.status.experiment is not None
    assert world.status.experiment.winner == "candidate"
    world.feedback = {}
    world.apply(strategy={"abTest": {"goal": goal}})
    world.settle()
    assert world.status.phase is Phase.PROGRESSING
    assert world.status.experiment is not None
    assert {arm.counted for arm in world.status.experiment.arms} == {Tally()}


@pytest.mark.parametrize("reachable", [True, False])
def test_rewards_of_a_bandit_are_no_answers_of_a_test(reachable: bool) -> None:
    variants = [{"name": "b", "model": model(2)}, {"name": "c", "model": model(3)}]
    world = live(strategy={"bandit": {"reward": "feedback-reward"}}, variants=variants, analysis={"checks": [ERRORS]})
    world.feedback = {world.id(number): VersionFeedback(rewards=Tally(100, 300.0, 1_000.0)) for number in (1, 2, 3)}
    world.settle(60)
    world.reachable = reachable
    shares = {"control": 50, "b": 30, "c": 20}
    world.apply(strategy={"abTest": {"shares": shares, "goal": {"metric": "success-rate"}}})
    world.saw(1, counters(1_000))
    world.settle(60)
    assert world.status.experiment is not None
    world.reachable = True
    world.settle()
    assert (world.weight(2), world.weight(3)) == (3_000, 2_000)


@pytest.mark.parametrize("number", [2, 3])
def test_a_model_that_was_a_variant_goes_on_as_the_candidate(number: int) -> None:
    world = live()
    variants = [{"name": "b", "model": model(2)}, {"name": "c", "model": model(3)}]
    world.apply(strategy=BANDIT, variants=variants)
    world.settle()
    rest = [one for one in variants if one["model"] != model(number)]
    world.apply(model=model(number), variants=rest)
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(number)
    assert world.weights[world.id(5 - number)] == 5_000
