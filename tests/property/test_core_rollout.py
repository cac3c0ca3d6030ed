"""Whatever people, models, replicas, routers and time do: the rules that keep traffic safe hold."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "core"))

from core_world import ERRORS, World, canary, counters, model

from monitor.evidence import DriftTally, Evidence, Move, PairTally
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.observe import Measured, VersionFeedback
from operators.reconcile import reconcile
from operators.status import Candidate, Phase, RolloutStatus, Tally
from operators.strategies import strategy_for
from operators.strategies.canary import Canary

MODELS = 4
NUMBERS = st.integers(1, MODELS)
PREVIEW = [{"header": "x-preview"}]
REWARD = {"metric": "feedback-reward", "minSamples": 10}
SUCCESS = {"metric": "success-rate", "minSamples": 10}
AGREEMENT = {"name": "agreement", "metric": "shadow-agreement", "min": 0.9}
ACCURACY = {"name": "accuracy", "metric": "feedback-accuracy", "versus": "stable", "margin": 0.1}
DRIFT = {"name": "drift", "metric": "feature-drift", "max": 0.2}
SCORE = {"name": "score", "prometheus": {"query": "score"}, "min": 0.5, "failureLimit": 1}
SHARES = {"control": 50, "b": 30, "c": 20}
WAYS: dict[str, dict[str, Any]] = {
    "at once": {},
    "canary": {
        "strategy": canary({"setWeight": 5}, {"pause": {"duration": "1m"}}, {"setWeight": 33.33}, {"pause": {}})
    },
    "canary that is shadowed first": {
        "strategy": canary(
            {"setShadow": 100},
            {"analysis": {"minSamples": 50, "maxDuration": "2m"}},
            {"setShadow": 0},
            {"setWeight": 50},
        )
    },
    "canary that gets everything before its end": {
        "strategy": canary({"pause": {}}, {"setWeight": 0.01}, {"setWeight": 100}, {"pause": {"duration": "30s"}})
    },
    "canary with sizes": {
        "strategy": canary({"setReplicas": 1}, {"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 40})
    },
    "canary with sizes in between": {
        "strategy": canary(
            {"setWeight": 1}, {"setReplicas": 1}, {"pause": {}}, {"setWeight": 100}, {"setReplicas": 1}, {"pause": {}}
        )
    },
    "canary that answers selected requests": {
        "strategy": canary({"analysis": {"minSamples": 20}}, {"setWeight": 20}, {"pause": {"duration": "1m"}}),
        "traffic": {"match": PREVIEW},
    },
    "blue-green": {
        "strategy": {
            "blueGreen": {
                "previewMatch": PREVIEW,
                "prePromotionAnalysis": {"minSamples": 20, "maxDuration": "5m"},
                "autoPromote": False,
                "postPromotionAnalysis": {"maxDuration": "1m"},
            }
        }
    },
    "blue-green that switches by itself": {"strategy": {"blueGreen": {"postPromotionAnalysis": {}}}},
    "shadow": {"strategy": {"shadow": {"percent": 50, "minSamples": 20, "maxDuration": "2m", "then": "promote"}}},
    "shadow that holds": {"strategy": {"shadow": {"minSamples": 20}}},
    "canary that is judged by its answers": {
        "strategy": canary(
            {"setShadow": 100},
            {"analysis": {"maxDuration": "2m"}},
            {"setShadow": 0},
            {"setWeight": 20},
            {"analysis": {"maxDuration": "2m"}},
        ),
        "checks": [AGREEMENT, ACCURACY, DRIFT],
    },
    "shadow that is judged by its answers and by others": {
        "strategy": {"shadow": {"minSamples": 20, "then": "promote"}},
        "checks": [AGREEMENT, DRIFT | {"dryRun": True}, SCORE],
    },
    "A/B test": {"strategy": {"abTest": {"weight": 30, "goal": SUCCESS, "onWinner": "promote", "maxDuration": "5m"}}},
    "A/B test of rewards": {"strategy": {"abTest": {"goal": REWARD}}},
    "bandit": {"strategy": {"bandit": {"reward": "success-rate", "promoteAt": 0.95, "minSamples": 10}}},
    "A/B test of variants": {"strategy": {"abTest": {"shares": SHARES, "goal": SUCCESS, "onWinner": "promote"}}},
    "A/B test of variants that holds": {"strategy": {"abTest": {"shares": SHARES, "goal": SUCCESS}}},
    "bandit of variants": {
        "strategy": {
            "bandit": {"reward": "feedback-reward", "explorationFloor": 0, "promoteAt": 0.9, "minSamples": 10}
        },
    },
}
COMMANDS = st.sampled_from(
    [
        ("promote", "step"),
        ("promote", "step,force"),
        ("promote", "full"),
        ("promote", "full,force"),
        ("promote", "variant=b"),
        ("promote", "variant=c,force"),
        ("promote", "variant=control"),
        ("promote", "variant=candidate"),
        ("promote", "nonsense"),
        ("abort", ""),
        ("retry", ""),
        ("undo", ""),
    ]
)


def spec_of(number: int, way: str, answer: str) -> dict[str, Any]:
    """The part of a spec that says what is rolled out in which way. Variants are other models than the control's."""
    fields = {"model": model(number), "strategy": None, "traffic": {}, "variants": []} | WAYS[way]
    checks = [ERRORS, *fields.pop("checks", [])]
    fields["analysis"] = {"interval": "10s", "onInconclusive": answer, "checks": checks}
    if "of variants" in way:
        beside = [number % MODELS + 1, (number + 1) % MODELS + 1]
        fields["variants"] = [{"name": name, "model": model(one)} for name, one in zip("bc", beside, strict=True)]
    return fields


def size_of(replicas: int, way: str, follows: bool) -> dict[str, Any]:
    """A fixed size, or one that follows requests, where no step sets it."""
    if follows and "setReplicas" not in repr(WAYS[way]):
        return {"autoscaling": {"minReplicas": replicas, "maxReplicas": 3}}
    return {"replicas": replicas}


class Rollouts(RuleBasedStateMachine):
    """One rollout and everything that can happen to it."""

    @initialize(way=st.sampled_from(sorted(WAYS)), answer=st.sampled_from(["hold", "abort", "pause"]))
    def begin(self, way: str, answer: str) -> None:
        """A first version appears."""
        self.number, self.way, self.answer = 1, way, answer
        self.replicas, self.follows = 1, False
        self.world = World(
            {
                **spec_of(1, way, answer),
                "progressDeadlineSeconds": 120,
                "scaleDownDelaySeconds": 20,
            }
        )

    # What happens.

    @rule(number=NUMBERS)
    def change_the_model(self, number: int) -> None:
        self.number = number
        self.world.apply(**spec_of(self.number, self.way, self.answer))

    @rule(way=st.sampled_from(sorted(WAYS)))
    def change_the_way(self, way: str) -> None:
        self.way = way
        self.world.apply(
            **spec_of(self.number, self.way, self.answer), serving=size_of(self.replicas, way, self.follows)
        )

    @rule(paused=st.booleans(), replicas=st.integers(1, 3), follows=st.booleans())
    def change_the_rest_of_the_spec(self, paused: bool, replicas: int, follows: bool) -> None:
        self.replicas, self.follows = replicas, follows
        self.world.apply(paused=paused, serving=size_of(replicas, self.way, follows))

    @rule(command=COMMANDS)
    def say(self, command: tuple[str, str]) -> None:
        self.world.say(*command)

    @rule(number=NUMBERS)
    def ask_for_a_version(self, number: int) -> None:
        self.world.say("undo", self.world.id(number))

    @rule(seconds=st.sampled_from([0.0004, 0.5, 10, 31, 200]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(turns=st.integers(1, 4))
    def decide(self, turns: int) -> None:
        for _ in range(turns):
            self.turn()

    @rule()
    def come_to_rest(self) -> None:
        for _ in range(15):
            self.turn()

    @rule(number=NUMBERS, ready=st.integers(0, 3))
    def replicas_come_and_go(self, number: int, ready: int) -> None:
        if self.world.id(number) in self.world.serve:
            self.world.replicas(number, ready)

    @rule(number=NUMBERS, works=st.booleans())
    def a_version_begins_to_fail_or_works_again(self, number: int, works: bool) -> None:
        if works:
            self.world.broken.pop(self.world.id(number), None)
        else:
            self.world.broken[self.world.id(number)] = "ValueError: broken"

    @rule(number=NUMBERS)
    def a_version_starts_slowly_or_quickly(self, number: int) -> None:
        self.world.stuck ^= {self.world.id(number)}

    @rule(lagging=st.booleans(), refuses=st.sampled_from([None, None, "refused"]))
    def routers_lag_or_refuse(self, lagging: bool, refuses: str | None) -> None:
        self.world.lagging, self.world.refuses = lagging, refuses

    @rule(number=NUMBERS, requests=st.integers(0, 3000), errors=st.sampled_from([0.0, 0.01, 0.5]))
    def requests_are_answered(self, number: int, requests: int, errors: float) -> None:
        if self.world.traffic is None:
            self.world.traffic = {}
        answered = counters(requests, int(requests * errors))
        self.world.saw(number, live=answered, mirrored=answered)

    @rule(number=NUMBERS, count=st.integers(0, 500), mean=st.sampled_from([-1.0, 0.0, 3.0]))
    def people_say_how_it_was(self, number: int, count: int, mean: float) -> None:
        said = VersionFeedback(rewards=Tally(count, count * mean, count * (mean * mean + 1)))
        self.world.feedback = (self.world.feedback or {}) | {self.world.id(number): said}

    @rule(
        number=NUMBERS,
        answers=st.integers(0, 2000),
        good=st.sampled_from([0.5, 0.9, 1.0]),
        e_value=st.sampled_from([1, 99]),
    )
    def the_monitor_knows_of_answers(self, number: int, answers: int, good: float, e_value: float) -> None:
        drift = DriftTally("file", 1000, answers, (Move("age", answers, 1 - good, e_value),))
        tally = VersionTally(answers, 0, RewardTally(0, 0.0, 0.0, True), LabelTally(answers, int(good * answers)), ())
        known = self.world.evidence.versions if self.world.evidence is not None else {}
        pairs = PairTally(1e-6, answers, int(good * answers))
        self.world.evidence = Evidence({**known, self.world.id(number): tally}, {}, (pairs,), drift, drift)

    @rule(score=st.sampled_from([0.1, 0.9, float("nan")]), problem=st.sampled_from(["", "", "refused"]))
    def somebody_else_says_a_score(self, score: float, problem: str) -> None:
        before = self.world.measured.get("score", Measured()).values
        self.world.measured = {"score": Measured((*before, score), problem)}

    @rule()
    def the_monitor_cannot_be_reached(self) -> None:
        self.world.feedback = self.world.evidence = None

    @rule()
    def the_counters_cannot_be_read(self) -> None:
        self.world.traffic = None

    @rule()
    def the_counters_begin_anew(self) -> None:
        self.world.recount()

    @rule(reachable=st.booleans())
    def ray_goes_and_comes(self, reachable: bool) -> None:
        self.world.reachable = reachable

    @rule()
    def the_operator_restarts(self) -> None:
        self.world.restart()

    @precondition(lambda self: self.world.deleted_at is None)
    @rule(conflict=st.sampled_from([None, None, "taken by an older one"]))
    def another_rollout_claims_the_host(self, conflict: str | None) -> None:
        self.world.conflict = conflict

    # What must hold at every moment; `World._check` holds more against every plan.

    def turn(self) -> None:
        """One decision. Steps that set shares are passed only when the routers have them."""
        world, before, told = self.world, self.world.status, len(self.world.events)
        rollout = world.rollout
        blind = world.traffic is None and world.evidence is None and not world.measured
        route, acknowledged = world.in_force, world.observed().route.acknowledged
        world.turn()
        after, strategy = world.status, strategy_for(rollout)
        if _advanced(before, after) and isinstance(strategy, Canary) and after.strategy == strategy.kind:
            assert before.step is not None
            weight = strategy.steps[before.step].set_weight if before.step < strategy.count else None
            by_hand = any(value.startswith("full") for value in rollout.commands.values())
            if weight is not None and not by_hand:
                assert acknowledged
                assert route is not None
                weights = {backend.version: backend.weight for backend in route.backends}
                alone = after.stable is not None and not weights[after.stable.id]
                assert weights[str(_id(before.candidate))] == round(weight * 100) or alone
        assert not blind or not any(re.search(r"check \w+ failed", event.message) for event in world.events[told:])
        self._someone_serves()

    def _willing(self) -> World:
        """A copy of the world whose routers take what they are given."""
        world = replace(self.world, events=[], lagging=False, refuses=None)
        world.serve, world.annotations = dict(world.serve), dict(world.annotations)
        world.traffic = None if world.traffic is None else dict(world.traffic)
        return world

    def _someone_serves(self) -> None:
        """Requests are not refused while stable has a ready replica that the operator sees."""
        world = self.world
        plan = world.plan
        if plan is None or plan.route is None or plan.status.stable is None:
            return
        endpoints = {backend.version: backend.endpoints for backend in plan.route.backends}
        if endpoints[plan.status.stable.id]:
            assert sum(backend.weight for backend in plan.route.backends) == 10_000

    @invariant()
    def a_plan_that_was_carried_out_is_decided_again(self) -> None:
        """Reconcile is a fixpoint: with nothing new, the same plan, and nothing to tell."""
        world = self._willing().settle()
        rollout, observed = world.rollout, world.observed()
        plan, again = reconcile(rollout, observed), reconcile(rollout, observed)
        assert plan == again
        assert plan.status == rollout.status
        assert not plan.events
        assert plan.route == world.published
        assert {target.key.version for target in plan.targets} == world.running

    @invariant()
    def an_abort_takes_everything_from_what_is_tried(self) -> None:
        """From every state: no weight, no copies and no selected requests for it, and it is tried no more."""
        status = self.world.status
        tried = {variant.revision.id for variant in status.variants if not variant.failure}
        tried |= {status.candidate.revision.id} if status.candidate is not None else set()
        if not tried or self.world.conflict is not None or self.world.decided != self.world.generation:
            return
        world = self._willing()
        world.annotations = {"tidegate.dev/abort": ""}
        plan = world.turn()
        stable = plan.status.stable
        assert _id(plan.status.candidate) not in tried
        assert plan.route is not None
        assert stable is None or stable.id not in tried
        assert {backend.weight for backend in plan.route.backends if backend.version in tried} <= {0}
        assert plan.route.mirror is None or plan.route.mirror.version not in tried
        assert plan.route.selection is None or plan.route.selection.version not in tried

    @invariant()
    def a_person_can_always_end_a_rollout_with_the_candidate(self) -> None:
        """From every state in which it answers, whatever the strategy and however stable fares."""
        if self.world.conflict is not None:
            return
        world = self._willing()
        world.annotations, world.reachable, world.broken, world.stuck = {}, True, {}, set()
        world.apply(paused=False)
        world.settle()
        candidate = world.status.candidate
        if candidate is None or world.status.step is None or candidate.ready == 0:
            return
        world.say("promote", "full,force")
        world.settle()
        assert world.status.stable is not None
        assert world.status.stable.id == candidate.revision.id
        assert world.weights[candidate.revision.id] == 10_000

    @invariant()
    def what_was_aborted_stays_away(self) -> None:
        """Days later, after a restart, with the same spec: nothing is tried again."""
        if self.world.status.phase is not Phase.DEGRADED or self.world.status.failed is None or self.world.conflict:
            return
        world = self._willing()
        world.annotations = {}
        world.settle()
        if (failed := world.status.failed) is None:
            return
        world.restart()
        world.settle(86_400)
        assert _id(world.status.candidate) != failed
        assert world.status.failed == failed


def _advanced(before: RolloutStatus, after: RolloutStatus) -> bool:
    """Whether the same candidate came to a later step of the same strategy."""
    same = _id(before.candidate) == _id(after.candidate) and before.candidate is not None
    same = same and before.strategy == after.strategy
    return same and before.step is not None and after.step is not None and after.step > before.step


def _id(candidate: Candidate | None) -> str | None:
    return candidate.revision.id if candidate is not None else None


Rollouts.TestCase.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRollouts = Rollouts.TestCase
