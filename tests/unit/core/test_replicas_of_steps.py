"""`setReplicas`: a candidate in the size of its step, and in full size before it gets everything."""

from dataclasses import replace
from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase
from serving.spec import TargetPhase

SMALL_FIRST = canary(
    {"setReplicas": 1}, {"setWeight": 5}, {"pause": {}}, {"setReplicas": 2}, {"setWeight": 50}, {"pause": {}}
)


def rolling(strategy: dict[str, Any] = SMALL_FIRST, replicas: int = 4, **spec: Any) -> World:
    """Version 1 stable, version 2 on its way."""
    world = live(strategy=strategy, serving={"replicas": replicas}, **spec)
    world.apply(model=model(2))
    return world.settle()


def slow(world: World) -> None:
    """From now on no replica of version 2 is started: the ones that there are stay."""
    version, state = world.id(2), world.serve[world.id(2)]
    world.stuck.add(version)
    world.serve[version] = replace(state, phase=TargetPhase.STARTING)


def ready(world: World) -> int:
    """Replicas of version 2 that answer."""
    return len(world.serve[world.id(2)].replicas)


def test_a_candidate_whose_first_step_sizes_it_starts_in_that_size() -> None:
    world = live(strategy=SMALL_FIRST, serving={"replicas": 4})
    world.apply(model=model(2))
    world.turn()
    assert world.sizes_wanted == {world.id(1): 4, world.id(2): 1}
    world.settle()
    assert (world.weight(2), ready(world)) == (500, 1)


def test_a_candidate_whose_first_step_does_not_size_it_starts_in_full_size() -> None:
    world = rolling(canary({"setWeight": 5}, {"pause": {}}, {"setReplicas": 1}))
    assert world.sizes_wanted[world.id(2)] == 4


def test_a_size_stays_until_another_step_sets_one() -> None:
    world = rolling()
    world.settle(1_000)
    assert world.sizes_wanted[world.id(2)] == 1
    world.say("promote", "step")
    world.settle()
    assert world.sizes_wanted[world.id(2)] == 2
    assert world.weight(2) == 5_000


def test_more_weight_waits_for_the_replicas_that_it_was_sized_for() -> None:
    world = rolling()
    slow(world)
    world.say("promote", "step")
    world.settle(1_000)
    assert (world.weight(2), world.sizes_wanted[world.id(2)], ready(world)) == (500, 2, 1)
    assert world.status.message.endswith("setReplicas 2, waiting for its replicas")
    world.stuck.clear()
    world.settle()
    assert world.weight(2) == 5_000


def test_stable_keeps_its_size_until_promotion_whatever_the_candidate_has() -> None:
    world = rolling()
    for _ in range(2):
        assert world.sizes_wanted[world.id(1)] == 4
        world.say("promote", "step")
        world.settle()
    assert world.status.phase is Phase.HEALTHY


def test_it_grows_to_full_size_before_it_gets_everything() -> None:
    world = rolling()
    world.say("promote", "step")
    world.settle()
    slow(world)
    world.say("promote", "step")
    world.settle(1_000)
    assert (world.weight(2), world.sizes_wanted[world.id(2)], ready(world)) == (5_000, 4, 2)
    world.stuck.clear()
    world.settle()
    assert (world.weight(2), ready(world)) == (10_000, 4)
    assert world.status.phase is Phase.HEALTHY


@pytest.mark.parametrize(
    "strategy",
    [
        SMALL_FIRST,
        canary({"setReplicas": 1}, {"setWeight": 10}, {"pause": {}}),
        canary(
            {"setReplicas": 1}, {"setWeight": 10}, {"pause": {}}, {"setReplicas": 4}, {"setWeight": 50}, {"pause": {}}
        ),
        canary({"setReplicas": 1}, {"pause": {}}, {"setWeight": 100}, {"setReplicas": 2}, {"pause": {}}),
    ],
)
def test_promote_full_too_grows_it_first_and_then_goes_to_the_very_end(strategy: dict[str, Any]) -> None:
    world = rolling(strategy)
    before = world.weight(2)
    slow(world)
    world.say("promote", "full")
    world.settle(100)
    assert (world.weight(2), world.sizes_wanted[world.id(2)], ready(world)) == (before, 4, 1)
    world.stuck.clear()
    world.settle()
    assert (world.weight(2), ready(world), world.status.phase) == (10_000, 4, Phase.HEALTHY)


def test_a_weight_of_100_percent_waits_for_full_size_as_the_end_does() -> None:
    world = rolling(canary({"setReplicas": 1}, {"pause": {}}, {"setWeight": 100}, {"pause": {}}))
    slow(world)
    world.say("promote", "step")
    world.settle(100)
    assert (world.weight(2), world.sizes_wanted[world.id(2)]) == (0, 4)
    world.stuck.clear()
    world.settle()
    assert (world.weight(2), ready(world)) == (10_000, 4)
    assert world.status.candidate is not None


def test_what_has_everything_is_not_made_smaller() -> None:
    world = rolling(canary({"setWeight": 100}, {"setReplicas": 1}, {"pause": {}}))
    assert (world.weight(2), world.sizes_wanted[world.id(2)]) == (10_000, 4)


def test_promotion_restarts_no_replica_that_was_sized_by_steps() -> None:
    world = rolling()
    world.say("promote", "full")
    seen = set(world.serve[world.id(2)].replicas)
    for _ in range(20):
        world.turn()
        assert seen <= set(world.serve[world.id(2)].replicas)
        seen = set(world.serve[world.id(2)].replicas)
    assert world.status.phase is Phase.HEALTHY
    assert len(seen) == 4


@pytest.mark.parametrize("ending", ["abort", "check", "superseded"])
def test_a_small_candidate_does_not_grow_before_it_goes(ending: str) -> None:
    world = rolling(analysis={"interval": "10s", "checks": [ERRORS]})
    if ending == "abort":
        world.say("abort")
    elif ending == "check":
        world.saw(2, live=counters(100, errors=90))
    else:
        world.apply(model=model(3))
    world.settle(10)
    assert world.sizes_wanted[world.id(2)] == 1
    assert world.weight(2) == 0
    world.restart()
    world.settle()
    assert world.sizes_wanted[world.id(2)] == 1


def test_a_candidate_that_is_tried_again_begins_small_again() -> None:
    world = rolling()
    world.say("promote", "step")
    world.settle()
    world.say("abort")
    world.settle()
    world.say("retry")
    world.settle()
    assert (world.weight(2), world.sizes_wanted[world.id(2)]) == (500, 1)


def test_undo_to_a_version_waits_for_full_size() -> None:
    world = live(serving={"replicas": 3}, scaleDownDelaySeconds=0)
    world.apply(model=model(2), strategy=SMALL_FIRST)
    world.settle()
    world.say("promote", "full")
    world.settle()
    world.say("undo")
    world.turn()
    world.turn()
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}


def test_a_manifest_that_grows_during_a_rollout_is_followed_at_its_end() -> None:
    world = rolling(replicas=2)
    world.apply(serving={"replicas": 3})
    world.settle()
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 1}
    world.say("promote", "full")
    world.settle()
    assert (world.weight(2), ready(world)) == (10_000, 3)
