"""Blue-green: preview, analysis of previewed requests, a person unless autoPromote, one switch, watched, and back."""

from typing import Any

import pytest
from core_world import ERRORS, World, counters, live, model

from operators.status import Phase

PREVIEW = [{"header": "x-preview", "exact": "1"}]
ALL_PARTS = {
    "previewMatch": PREVIEW,
    "prePromotionAnalysis": {"minSamples": 100},
    "autoPromote": False,
    "postPromotionAnalysis": {"minSamples": 200},
}


def blue_green(**block: Any) -> dict[str, Any]:
    """A blue-green strategy."""
    return {"blueGreen": block}


def rolling(block: dict[str, Any], checks: bool = True, **spec: Any) -> World:
    """Version 1 stable, version 2 on its way, beside a check of its errors."""
    analysis = {"interval": "10s", "checks": [ERRORS] if checks else []} | spec.pop("analysis", {})
    world = live(strategy=blue_green(**block), analysis=analysis, **spec)
    world.apply(model=model(2))
    return world.settle()


def switched(**spec: Any) -> World:
    """Version 2 has everything and is watched."""
    world = rolling(ALL_PARTS, **spec)
    world.saw(2, live=counters(1_000))
    world.settle(10)
    world.say("promote", "step")
    return world.settle()


def test_the_whole_way() -> None:
    world = rolling(ALL_PARTS)
    assert (world.weight(2), world.weight(1), world.selected) == (0, 10_000, world.id(2))
    assert "step 2 of 5: analysis before the switch" in world.status.message
    world.saw(2, live=counters(99))
    world.settle(10)
    assert world.status.step == 1
    world.saw(2, live=counters(1_000))
    world.settle(10)
    assert world.status.phase is Phase.PAUSED
    assert "waits for the switch" in world.status.message
    assert (world.weight(2), world.selected) == (0, world.id(2))
    world.say("promote", "step")
    world.settle()
    assert (world.weight(2), world.weight(1), world.selected) == (10_000, 0, None)
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(1), "watched before it is promoted"
    world.saw(2, live=counters(1_000))
    world.settle(10)
    assert world.status.stable.id == world.id(2)
    assert world.status.phase is Phase.HEALTHY


def test_the_switch_is_one_route_from_nothing_to_everything() -> None:
    world = rolling(ALL_PARTS)
    world.saw(2, live=counters(1_000))
    world.settle(10)
    world.say("promote", "step")
    seen = [(world.weight(2), world.weight(1), world.selected is None)]
    for _ in range(20):
        world.turn()
        seen.append((world.weight(2), world.weight(1), world.selected is None))
    assert sorted(set(seen)) == [(0, 10_000, False), (10_000, 0, True)]


def test_previewed_requests_are_judged_and_not_what_stable_answers() -> None:
    world = rolling(ALL_PARTS)
    world.saw(1, live=counters(5_000, errors=4_000))
    world.saw(2, live=counters(20), mirrored=counters(5_000, errors=5_000))
    world.settle(10)
    assert world.status.checks[0].samples == 20
    assert world.status.candidate is not None


def test_a_preview_that_fails_is_aborted_before_any_user_sees_it() -> None:
    world = rolling(ALL_PARTS)
    world.saw(2, live=counters(100, errors=50))
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert (world.weight(1), world.selected) == (10_000, None)


def test_without_anything_to_wait_for_it_switches_as_soon_as_all_replicas_are_ready() -> None:
    world = live(strategy=blue_green(), serving={"replicas": 3})
    world.stuck.add(world.id(2))
    world.apply(model=model(2))
    world.settle(100)
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    world.stuck.clear()
    world.settle()
    assert world.weight(2) == 10_000
    assert world.status.phase is Phase.HEALTHY


def test_without_auto_promote_a_preview_lasts_until_somebody_promotes() -> None:
    world = rolling({"previewMatch": PREVIEW, "autoPromote": False}, checks=False)
    world.settle(1_000_000)
    assert (world.weight(2), world.selected) == (0, world.id(2))
    world.say("promote", "step")
    world.settle()
    assert world.status.phase is Phase.HEALTHY
    assert world.weight(2) == 10_000


def test_with_auto_promote_a_preview_that_passes_switches_by_itself() -> None:
    world = rolling({"previewMatch": PREVIEW, "prePromotionAnalysis": {"minSamples": 100}})
    world.saw(2, live=counters(1_000))
    world.settle(10)
    assert world.status.phase is Phase.HEALTHY
    assert world.weight(2) == 10_000


def test_a_check_that_fails_after_the_switch_switches_back_at_once() -> None:
    world = switched()
    endpoints = {one.version: one.endpoints for one in world.in_force.backends} if world.in_force else {}
    world.saw(2, live=counters(200, errors=100))
    world.now += 10
    world.turn()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    assert world.in_force is not None
    assert {one.version: one.endpoints for one in world.in_force.backends} == endpoints, "stable never stopped"
    assert world.status.failed == world.id(2)
    assert "check errors failed" in world.status.message


def test_what_was_seen_in_the_preview_does_not_count_after_the_switch() -> None:
    world = rolling(ALL_PARTS)
    world.saw(2, live=counters(5_000))
    world.settle(10)
    world.say("promote", "step")
    world.settle()
    world.settle(10_000)
    assert world.status.step == 4, "nothing was seen since the switch"
    world.saw(2, live=counters(1_000))
    world.settle(10)
    assert world.status.candidate is None


@pytest.mark.parametrize(("answer", "stable"), [("hold", 1), ("pause", 1), ("abort", 1)])
def test_an_inconclusive_end_after_the_switch_does_what_the_manifest_says(answer: str, stable: int) -> None:
    block = {"postPromotionAnalysis": {"maxDuration": "1m"}}
    world = rolling(block, analysis={"onInconclusive": answer})
    assert world.weight(2) == 10_000
    world.settle(60)
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(stable)
    assert (world.weight(2), world.status.phase) == {
        "hold": (10_000, Phase.PROGRESSING),
        "pause": (10_000, Phase.PAUSED),
        "abort": (0, Phase.DEGRADED),
    }[answer]


def test_stable_stays_whole_until_promotion_and_for_the_delay_after_it() -> None:
    world = switched(serving={"replicas": 3}, scaleDownDelaySeconds=60)
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}
    world.saw(2, live=counters(1_000))
    world.settle(10)
    assert world.status.candidate is None
    world.settle(59)
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}
    world.settle(1)
    assert world.sizes_wanted == {world.id(2): 3}


def test_undo_within_the_delay_waits_for_no_replica() -> None:
    world = live(strategy=blue_green(), scaleDownDelaySeconds=60)
    world.apply(model=model(2))
    world.settle()
    world.settle(59)
    world.stuck.add(world.id(1))  # a start would take forever
    before = world.serve[world.id(1)]
    world.say("undo")
    world.turn()
    world.turn()
    assert world.weight(1) == 10_000
    assert world.serve[world.id(1)] == before


def test_promote_full_goes_past_the_preview_and_what_would_be_watched() -> None:
    world = rolling(ALL_PARTS)
    world.say("promote", "full")
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)


def test_an_abort_after_the_switch_switches_back() -> None:
    world = switched()
    world.say("abort")
    world.turn()
    assert (world.weight(2), world.weight(1)) == (0, 10_000)
    assert world.status.phase is Phase.DEGRADED


def test_a_pause_by_the_spec_holds_the_switch_and_keeps_the_preview() -> None:
    world = rolling({"previewMatch": PREVIEW, "prePromotionAnalysis": {"minSamples": 100}})
    world.apply(paused=True)
    world.saw(2, live=counters(1_000))
    world.settle(10_000)
    assert (world.weight(2), world.selected) == (0, world.id(2))
    world.apply(paused=False)
    world.settle(10)
    assert world.weight(2) == 10_000


def test_a_first_version_is_neither_previewed_nor_watched() -> None:
    world = World({"model": model(1), "strategy": blue_green(**ALL_PARTS), "analysis": {"checks": [ERRORS]}})
    world.settle()
    assert world.status.phase is Phase.HEALTHY
    assert (world.weight(1), world.selected) == (10_000, None)
