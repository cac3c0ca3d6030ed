"""What people can ask for, and what they hear when it makes no sense."""

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.reconcile import reconcile
from operators.status import Phase

STEPS = canary({"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "1m"}})


def rolling(strategy: object = STEPS, **spec: object) -> World:
    """Version 1 stable, version 2 waiting in the first pause."""
    world = live(strategy=strategy, **spec)
    world.apply(model=model(2))
    return world.settle()


def refusal(world: World) -> str:
    """The answer to a command that made no sense; it was consumed."""
    world.settle()
    assert not world.annotations
    event = world.events[-1]
    assert (event.reason, event.warning) == ("CommandRefused", True)
    return event.message


def test_promote_goes_past_the_current_step_only() -> None:
    world = rolling()
    world.say("promote", "step")
    world.settle()
    assert world.weight(2) == 5_000
    assert not world.annotations


def test_promote_full_goes_to_the_end() -> None:
    world = rolling()
    world.say("promote", "full")
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.phase is Phase.HEALTHY


def test_promote_ends_a_timed_pause_early() -> None:
    world = rolling()
    world.say("promote", "step")
    world.settle()
    world.say("promote", "step")
    world.settle()
    assert world.weight(2) == 10_000


@pytest.mark.parametrize(
    ("value", "weight", "failed"), [("full", 0, True), ("full,force", 10_000, False), ("step,force", 5_000, False)]
)
def test_a_failed_check_blocks_a_promotion_unless_it_is_forced(value: str, weight: int, failed: bool) -> None:
    world = rolling(analysis={"checks": [ERRORS]})
    world.saw(2, live=counters(100, errors=50))
    world.say("promote", value)
    world.settle(10)
    assert world.weight(2) == weight
    assert (world.status.failed is not None) is failed


def test_promote_before_the_candidate_is_ready_is_refused() -> None:
    world = live(strategy=STEPS)
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    world.say("promote", "step")
    assert "not ready yet" in refusal(world)


def test_promote_while_a_router_has_not_answered_is_refused() -> None:
    world = live(strategy=STEPS)
    world.apply(model=model(2))
    world.lag_once(lambda: world.status.step == 0)
    world.say("promote", "step")
    assert "waiting for the routers" in refusal(world)


def test_promote_of_a_candidate_without_replicas_is_refused() -> None:
    world = rolling()
    world.replicas(2, ready=0)
    world.say("promote", "full")
    assert "no replica" in refusal(world)


def test_promote_of_a_paused_rollout_is_refused() -> None:
    world = rolling()
    world.apply(paused=True)
    world.say("promote", "step")
    assert "tidegate resume iris" in refusal(world)


def test_promote_with_nothing_on_its_way_is_refused_and_names_retry_after_an_abort() -> None:
    world = rolling()
    world.say("abort")
    world.settle()
    world.say("promote", "step")
    assert "tidegate retry iris" in refusal(world)


@pytest.mark.parametrize("value", ["", "all", "step,now", "force"])
def test_an_unknown_way_to_promote_is_refused(value: str) -> None:
    world = rolling()
    world.say("promote", value)
    assert "is neither step, full nor variant=NAME" in refusal(world)
    assert world.weight(2) == 1_000


def test_abort_takes_everything_from_the_candidate_at_once() -> None:
    world = rolling()
    world.say("abort")
    world.settle()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    assert world.status.phase is Phase.DEGRADED


@pytest.mark.parametrize("command", ["abort", "retry", "undo"])
def test_a_command_without_its_occasion_is_refused(command: str) -> None:
    world = live()
    world.say(command)
    assert refusal(world).startswith(f"{command}: ")


def test_undo_brings_the_former_version_back_at_once_while_it_still_runs() -> None:
    world = rolling()
    world.say("promote", "full")
    world.settle()
    world.settle(10)
    world.say("undo")
    world.turn()
    world.turn()
    assert world.weight(1) == 10_000


def test_undo_is_sticky_although_the_spec_names_the_newer_version() -> None:
    world = rolling()
    world.say("promote", "full")
    world.settle()
    world.settle(1_000)
    world.say("undo")
    world.settle()
    world.settle(1_000)
    assert world.weights == {world.id(1): 10_000}
    assert world.status.failed == world.id(2)
    assert world.status.phase is Phase.HEALTHY
    assert "taken back" in world.status.message
    world.say("retry")
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.failed is None


def test_undo_twice_goes_there_and_back() -> None:
    world = live()
    world.apply(model=model(2))
    world.settle()
    world.say("undo")
    world.settle()
    assert world.weight(1) == 10_000
    world.say("undo")
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.failed is None
    assert world.condition("Ready")[1] == "Stable"


def test_undo_to_a_chosen_version_skips_the_steps_however_old_it_is() -> None:
    world = live(rollbackWindow=0)
    for number in (2, 3, 4):
        world.apply(model=model(number))
        world.settle()
    world.apply(strategy=STEPS)
    world.say("undo", world.id(1)[:6])
    world.settle()
    assert world.weight(1) == 10_000
    assert world.status.failed == world.id(4)


def test_undo_to_an_unknown_version_names_the_known_ones() -> None:
    world = live()
    world.apply(model=model(2))
    world.settle()
    world.say("undo", "ffffffffff")
    assert world.id(1) in refusal(world)


def test_undo_during_a_rollout_takes_the_candidate_back() -> None:
    world = rolling()
    world.say("undo")
    world.settle()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    assert world.status.failed == world.id(2)


def test_undo_to_a_chosen_version_during_a_rollout_replaces_the_candidate() -> None:
    world = live()
    world.apply(model=model(2))
    world.settle()
    world.apply(model=model(3), strategy=STEPS)
    world.settle()
    world.say("undo", world.id(1))
    world.settle()
    assert world.weights[world.id(1)] == 10_000
    assert world.status.failed == world.id(3)


def test_a_failing_undo_leaves_stable_and_does_not_try_the_aborted_version_again() -> None:
    world = live(scaleDownDelaySeconds=0)
    world.apply(model=model(2))
    world.settle()
    world.apply(model=model(3), strategy=STEPS)
    world.settle()
    world.say("abort")
    world.settle()
    world.broken[world.id(1)] = "the file is gone"
    world.say("undo")
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.candidate is None
    assert world.status.failed == world.id(3)
    assert "the file is gone" in world.status.message


def test_a_paused_rollout_keeps_its_weights_and_starts_its_wait_over_when_it_goes_on() -> None:
    world = rolling(canary({"setWeight": 10}, {"pause": {"duration": "1m"}}, {"setWeight": 50}, {"pause": {}}))
    world.settle(50)
    world.apply(paused=True)
    world.settle()
    world.settle(1_000)
    assert world.weight(2) == 1_000
    assert world.status.phase is Phase.PAUSED
    world.apply(paused=False)
    world.settle()
    world.settle(59)
    assert world.weight(2) == 1_000
    world.settle(1)
    assert world.weight(2) == 5_000


def test_a_paused_rollout_starts_its_candidate_but_gives_it_nothing() -> None:
    world = live(strategy=STEPS, paused=True)
    assert world.status.stable is None
    assert world.status.phase is Phase.PAUSED
    world.apply(paused=False)
    world.settle()
    assert world.weight(1) == 10_000


def test_several_commands_are_answered_in_the_order_of_caution() -> None:
    world = rolling()
    world.say("promote", "full")
    world.say("abort")
    world.settle()
    assert world.weight(2) == 0
    assert not world.annotations


def test_a_command_that_is_named_is_spelled_as_people_type_it_where_the_operator_runs() -> None:
    world = rolling()
    rollout, observed = world.rollout, world.observed()
    assert "`tidegate promote iris`" in reconcile(rollout, observed).status.message
    typed = "kubectl tidegate {command} {name} -n {namespace}"
    said = reconcile(rollout, observed, typed).status.message
    assert "`kubectl tidegate promote iris -n default`" in said
