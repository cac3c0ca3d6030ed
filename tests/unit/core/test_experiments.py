"""A/B tests and bandits between a candidate and stable."""

from core_world import ERRORS, counters, live, model
from experiment_kit import GOAL, ab_test, arm, bandit

from operators.observe import VersionFeedback
from operators.status import Phase, Tally


def test_a_candidate_gets_the_share_of_its_test_at_once_and_keeps_it() -> None:
    world = live(strategy=ab_test(weight=30))
    world.apply(model=model(2))
    world.settle()
    assert world.weights == {world.id(2): 3_000, world.id(1): 7_000}
    assert world.published is not None
    assert world.published.exposures
    world.saw(1, counters(5_000, errors=500))
    world.saw(2, counters(2_000, errors=200))
    world.settle(3600)
    assert world.weight(2) == 3_000
    assert world.status.phase is Phase.PROGRESSING
    assert (arm(world, "control").value, arm(world, "candidate").value) == (0.9, 0.9)


def test_a_candidate_that_has_surely_won_waits_for_a_person_unless_it_is_to_be_promoted() -> None:
    for on_winner, phase in (("hold", Phase.PAUSED), ("promote", Phase.HEALTHY)):
        world = live(strategy=ab_test(onWinner=on_winner))
        world.apply(model=model(2))
        world.settle()
        world.saw(1, counters(2_000, errors=400))
        world.saw(2, counters(2_000, errors=100))
        world.settle(15)
        assert world.status.phase is phase
        assert "Winner" in world.reasons()
    world.say("promote", "step")
    assert world.settle().status.phase is Phase.HEALTHY


def test_a_winner_stays_one_whatever_comes_after() -> None:
    world = live(strategy=ab_test())
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(2_000, errors=400))
    world.saw(2, counters(2_000, errors=100))
    world.settle(15)
    world.saw(2, counters(4_000, errors=800))
    world.settle(15)
    assert world.status.experiment is not None
    assert world.status.experiment.winner == "candidate"
    assert world.reasons().count("Winner") == 1


def test_a_candidate_that_has_surely_lost_is_aborted_or_the_status_says_how() -> None:
    world = live(strategy=ab_test(onWinner="promote"))
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(2_000, errors=100))
    world.saw(2, counters(2_000, errors=400))
    world.settle(15)
    assert world.status.phase is Phase.DEGRADED
    assert world.weight(1) == 10_000
    assert "stable has won the experiment: control has the best success-rate of all" in world.status.failure
    holding = live(strategy=ab_test(onWinner="hold"))
    holding.apply(model=model(2))
    holding.settle()
    holding.saw(1, counters(2_000, errors=100))
    holding.saw(2, counters(2_000, errors=400))
    holding.settle(15)
    assert holding.status.phase is Phase.PAUSED
    assert holding.status.message.endswith("control has won, waits for a person: `tidegate abort iris`")


def test_nobody_wins_before_every_version_has_its_samples() -> None:
    world = live(strategy=ab_test(goal={**GOAL, "minSamples": 1_000}))
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(900, errors=800))
    world.saw(2, counters(5_000))
    world.settle(15)
    assert world.status.phase is Phase.PROGRESSING
    world.saw(1, counters(1_000, errors=900))
    world.settle(15)
    assert world.status.phase is Phase.PAUSED


def test_a_test_whose_time_is_over_waits_for_a_person() -> None:
    world = live(strategy=ab_test(maxDuration="1h"))
    world.apply(model=model(2))
    world.settle()
    world.settle(3_599)
    assert world.status.phase is Phase.PROGRESSING
    world.settle(1)
    assert world.status.phase is Phase.PAUSED
    assert world.weight(2) == 5_000


def test_what_was_counted_before_a_restart_is_kept() -> None:
    world = live(strategy=ab_test())
    world.apply(model=model(2))
    world.settle()
    world.saw(2, counters(300, errors=30))
    world.settle(15)
    world.recount()
    world.settle(15)
    assert arm(world, "candidate").counted == Tally(300, 270.0, 270.0)
    world.saw(2, counters(100))
    world.settle(15)
    assert arm(world, "candidate").counted == Tally(400, 370.0, 370.0)


def test_a_latency_within_a_bound_is_a_goal() -> None:
    world = live(strategy=ab_test(goal={"metric": "latency-within", "within": "25ms"}))
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(1_000, milliseconds=40.0))
    world.saw(2, counters(1_000, milliseconds=20.0))
    world.settle(15)
    assert (arm(world, "control").value, arm(world, "candidate").value) == (0.0, 1.0)
    assert world.status.phase is Phase.PAUSED


def test_feedback_decides_and_its_absence_decides_nothing() -> None:
    world = live(strategy=ab_test(goal={"metric": "feedback-reward", "direction": "decrease"}))
    world.apply(model=model(2))
    world.settle()
    world.settle(15)
    assert arm(world, "candidate").counted == Tally()
    assert world.status.message.endswith("the monitor cannot be asked for feedback, shares stay as they are")
    world.feedback = {
        world.id(1): VersionFeedback(rewards=Tally(1_000, 5_000.0, 26_000.0)),
        world.id(2): VersionFeedback(rewards=Tally(1_000, 3_000.0, 10_000.0)),
    }
    world.settle(15)
    assert world.status.experiment is not None
    assert world.status.experiment.winner == "candidate"
    world.feedback = None
    world.settle(15)
    assert arm(world, "candidate").counted.count == 1_000


def test_a_failed_check_aborts_a_candidate_in_a_test() -> None:
    world = live(strategy=ab_test(), analysis={"checks": [ERRORS]})
    world.apply(model=model(2))
    world.settle()
    world.saw(2, counters(500, errors=100))
    world.settle(15)
    assert world.status.phase is Phase.DEGRADED
    assert world.weight(1) == 10_000


def test_a_bandit_moves_traffic_to_what_is_better_and_keeps_a_floor() -> None:
    world = live(strategy=bandit(explorationFloor=10, interval="1m"))
    world.apply(model=model(2))
    world.settle()
    assert world.weight(2) == 5_000
    world.saw(1, counters(1_000, errors=500))
    world.saw(2, counters(1_000, errors=100))
    world.settle(59)
    assert world.weight(2) == 5_000
    world.settle(1)
    assert world.weights == {world.id(2): 9_000, world.id(1): 1_000}
    assert world.status.phase is Phase.PROGRESSING
    assert arm(world, "candidate").counted.count == 1_000, "evidence does not begin anew when weights move"


def test_a_bandit_promotes_at_the_probability_asked_for() -> None:
    world = live(strategy=bandit(promoteAt=0.99))
    world.apply(model=model(2))
    world.settle()
    world.saw(1, counters(1_000, errors=500))
    world.saw(2, counters(1_000, errors=100))
    world.settle(60)
    assert world.status.phase is Phase.HEALTHY
    assert world.weight(2) == 10_000


def test_a_paused_bandit_moves_nothing() -> None:
    world = live(strategy=bandit(promoteAt=0.99))
    world.apply(model=model(2))
    world.settle()
    world.apply(paused=True)
    world.saw(1, counters(1_000, errors=500))
    world.saw(2, counters(1_000, errors=100))
    world.settle(600)
    assert world.weight(2) == 5_000
