"""Rollouts whose size follows their requests: what Ray Serve may choose, and what a new version needs to take over."""

from typing import Any

from core_world import World, canary, live, model
from experiment_kit import bandit, variants

from operators.api import revision_of
from operators.status import Phase
from operators.unchanged import as_it_is

SCALING = {"minReplicas": 2, "maxReplicas": 6}
BLUE_GREEN = {"blueGreen": {"postPromotionAnalysis": {}}}
ERRORS = {"checks": [{"name": "errors", "metric": "error-rate", "max": 0.05}]}


def grown(ready: int = 5, **spec: Any) -> World:
    """Version 1 is stable, and Ray Serve has chosen so many replicas for it."""
    world = live(serving={"autoscaling": SCALING}, **spec)
    assert world.sizes_wanted == {world.id(1): 2}
    world.replicas(1, ready)
    return world.settle()


def bounds(world: World) -> dict[str, tuple[int, int]]:
    """The least and the most replicas of every version."""
    assert world.plan is not None
    return {
        target.key.version: (target.replicas, target.autoscaling.max_replicas if target.autoscaling else 0)
        for target in world.plan.targets
    }


def test_a_size_that_ray_serve_has_chosen_is_told_and_not_argued_with() -> None:
    world = grown()
    assert world.status.stable_ready == 5
    assert world.status.phase is Phase.HEALTHY
    assert bounds(world) == {world.id(1): (2, 6)}


def test_other_bounds_begin_no_rollout() -> None:
    world = grown()
    before = world.status.stable
    world.apply(serving={"autoscaling": {"minReplicas": 1, "maxReplicas": 9, "targetOngoingRequests": 2}})
    world.settle()
    assert (world.status.stable, world.status.candidate) == (before, None)
    assert bounds(world) == {world.id(1): (1, 9)}
    world.apply(serving={"replicas": 3})
    world.settle()
    assert (world.status.stable, bounds(world)) == (before, {world.id(1): (3, 0)})


def test_a_new_version_takes_over_once_it_is_as_large_as_the_old_one() -> None:
    world = grown()
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    assert bounds(world) == {world.id(1): (5, 6), world.id(2): (5, 6)}
    assert world.status.message == f"{world.id(2)} is starting, 0 of 5 replicas are ready: Ray is starting it"
    world.stuck.clear()
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.stable_ready == 5


def test_more_than_the_largest_number_is_not_asked_for() -> None:
    world = grown(6)
    world.apply(serving={"autoscaling": {"maxReplicas": 3}}, model=model(2), strategy=canary({"pause": {}}))
    world.settle()
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}


def test_a_new_version_grows_with_the_old_one_that_it_may_have_to_replace() -> None:
    world = grown(2, strategy=canary({"setWeight": 5}, {"pause": {}}))
    world.apply(model=model(2))
    world.settle()
    assert world.sizes_wanted == {world.id(1): 2, world.id(2): 2}
    world.replicas(1, 4)
    world.settle()
    assert world.sizes_wanted == {world.id(1): 4, world.id(2): 4}


def test_the_old_version_keeps_its_size_for_the_way_back() -> None:
    world = grown(strategy=BLUE_GREEN, analysis=ERRORS)
    world.apply(model=model(2))
    world.settle()
    assert world.weight(2) == 10_000
    assert world.sizes_wanted == {world.id(1): 5, world.id(2): 5}, "stable gets no requests, but may at once"
    world.say("abort")
    world.settle()
    assert world.sizes_wanted == {world.id(1): 2, world.id(2): 5}, "what leaves keeps its size for an undo"


def test_after_a_promotion_the_sizes_follow_the_requests_again() -> None:
    world = grown()
    world.apply(model=model(2))
    world.settle()
    assert world.sizes_wanted == {world.id(1): 5, world.id(2): 2}
    world.settle(31)
    assert world.sizes_wanted == {world.id(2): 2}


def test_variants_begin_as_large_as_their_control() -> None:
    world = grown(3)
    world.apply(strategy=bandit(), variants=variants(b=2))
    world.settle()
    assert world.weights == {world.id(2): 5_000, world.id(1): 5_000}
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}


def test_a_rollout_that_is_held_keeps_its_sizes() -> None:
    world = grown(strategy=canary({"setWeight": 5}, {"pause": {}}))
    world.apply(model=model(2))
    world.settle()
    assert world.plan is not None
    held = as_it_is(world.rollout, None, None)
    assert sorted(held.targets, key=lambda target: target.key) == list(world.plan.targets)
    assert {target.key.version for target in held.targets} == {revision_of(world.rollout).id, world.id(1)}
