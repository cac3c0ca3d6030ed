"""Shadow: copies only, judged by them, and then everything or nothing."""

from typing import Any

import pytest
from core_world import ERRORS, World, counters, live, model

from operators.status import Phase


def rolling(checks: bool = True, analysis: dict[str, Any] | None = None, **block: Any) -> World:
    """Version 1 stable, version 2 in the shadow."""
    checked = {"interval": "10s", "checks": [ERRORS] if checks else []} | (analysis or {})
    world = live(strategy={"shadow": block}, analysis=checked)
    world.apply(model=model(2))
    return world.settle()


@pytest.mark.parametrize(("percent", "share"), [(100, 10_000), (12.5, 1_250), (0.01, 1)])
def test_any_percentage_of_the_live_requests_is_copied(percent: float, share: int) -> None:
    world = rolling(percent=percent)
    assert (world.shadow, world.weight(2), world.weight(1)) == (share, 0, 10_000)


def test_copies_under_way_at_once_are_bounded_by_the_manifest() -> None:
    world = rolling(maxConcurrency=7)
    assert world.in_force is not None
    assert world.in_force.mirror is not None
    assert (world.in_force.mirror.version, world.in_force.mirror.max_concurrency) == (world.id(2), 7)


def test_no_route_before_promotion_gives_it_a_live_request() -> None:
    world = live(strategy={"shadow": {"minSamples": 100, "then": "promote"}}, analysis={"checks": [ERRORS]})
    world.apply(model=model(2))
    for _ in range(20):
        world.turn()
        assert (world.weight(2), world.selected) == (0, None)
    world.saw(2, mirrored=counters(1_000))
    world.now += 15
    seen = [(world.weight(2), world.shadow)]
    for _ in range(10):
        world.turn()
        seen.append((world.weight(2), world.shadow))
    assert sorted(set(seen)) == [(0, 10_000), (10_000, 0)], "all at once, and no copies beside it"


def test_copies_are_judged_and_live_requests_are_not() -> None:
    world = rolling(minSamples=100)
    world.saw(1, live=counters(1_000))
    world.saw(2, live=counters(1_000, errors=900), mirrored=counters(50))
    world.settle(10)
    assert world.status.checks[0].samples == 50
    world.saw(2, mirrored=counters(200, errors=100))
    world.settle(10)
    assert world.status.failed == world.id(2)
    assert (world.shadow, world.weight(1)) == (0, 10_000)


def test_one_that_passes_holds_for_a_person() -> None:
    world = rolling(minSamples=100)
    world.saw(2, mirrored=counters(1_000))
    world.settle(10)
    assert world.status.phase is Phase.PAUSED
    assert (world.shadow, world.weight(2)) == (10_000, 0)
    world.settle(1_000_000)
    assert world.weight(2) == 0
    world.say("promote", "step")
    world.settle()
    assert (world.shadow, world.weight(2), world.status.phase) == (0, 10_000, Phase.HEALTHY)


def test_one_that_passes_is_promoted_if_the_manifest_says_so() -> None:
    world = rolling(minSamples=100, then="promote")
    world.saw(2, mirrored=counters(1_000))
    world.settle(10)
    assert (world.weight(2), world.status.phase) == (10_000, Phase.HEALTHY)


def test_one_without_checks_waits_for_a_person() -> None:
    world = rolling(checks=False)
    world.settle(1_000_000)
    assert world.status.phase is Phase.PAUSED
    assert (world.shadow, world.weight(2)) == (10_000, 0)


@pytest.mark.parametrize("then", ["hold", "promote"])
@pytest.mark.parametrize(
    ("answer", "phase"), [("hold", Phase.PROGRESSING), ("pause", Phase.PAUSED), ("abort", Phase.DEGRADED)]
)
def test_one_whose_time_is_over_without_enough_copies_does_what_the_manifest_says(
    answer: str, phase: Phase, then: str
) -> None:
    world = rolling(analysis={"onInconclusive": answer}, minSamples=500, maxDuration="1h", then=then)
    world.saw(2, mirrored=counters(400))
    world.settle(3_599)
    assert world.status.phase is Phase.PROGRESSING
    world.settle(1)
    assert world.status.phase is phase
    assert world.weight(2) == 0


def test_it_runs_in_full_size_beside_a_full_stable() -> None:
    world = live(strategy={"shadow": {}}, serving={"replicas": 3})
    world.apply(model=model(2))
    world.settle()
    assert world.sizes_wanted == {world.id(1): 3, world.id(2): 3}


def test_an_abort_ends_the_copies_at_once() -> None:
    world = rolling()
    world.say("abort")
    world.turn()
    assert (world.shadow, world.weight(1)) == (0, 10_000)


def test_promote_full_skips_what_it_still_waits_for() -> None:
    world = rolling(minSamples=1_000_000)
    world.say("promote", "full")
    world.settle()
    assert (world.weight(2), world.status.phase) == (10_000, Phase.HEALTHY)


def test_a_shadow_whose_replicas_are_lost_costs_no_live_request() -> None:
    world = rolling()
    world.replicas(2, ready=0)
    world.settle()
    assert (world.shadow, world.weight(1)) == (0, 10_000)
    world.replicas(2, ready=1)
    world.settle()
    assert world.shadow == 10_000
