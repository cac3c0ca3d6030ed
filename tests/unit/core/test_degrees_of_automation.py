"""Who decides: a person at every step, the operator with a person's last word, or the operator alone."""

from core_world import ERRORS, World, canary, counters, live, model

from operators.status import Phase

WAIT, MINUTE = {"pause": {}}, {"pause": {"duration": "1m"}}
BY_HAND = canary({"setWeight": 5}, WAIT, {"setWeight": 50}, WAIT)
LAST_WORD = canary({"setWeight": 5}, MINUTE, {"setWeight": 50}, WAIT)
BY_ITSELF = canary({"setWeight": 5}, MINUTE, {"setWeight": 50}, {"analysis": {"minSamples": 100}})


def started(strategy: object) -> World:
    """Version 2 is on its way; everything it answers is good."""
    world = live(strategy=strategy, analysis={"checks": [ERRORS]})
    world.apply(model=model(2))
    return world.settle()


def answers_well(world: World) -> None:
    """Time passes, and the candidate answers."""
    world.saw(1, counters(10_000))
    world.saw(2, counters(1_000))
    world.settle(3_600)


def test_by_hand_nothing_moves_without_a_person() -> None:
    world = started(BY_HAND)
    for weight in (500, 5_000):
        for _ in range(3):
            answers_well(world)
            assert world.weight(2) == weight
        assert world.status.phase is Phase.PAUSED
        world.say("promote", "step")
        world.settle()
    assert world.weight(2) == 10_000


def test_with_a_last_word_only_the_last_step_waits_for_a_person() -> None:
    world = started(LAST_WORD)
    for _ in range(3):
        answers_well(world)
    assert (world.weight(2), world.status.phase) == (5_000, Phase.PAUSED)
    world.say("promote", "step")
    assert world.settle().weight(2) == 10_000


def test_by_itself_a_good_version_needs_nobody() -> None:
    world = started(BY_ITSELF)
    for _ in range(3):
        answers_well(world)
    assert (world.weight(2), world.status.phase) == (10_000, Phase.HEALTHY)


def test_at_every_degree_a_failed_check_takes_a_version_back_by_itself() -> None:
    for strategy in (BY_HAND, LAST_WORD, BY_ITSELF):
        world = started(strategy)
        world.saw(2, counters(1_000, errors=500))
        world.settle(15)
        assert (world.weight(2), world.status.phase) == (0, Phase.DEGRADED)
