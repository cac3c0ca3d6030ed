"""The rows of the semantics table: how versions start, advance, and become stable."""

from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase
from serving.spec import TargetPhase

STEPS = canary({"setWeight": 5}, {"pause": {"duration": "5m"}}, {"setWeight": 50}, {"pause": {}})


def test_a_first_version_skips_the_steps_and_gets_everything_once_ready() -> None:
    world = World({"model": model(1), "strategy": STEPS})
    world.turn()
    assert world.weights == {world.id(1): 0}
    assert world.status.phase is Phase.PENDING
    world.settle()
    assert world.weights == {world.id(1): 10_000}
    assert world.status.phase is Phase.HEALTHY
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(1)


def test_a_first_version_needs_one_ready_replica_only() -> None:
    world = World({"model": model(1), "serving": {"replicas": 3}})
    world.stuck.add(world.id(1))
    world.settle()
    world.serve[world.id(1)] = world.serve[world.id(1)].__class__(TargetPhase.RUNNING)
    world.replicas(1, ready=1)
    world.settle()
    assert world.weight(1) == 10_000


def test_a_first_version_gets_weight_only_after_the_route_with_its_endpoints_was_acknowledged() -> None:
    world = World({"model": model(1)})
    world.lagging = True
    world.settle()
    assert world.published is not None
    assert [backend.weight for backend in world.published.backends] == [0]
    assert world.published.backends[0].endpoints
    assert world.status.stable is None
    world.lagging = False
    world.settle()
    assert world.weight(1) == 10_000


def test_a_changed_model_starts_a_candidate_beside_stable() -> None:
    world = live(strategy=STEPS)
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    assert world.running == {world.id(1), world.id(2)}
    assert world.weights == {world.id(2): 0, world.id(1): 10_000}
    assert world.status.phase is Phase.PROGRESSING
    assert world.condition("CandidateReady")[0] is False


def test_a_canary_walks_through_its_steps() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    assert (world.weight(2), world.weight(1)) == (500, 9_500)
    world.settle(299)
    assert world.weight(2) == 500
    world.settle(1)
    assert (world.weight(2), world.weight(1)) == (5_000, 5_000)
    assert world.status.phase is Phase.PAUSED
    world.settle(10_000)
    assert world.weight(2) == 5_000
    world.say("promote", "step")
    world.settle()
    assert (world.weight(2), world.weight(1)) == (10_000, 0)
    assert world.status.phase is Phase.HEALTHY
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_the_candidate_comes_first_so_that_keys_stay_with_it_as_its_weight_grows() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    assert world.in_force is not None
    assert [backend.version for backend in world.in_force.backends] == [world.id(2), world.id(1)]


def test_a_step_does_not_advance_while_a_router_has_not_acknowledged_its_weight() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.lag_once(lambda: world.status.step is not None)
    world.settle(1000)
    assert world.status.step == 0
    assert world.weight(2) == 0
    assert world.condition("RouterSynced")[:2] == (False, "Waiting")
    world.lagging = False
    world.settle()
    assert world.status.step == 1


def test_a_refused_route_holds_the_step_and_is_no_failure_of_the_model() -> None:
    world = live(strategy=STEPS)
    world.refuses = "Proto constraint validation failed"
    world.apply(model=model(2))
    world.settle(100_000)
    assert world.status.candidate is not None
    assert world.status.failed is None
    assert world.weight(1) == 10_000
    status, reason, message = world.condition("RouterSynced")
    assert (status, reason) == (False, "Rejected")
    assert "Proto constraint validation failed" in message
    world.refuses = None
    world.settle()
    assert world.weight(2) == 500


def test_evidence_counts_from_the_moment_at_which_the_shares_were_acknowledged() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.lag_once(lambda: world.status.step is not None)
    world.settle(7)
    assert world.status.evidence_since is None
    world.lagging = False
    world.settle(3)
    assert world.status.evidence_since == world.now


def test_a_shadow_step_mirrors_and_leaves_users_with_stable() -> None:
    world = live(strategy=canary({"setShadow": 100}, {"pause": {"duration": "1m"}}, {"setShadow": 0}, {"pause": {}}))
    world.apply(model=model(2))
    world.settle()
    assert (world.weight(2), world.weight(1), world.shadow) == (0, 10_000, 10_000)
    world.settle(60)
    assert world.shadow == 0


def test_without_a_strategy_the_candidate_takes_everything_once_all_its_replicas_are_ready() -> None:
    world = live(serving={"replicas": 2})
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    world.serve[world.id(2)] = world.serve[world.id(2)].__class__(TargetPhase.RUNNING)
    world.replicas(2, ready=1)
    world.settle()
    assert world.weight(1) == 10_000
    world.replicas(2, ready=2)
    world.settle()
    assert world.weight(2) == 10_000


def test_a_replaced_version_stays_for_a_while_and_then_leaves_route_and_ray() -> None:
    world = live(scaleDownDelaySeconds=30)
    world.apply(model=model(2))
    world.settle()
    assert world.weights == {world.id(2): 10_000, world.id(1): 0}
    assert world.running == {world.id(1), world.id(2)}
    world.settle(29)
    assert world.id(1) in world.running
    world.settle(1)
    assert world.weights == {world.id(2): 10_000}
    assert world.running == {world.id(2)}


def test_a_version_keeps_its_replicas_until_every_router_has_dropped_it() -> None:
    world = live(scaleDownDelaySeconds=0)
    world.apply(model=model(2))
    world.lag_once(lambda: bool(world.status.stable and world.status.stable.id == world.id(2)))
    world.settle(1000)
    assert world.running == {world.id(1), world.id(2)}
    world.lagging = False
    world.settle()
    assert world.running == {world.id(2)}


def test_a_new_version_in_the_middle_of_a_rollout_starts_at_step_0_beside_the_same_stable() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    world.settle(300)
    assert world.weight(2) == 5_000
    world.stuck.add(world.id(3))
    world.apply(model=model(3))
    world.settle()
    assert world.weights == {world.id(3): 0, world.id(1): 10_000, world.id(2): 0}
    assert world.status.step is None
    world.settle(30)
    assert world.running == {world.id(1), world.id(3)}
    world.stuck.clear()
    world.settle()
    assert (world.weight(3), world.weight(1), world.status.step) == (500, 9_500, 1)


def test_going_back_to_stable_drains_the_candidate_without_steps() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    world.apply(model=model(1))
    world.settle()
    assert world.weight(1) == 10_000
    assert world.status.candidate is None
    assert world.status.phase is Phase.HEALTHY
    world.settle(30)
    assert world.running == {world.id(1)}


@pytest.mark.parametrize(("window", "weight"), [(2, 10_000), (0, 500)])
def test_a_recent_stable_version_skips_the_steps_within_the_rollback_window(window: int, weight: int) -> None:
    world = live(rollbackWindow=window)
    for number in (2, 3):
        world.apply(model=model(number))
        world.settle()
    world.settle(100)
    world.apply(model=model(1), strategy=STEPS)
    world.settle()
    assert world.weight(1) == weight


def test_scaling_changes_what_runs_and_starts_no_rollout() -> None:
    world = live(strategy=STEPS)
    before = world.status.stable
    world.apply(serving={"replicas": 4})
    world.settle()
    assert world.status.stable == before
    assert world.status.candidate is None
    assert world.plan is not None
    assert [target.replicas for target in world.plan.targets] == [4]


@pytest.mark.parametrize("further", [[], [{"setWeight": 2}]])
def test_editing_the_steps_away_starts_over_instead_of_promoting_what_was_not_tried(further: list[Any]) -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    world.settle(300)
    assert world.status.step == 3
    world.apply(strategy=canary({"setWeight": 1}, {"pause": {}}, *further))
    world.settle()
    assert (world.weight(2), world.status.step) == (100, 1)
    assert world.status.candidate is not None


def test_a_timed_pause_asks_to_be_looked_at_when_it_ends() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.settle()
    world.settle(100)
    assert world.plan is not None
    assert world.plan.requeue_after == pytest.approx(200)


def test_a_rollout_at_rest_writes_nothing_and_asks_for_nothing() -> None:
    world = live(strategy=STEPS, analysis={"checks": [ERRORS]})
    world.apply(model=model(2))
    world.settle()
    world.say("promote", "full")
    world.settle()
    world.settle(30)
    writes = world.writes
    for seconds in (1, 100, 100_000):
        world.saw(2, live=counters(int(seconds)))
        world.settle(seconds)
    assert world.writes == writes
    assert world.plan is not None
    assert world.plan.requeue_after is None
    assert not world.plan.events


def test_the_history_keeps_the_newest_lines_only() -> None:
    world = live(scaleDownDelaySeconds=0)
    for number in range(2, 40):
        world.apply(model=model(number))
        world.settle()
    assert len(world.status.history) == 30
    assert world.status.history[-1].version == world.id(39)


@pytest.mark.parametrize(("percent", "weight"), [(0.01, 1), (33.33, 3_333), (99.99, 9_999), (100, 10_000)])
def test_a_weight_has_up_to_two_decimals(percent: float, weight: int) -> None:
    world = live(strategy=canary({"setWeight": percent}, {"pause": {}}))
    world.apply(model=model(2))
    world.settle()
    assert (world.weight(2), world.weight(1)) == (weight, 10_000 - weight)
