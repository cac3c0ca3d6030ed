"""A/B tests and bandits of variants, beside the stable version as their control."""

from typing import Any

import pytest
from core_world import ERRORS, World, counters, live, model
from experiment_kit import ab_test, arm, bandit, three, variants

from operators.status import Phase


def test_variants_begin_together_once_all_are_ready_and_known_to_the_routers() -> None:
    world = live()
    strategy = ab_test(shares={"control": 50, "b": 30, "c": 20})
    world.stuck.add(world.id(3))
    world.apply(strategy=strategy, variants=variants(b=2, c=3))
    world.settle()
    assert world.weights == {world.id(2): 0, world.id(3): 0, world.id(1): 10_000}
    assert world.status.phase is Phase.PROGRESSING
    assert world.status.message == "the variants are starting: b 1 of 1 replicas, c 0 of 1 replicas"
    world.stuck.clear()
    world.settle()
    assert world.weights == {world.id(2): 3_000, world.id(3): 2_000, world.id(1): 5_000}
    assert world.status.experiment is not None
    assert [one.name for one in world.status.experiment.arms] == ["control", "b", "c"]


def test_variants_wait_for_their_control() -> None:
    world = World({"model": model(1), "strategy": bandit(), "variants": variants(b=2)})
    world.stuck.add(world.id(1))
    world.settle()
    assert world.running == {world.id(1)}
    world.stuck.clear()
    world.settle()
    assert world.weights == {world.id(2): 5_000, world.id(1): 5_000}


def test_no_weight_is_given_before_every_router_knows_the_variants() -> None:
    world = live()
    world.apply(strategy=bandit(), variants=variants(b=2))
    world.lag_once(lambda: world.id(2) in {one.version for one in world.published.backends if one.endpoints})  # type: ignore[union-attr]
    world.settle()
    assert world.published is not None
    assert {one.version: one.weight for one in world.published.backends}[world.id(2)] == 0
    world.lagging = False
    world.settle()
    assert world.weight(2) == 5_000


def test_the_winner_among_variants_becomes_stable_and_the_others_leave() -> None:
    world = three(ab_test(shares={"control": 50, "b": 30, "c": 20}, onWinner="promote"))
    for number, errors in ((1, 400), (2, 50), (3, 500)):
        world.saw(number, counters(2_000, errors=errors))
    world.settle(15)
    assert world.weights == {world.id(2): 10_000, world.id(1): 0, world.id(3): 0}
    assert world.status.phase is Phase.HEALTHY
    assert world.status.stable is not None
    assert world.status.stable.id == world.id(2)
    assert world.condition("Ready")[1] == "VariantPromoted"
    assert f"the spec still names {world.id(1)}: write the variant's model into spec.model" in world.status.message
    world.settle(31)
    assert world.running == {world.id(2)}
    assert world.settle(3600).running == {world.id(2)}, "what the manifest names does not come back by itself"


def test_a_control_that_wins_stays_and_the_variants_leave() -> None:
    world = three(ab_test(shares={"control": 50, "b": 30, "c": 20}, onWinner="promote"))
    for number, errors in ((1, 50), (2, 400), (3, 500)):
        world.saw(number, counters(2_000, errors=errors))
    world.settle(15)
    world.settle(31)
    assert world.running == {world.id(1)}
    assert world.status.phase is Phase.HEALTHY
    assert world.settle(3600).running == {world.id(1)}, "an experiment that is over does not begin again"


def test_a_held_winner_is_promoted_by_name_or_without() -> None:
    for value in ("step", "variant=b", "variant=c"):
        world = three()
        for number, errors in ((1, 400), (2, 50), (3, 500)):
            world.saw(number, counters(2_000, errors=errors))
        world.settle(15)
        assert world.status.phase is Phase.PAUSED
        assert "`tidegate promote iris --variant b`" in world.status.message
        world.say("promote", value)
        world.settle()
        assert world.status.stable is not None
        assert world.status.stable.id == world.id(3 if value == "variant=c" else 2)


def test_a_promotion_without_a_winner_needs_a_name() -> None:
    world = three()
    world.say("promote", "step")
    world.settle()
    assert world.events[-1].message == "promote: nobody has won yet: name one of b, c with --variant"
    world.say("promote", "variant=d")
    world.settle()
    assert world.events[-1].message == "promote: d is none of the variants that take part: b, c"


def test_a_variant_that_fails_a_check_is_taken_out_and_the_control_gets_its_share() -> None:
    world = three(analysis={"checks": [ERRORS]})
    world.saw(1, counters(1_000))
    world.saw(2, counters(1_000))
    world.saw(3, counters(1_000, errors=200))
    world.settle(15)
    assert world.weights == {world.id(2): 3_000, world.id(1): 7_000, world.id(3): 0}
    assert "c was taken out: check errors failed" in world.status.message
    world.settle(31)
    assert world.running == {world.id(1), world.id(2)}
    assert {check.name for check in world.status.checks} == {"b/errors"}


def test_an_experiment_whose_last_variant_is_taken_out_is_over_until_retry() -> None:
    world = live()
    world.broken[world.id(2)] = "no such file"
    world.apply(strategy=bandit(), variants=variants(b=2))
    world.settle()
    assert world.status.phase is Phase.DEGRADED
    assert "no such file" in world.status.failure
    assert world.weight(1) == 10_000
    world.broken.clear()
    world.settle(3600)
    assert world.running == {world.id(1)}
    world.say("retry")
    world.settle()
    assert world.weights == {world.id(2): 5_000, world.id(1): 5_000}


def test_a_variant_that_is_not_ready_in_time_is_taken_out() -> None:
    world = live(progressDeadlineSeconds=60)
    world.stuck.add(world.id(3))
    world.apply(strategy=bandit(), variants=variants(b=2, c=3))
    world.settle()
    world.settle(60)
    assert world.weights == {world.id(2): 5_000, world.id(1): 5_000}
    assert "c was taken out: it was not ready within 60 s" in world.status.message


def test_abort_ends_an_experiment_until_the_spec_changes_or_retry() -> None:
    world = three()
    world.say("abort")
    world.settle()
    assert world.weight(1) == 10_000
    assert world.status.phase is Phase.DEGRADED
    world.settle(31)
    assert world.running == {world.id(1)}
    world.apply(strategy=ab_test(shares={"control": 40, "b": 30, "c": 30}))
    world.settle()
    assert world.weights == {world.id(2): 3_000, world.id(3): 3_000, world.id(1): 4_000}


def test_a_new_control_ends_the_experiment_and_begins_another() -> None:
    world = three()
    world.apply(model=model(4))
    world.settle()
    assert world.weights[world.id(4)] == 5_000
    assert {world.weight(2), world.weight(3)} == {3_000, 2_000}
    assert world.status.experiment is not None
    assert arm(world, "control").version == world.id(4)


def test_variants_that_the_manifest_names_no_more_leave() -> None:
    world = three()
    world.apply(strategy=bandit(), variants=variants(b=2))
    world.settle()
    assert world.weights == {world.id(2): 5_000, world.id(1): 5_000, world.id(3): 0}
    world.apply(strategy=None, variants=[])
    world.settle(31)
    world.settle(31)
    assert world.running == {world.id(1)}
    assert world.status.phase is Phase.HEALTHY


def test_an_experiment_goes_on_after_a_restart_of_the_operator() -> None:
    world = three()
    before = world.weights
    world.restart()
    world.turn()
    assert world.weights == before
    assert world.settle().weights == before


def test_the_variants_carry_the_traffic_while_the_control_has_no_replicas() -> None:
    world = three()
    world.replicas(1, ready=0)
    world.settle()
    assert world.weights == {world.id(2): 6_000, world.id(3): 4_000, world.id(1): 0}
    world.replicas(1, ready=1)
    world.settle()
    assert world.weights == {world.id(2): 3_000, world.id(3): 2_000, world.id(1): 5_000}


@pytest.mark.parametrize("strategy", [bandit(), ab_test(shares={"control": 50, "b": 30, "c": 20})])
def test_an_experiment_without_news_writes_nothing(strategy: dict[str, Any]) -> None:
    world = three(strategy)
    world.settle(60)
    writes = world.writes
    world.settle()
    assert world.writes == writes


def test_a_variant_that_becomes_the_manifests_model_goes_on_as_the_candidate() -> None:
    world = three()
    ports = {replica.port for replica in world.serve[world.id(2)].replicas}
    world.apply(model=model(2), variants=[], strategy=None)
    world.settle()
    assert world.weight(2) == 10_000
    assert {replica.port for replica in world.serve[world.id(2)].replicas} == ports


def test_failing_fast_is_no_virtue() -> None:
    world = live(strategy=ab_test(goal={"metric": "latency-within", "within": "25ms"}))
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(1_000, errors=10, milliseconds=20.0))
    world.saw(2, counters(1_000, errors=900, milliseconds=1.0))
    world.settle(15)
    assert (arm(world, "control").value, arm(world, "candidate").value) == (0.99, 0.1)


def test_a_manifest_that_takes_over_the_winner_is_at_rest() -> None:
    world = three()
    world.say("promote", "variant=b")
    world.settle()
    before = world.settle(31).running
    world.apply(model=model(2), variants=[], strategy=None)
    world.settle(31)
    assert (world.running, world.status.message) == (before, f"{world.id(2)} serves all requests")
