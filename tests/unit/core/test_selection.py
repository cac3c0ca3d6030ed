"""`traffic.match` and `previewMatch`: requests that a candidate answers whatever its weight."""

from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase
from router.ir import Condition

STEPS = canary({"setWeight": 0}, {"pause": {}}, {"setWeight": 20}, {"pause": {}})
HEADER = [{"header": "X-Group", "in": ["beta", "staff"]}]


def rolling(match: list[dict[str, Any]], strategy: dict[str, Any] = STEPS, **spec: Any) -> World:
    """Version 1 stable, version 2 with its selected requests."""
    world = live(strategy=strategy, traffic={"match": match}, **spec)
    world.apply(model=model(2))
    return world.settle()


@pytest.mark.parametrize(
    ("match", "condition"),
    [
        ({"header": "X-Group", "exact": "beta"}, Condition(header="x-group", values=("beta",))),
        ({"header": "x-group", "in": ["a", "b"]}, Condition(header="x-group", values=("a", "b"))),
        ({"header": "x-group", "prefix": "be"}, Condition(header="x-group", prefix="be")),
        ({"header": "x-group"}, Condition(header="x-group")),
        ({"feature": "client.land", "in": ["NL", "BE"]}, Condition(feature=("client", "land"), values=("NL", "BE"))),
        ({"feature": "age", "min": 18, "below": 65}, Condition(feature=("age",), low=18, high=65)),
        ({"feature": "new", "exact": True}, Condition(feature=("new",), values=(True,))),
        ({"feature": "amount", "exact": 0}, Condition(feature=("amount",), values=(0,))),
    ],
)  # fmt: skip
def test_a_match_becomes_a_condition_of_the_route(match: dict[str, Any], condition: Condition) -> None:
    world = rolling([match])
    assert world.in_force is not None
    assert world.in_force.selection is not None
    assert world.in_force.selection.matches == ((condition,),)


def test_all_of_must_hold_together_and_any_of_several_is_enough() -> None:
    world = rolling([{"allOf": [{"header": "a"}, {"header": "b"}]}, {"header": "c"}])
    assert world.in_force is not None
    assert world.in_force.selection is not None
    assert world.in_force.selection.matches == (
        (Condition(header="a"), Condition(header="b")),
        (Condition(header="c"),),
    )


def test_the_candidate_answers_selected_requests_from_its_first_step_to_its_last() -> None:
    world = rolling(HEADER)
    assert (world.selected, world.weight(2)) == (world.id(2), 0)
    world.say("promote", "step")
    world.settle()
    assert (world.selected, world.weight(2)) == (world.id(2), 2_000)
    world.say("promote", "step")
    world.settle()
    assert (world.selected, world.weight(2), world.status.phase) == (None, 10_000, Phase.HEALTHY)


def test_nothing_is_selected_for_a_candidate_that_is_not_ready() -> None:
    world = live(strategy=STEPS, traffic={"match": HEADER})
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    assert world.selected is None


def test_nothing_is_selected_before_every_router_knows_the_candidate() -> None:
    world = live(strategy=STEPS, traffic={"match": HEADER})
    world.apply(model=model(2))
    world.lag_once(lambda: any(one.version == world.id(2) and one.endpoints for one in world.published.backends))  # type: ignore[union-attr]
    world.settle(1_000)
    assert world.published is not None
    assert world.published.selection is None
    world.lagging = False
    world.settle()
    assert world.selected == world.id(2)


def test_selected_requests_go_to_stable_while_the_candidate_has_no_replicas() -> None:
    world = rolling(HEADER)
    world.replicas(2, ready=0)
    world.settle()
    assert world.selected is None
    world.replicas(2, ready=1)
    world.settle()
    assert world.selected == world.id(2)


def test_an_abort_gives_selected_requests_back_at_once() -> None:
    world = rolling(HEADER)
    world.say("abort")
    world.turn()
    assert (world.selected, world.weight(1)) == (None, 10_000)


@pytest.mark.parametrize("first", [{"pause": {"duration": "1m"}}, {"analysis": {"maxDuration": "1m"}}])
def test_selected_requests_are_judged_before_any_step_gives_weight(first: dict[str, Any]) -> None:
    world = rolling(
        HEADER, canary(first, {"setWeight": 20}, {"pause": {}}), analysis={"interval": "10s", "checks": [ERRORS]}
    )
    assert world.status.evidence_since is not None
    world.settle(60)
    assert world.weight(2) == 0, "no request was seen"
    world.saw(2, live=counters(100, errors=90))
    world.settle(10)
    assert world.status.failed == world.id(2)


def test_an_analysis_of_selected_requests_alone_passes_by_them() -> None:
    world = rolling(HEADER, canary({"analysis": {"minSamples": 100}}), analysis={"checks": [ERRORS]})
    world.saw(2, live=counters(99))
    world.settle(15)
    assert world.weight(2) == 0
    world.saw(2, live=counters(500))
    world.settle(15)
    assert (world.weight(2), world.status.phase) == (10_000, Phase.HEALTHY)


def test_a_first_version_answers_everything_and_nothing_is_selected_for_it() -> None:
    world = World({"model": model(1), "strategy": STEPS, "traffic": {"match": HEADER}})
    world.settle()
    assert (world.selected, world.weight(1)) == (None, 10_000)


def test_a_version_that_comes_back_by_undo_has_nothing_selected_for_it() -> None:
    world = rolling(HEADER)
    world.say("promote", "full")
    world.settle()
    world.say("undo")
    for _ in range(10):
        world.turn()
        assert world.selected is None
    assert world.weight(1) == 10_000


def test_other_matches_take_the_place_of_the_first_ones_without_starting_over() -> None:
    world = rolling(HEADER)
    step = world.status.step
    world.apply(traffic={"match": [{"header": "x-other"}]})
    world.settle()
    assert world.status.step == step
    assert world.in_force is not None
    assert world.in_force.selection is not None
    assert world.in_force.selection.matches == ((Condition(header="x-other"),),)
    world.apply(traffic={})
    world.settle()
    assert world.selected is None


def test_a_preview_is_selected_until_the_switch_only() -> None:
    block = {"previewMatch": HEADER, "autoPromote": False, "postPromotionAnalysis": {}}
    world = live(strategy={"blueGreen": block}, analysis={"checks": [ERRORS]})
    world.apply(model=model(2))
    world.settle()
    assert (world.selected, world.weight(2)) == (world.id(2), 0)
    world.say("promote", "step")
    world.settle()
    assert (world.selected, world.weight(2)) == (None, 10_000)
