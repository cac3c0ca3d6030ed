"""What goes wrong, and what the core makes of it."""

from typing import Any

import pytest
from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase, Verdict
from serving.spec import TargetPhase, TargetState

STEPS = canary({"setWeight": 10}, {"pause": {"duration": "1m"}}, {"setWeight": 50}, {"pause": {}})
CHECKED = {"strategy": STEPS, "analysis": {"interval": "10s", "checks": [ERRORS]}}


def rolling(**spec: Any) -> World:
    """Version 1 stable, version 2 with its first weight."""
    world = live(**({"strategy": STEPS} | spec))
    world.apply(model=model(2))
    return world.settle()


def test_a_failed_check_aborts_and_says_everything() -> None:
    world = rolling(**CHECKED)
    world.saw(1, live=counters(900))
    world.saw(2, live=counters(100, errors=40))
    world.settle(10)
    assert world.weights == {world.id(1): 10_000, world.id(2): 0}
    assert world.status.phase is Phase.DEGRADED
    assert world.status.failed == world.id(2)
    message = world.status.message
    for part in ("errors", "error-rate is 40 %", "5 % allowed", "100 requests", "interval", "tidegate retry iris"):
        assert part in message
    assert world.condition("Stalled")[0] is True
    assert world.condition("Analysed")[:2] == (False, "Fail")
    assert world.events[-1].reason == "Aborted"
    assert world.events[-1].warning


def test_an_aborted_candidate_keeps_its_replicas_for_the_scale_down_delay() -> None:
    world = rolling(**CHECKED, scaleDownDelaySeconds=30)
    world.say("abort")
    world.settle()
    world.settle(29)
    assert world.id(2) in world.running
    world.settle(1)
    assert world.running == {world.id(1)}


def test_an_abort_is_sticky_until_the_spec_changes() -> None:
    world = rolling()
    world.say("abort")
    world.settle()
    world.settle(100_000)
    world.restart()
    world.settle(100)
    assert world.status.candidate is None
    assert world.status.phase is Phase.DEGRADED
    world.apply(paused=False, traffic={"timeout": "6s"})
    world.settle()
    assert world.status.candidate is None
    world.apply(model=model(3))
    world.settle()
    assert world.weight(3) == 1_000
    assert world.status.failed is None


def test_retry_tries_the_aborted_version_again() -> None:
    world = rolling()
    world.say("abort")
    world.settle()
    world.say("retry")
    world.settle()
    assert world.weight(2) == 1_000
    assert world.status.failed is None
    assert not world.annotations


def test_a_version_that_cannot_be_loaded_is_aborted_with_rays_own_message() -> None:
    world = live(strategy=STEPS)
    world.broken[world.id(2)] = "ValueError: not a pickle"
    world.apply(model=model(2))
    world.settle()
    assert world.status.phase is Phase.DEGRADED
    assert "ValueError: not a pickle" in world.status.message
    assert "ValueError: not a pickle" in world.condition("CandidateReady")[2]
    assert world.running == {world.id(1)}
    assert world.weight(1) == 10_000


def test_a_retry_does_not_take_the_old_failure_for_a_new_one() -> None:
    world = live(strategy=STEPS)
    world.broken[world.id(2)] = "no such file"
    world.apply(model=model(2))
    world.settle()
    world.broken.clear()
    stale = TargetState(TargetPhase.FAILED, message="no such file")
    world.serve[world.id(2)] = stale
    world.say("retry")
    world.turn()
    assert world.status.candidate is None
    assert world.status.phase is Phase.PROGRESSING
    world.settle()
    assert world.weight(2) == 1_000


def test_a_failing_first_version_leaves_503_and_says_why() -> None:
    world = World({"model": model(1)})
    world.broken[world.id(1)] = "FileNotFoundError: /models/1"
    world.settle()
    assert world.status.phase is Phase.DEGRADED
    assert world.status.stable is None
    assert world.in_force is not None
    assert world.in_force.backends == ()
    assert world.running == set()
    assert "FileNotFoundError" in world.status.message
    assert "503" in world.status.message


def test_a_candidate_that_is_not_ready_in_time_is_aborted_with_rays_message() -> None:
    world = live(progressDeadlineSeconds=60)
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    world.settle(59)
    assert world.status.candidate is not None
    assert world.status.message.endswith("is starting, 0 of 1 replicas are ready: Ray is starting it")
    world.settle(1)
    assert world.status.phase is Phase.DEGRADED
    assert "not ready within 60 s: Ray is starting it" in world.status.message
    assert world.running == {world.id(1)}


def test_a_pause_does_not_count_for_the_progress_deadline() -> None:
    world = live(progressDeadlineSeconds=60)
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    world.settle(50)
    world.apply(paused=True)
    world.settle()
    world.settle(10_000)
    assert world.status.candidate is not None
    world.apply(paused=False)
    world.settle()
    world.settle(59)
    assert world.status.candidate is not None
    world.settle(1)
    assert world.status.candidate is None


def test_the_progress_deadline_does_not_count_while_ray_does_not_know_the_version() -> None:
    world = live(progressDeadlineSeconds=60)
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle()
    del world.serve[world.id(2)]
    world.settle(10_000)
    assert world.status.candidate is not None


def test_a_candidate_whose_endpoints_vanish_gets_nothing_until_they_are_back() -> None:
    world = rolling()
    world.replicas(2, ready=0)
    world.settle()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    world.settle(100)
    world.replicas(2, ready=1)
    world.settle()
    assert world.weight(2) == 5_000


def test_new_endpoints_of_a_candidate_get_weight_only_once_the_routers_know_them() -> None:
    world = rolling()
    world.replicas(2, ready=0)
    world.settle()
    world.replicas(2, ready=1)
    world.lagging = True
    world.settle()
    assert world.published is not None
    assert world.published.backends[0].endpoints
    assert world.published.backends[0].weight == 0


def test_a_candidate_that_stays_without_endpoints_is_aborted() -> None:
    world = rolling(progressDeadlineSeconds=60)
    world.replicas(2, ready=0)
    world.settle()
    world.settle(60)
    assert world.status.failed == world.id(2)


def test_a_candidate_with_weight_takes_over_while_stable_has_no_endpoints() -> None:
    world = rolling()
    world.replicas(1, ready=0)
    world.settle()
    assert (world.weight(2), world.weight(1)) == (10_000, 0)
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(1)
    world.replicas(1, ready=1)
    world.settle()
    assert (world.weight(2), world.weight(1)) == (1_000, 9_000)


def test_a_candidate_without_weight_does_not_take_over() -> None:
    world = live(strategy=canary({"setShadow": 100}, {"pause": {}}))
    world.apply(model=model(2))
    world.settle()
    world.replicas(1, ready=0)
    world.settle()
    assert set(world.weights.values()) == {0}
    assert world.shadow == 0


def test_a_stable_version_without_endpoints_is_answered_503_and_said_so() -> None:
    world = live()
    world.replicas(1, ready=0)
    world.settle()
    assert world.weight(1) == 0
    assert world.status.phase is Phase.PROGRESSING
    assert "no replica" in world.status.message
    world.replicas(1, ready=1)
    world.settle()
    assert world.weight(1) == 10_000
    assert world.status.phase is Phase.HEALTHY


def test_an_abort_before_the_last_weight_is_acknowledged_gives_everything_to_stable() -> None:
    world = live()
    world.apply(model=model(2))
    world.lag_once(lambda: world.status.weight == 10_000)
    world.say("abort")
    world.turn()
    assert world.published is not None
    assert [backend.weight for backend in world.published.backends] == [10_000, 0]


def test_a_failing_check_aborts_even_while_paused() -> None:
    world = rolling(**CHECKED)
    world.apply(paused=True)
    world.settle()
    world.saw(2, live=counters(100, errors=40))
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert world.weight(2) == 0


def test_a_timed_pause_holds_while_there_is_too_little_evidence() -> None:
    world = rolling(**CHECKED)
    world.settle(10_000)
    assert world.weight(2) == 1_000
    assert world.status.checks[0].verdict is Verdict.INCONCLUSIVE
    assert world.status.phase is Phase.PROGRESSING
    world.saw(2, live=counters(2_000))
    world.settle(10)
    assert world.weight(2) == 5_000


def test_without_a_reading_of_the_traffic_a_step_holds() -> None:
    world = rolling(**CHECKED)
    world.traffic = None
    world.settle(10_000)
    assert world.weight(2) == 1_000
    assert world.condition("Analysed")[:2] == (None, "Inconclusive")
    assert "no current reading" in world.condition("Analysed")[2]


def test_old_evidence_does_not_end_a_wait_after_the_shares_changed() -> None:
    strategy = canary({"setWeight": 10}, {"analysis": {}}, {"setWeight": 50}, {"analysis": {}})
    world = rolling(**CHECKED | {"strategy": strategy})
    world.saw(2, live=counters(2_000))
    world.settle(10)
    assert world.weight(2) == 5_000
    world.settle(10_000)
    assert world.weight(2) == 5_000


def test_a_pause_before_any_traffic_reaches_the_candidate_ends_with_its_time() -> None:
    strategy = canary({"pause": {"duration": "1m"}}, {"setWeight": 10}, {"pause": {}})
    world = rolling(**CHECKED | {"strategy": strategy})
    world.settle(60)
    assert world.weight(2) == 1_000


@pytest.mark.parametrize(
    ("answer", "phase", "weight"),
    [("hold", Phase.PROGRESSING, 1_000), ("pause", Phase.PAUSED, 1_000), ("abort", Phase.DEGRADED, 0)],
)
def test_an_analysis_without_a_verdict_in_time_does_what_the_manifest_says(
    answer: str, phase: Phase, weight: int
) -> None:
    strategy = canary({"setWeight": 10}, {"analysis": {"minSamples": 500, "maxDuration": "1m"}})
    analysis = {"interval": "10s", "onInconclusive": answer, "checks": [ERRORS]}
    world = rolling(strategy=strategy, analysis=analysis)
    world.saw(2, live=counters(400))
    world.settle(59)
    assert world.weight(2) == 1_000
    assert world.status.phase is Phase.PROGRESSING
    world.settle(1)
    assert world.weight(2) == weight
    assert world.status.phase is phase


def test_a_paused_analysis_goes_on_only_when_a_person_says_so() -> None:
    strategy = canary({"setWeight": 10}, {"analysis": {"maxDuration": "1m"}})
    world = rolling(strategy=strategy, analysis={"onInconclusive": "pause", "checks": [ERRORS]})
    world.settle(60)
    world.saw(2, live=counters(5_000))
    world.settle(60)
    assert world.status.phase is Phase.PAUSED
    world.say("promote", "step")
    world.settle()
    assert world.weight(2) == 10_000


def test_an_analysis_ends_when_every_check_passes_with_its_samples() -> None:
    strategy = canary({"setWeight": 10}, {"analysis": {"minSamples": 500}})
    world = rolling(strategy=strategy, analysis={"checks": [ERRORS]})
    world.saw(2, live=counters(499))
    world.settle(15)
    assert world.weight(2) == 1_000
    world.saw(2, live=counters(500))
    world.settle(15)
    assert world.weight(2) == 10_000


def test_a_shadow_is_judged_by_its_mirrored_requests() -> None:
    strategy = canary({"setShadow": 100}, {"analysis": {"minSamples": 200}})
    world = rolling(strategy=strategy, analysis={"checks": [ERRORS]})
    world.saw(1, live=counters(1_000))
    world.saw(2, mirrored=counters(300, errors=100))
    world.settle(15)
    assert world.status.failed == world.id(2)
    assert world.shadow == 0
    assert world.weight(1) == 10_000


def test_a_restart_in_the_middle_keeps_every_weight() -> None:
    world = rolling()
    before = world.in_force
    world.restart()
    world.turn()
    assert world.published == before
    world.settle(59)
    assert world.weight(2) == 1_000
    world.settle(1)
    assert world.weight(2) == 5_000


def test_while_ray_is_unreachable_everything_stays_and_says_so() -> None:
    world = rolling()
    before, running = world.in_force, world.running
    world.reachable = False
    world.apply(model=model(3))
    world.settle(10_000)
    assert world.in_force == before
    assert world.running == running
    assert "Ray Serve cannot be reached" in world.status.message
    assert world.condition("CandidateReady")[:2] == (None, "RayUnreachable")
    world.reachable = True
    world.settle()
    assert world.weight(3) == 1_000


def test_an_abort_works_while_ray_is_unreachable() -> None:
    world = rolling()
    world.reachable = False
    world.say("promote", "full")
    world.settle()
    assert world.annotations
    world.say("abort")
    world.settle()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    assert world.running == {world.id(1), world.id(2)}


def test_a_deleted_rollout_loses_its_route_first_and_its_replicas_after_the_acknowledgement() -> None:
    world = rolling()
    world.deleted_at = world.now
    world.lagging = True
    world.settle(100)
    assert world.published is None
    assert world.running == {world.id(1), world.id(2)}
    assert world.plan is not None
    assert not world.plan.finished
    world.lagging = False
    world.settle()
    assert world.in_force is None
    assert world.running == set()
    assert world.plan.finished


def test_a_deleted_rollout_is_not_finished_while_anything_may_still_run() -> None:
    world = rolling()
    world.deleted_at = world.now
    world.reachable = False
    world.settle()
    assert world.plan is not None
    assert not world.plan.finished
    world.reachable = True
    world.turn()
    world.serve[world.id(1)] = TargetState(TargetPhase.STOPPING)
    assert not world.turn().finished


def test_a_rollout_in_conflict_gets_neither_route_nor_replicas() -> None:
    world = World({"model": model(1)}, conflict="model iris on host * belongs to prod/iris, which is older")
    world.settle()
    assert world.published is None
    assert world.running == set()
    assert world.condition("Accepted") == (False, "RouteConflict", world.conflict)
    assert world.condition("Stalled")[0] is True
    world.conflict = None
    world.settle()
    assert world.weight(1) == 10_000
    assert world.condition("Accepted")[0] is True


def test_a_candidate_that_comes_into_conflict_is_let_go() -> None:
    world = World({"model": model(1)})
    world.stuck.add(world.id(1))
    world.settle()
    world.conflict = "taken"
    world.settle()
    assert world.published is None
    assert world.running == set()
