"""Whatever people, models, replicas, routers and time do: the rules that keep traffic safe hold."""

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "core"))

from core_world import ERRORS, World, canary, counters, model

from operators.reconcile import reconcile
from operators.status import Candidate, RolloutStatus

NUMBERS = st.integers(1, 3)
STRATEGIES = st.sampled_from(
    [
        None,
        canary({"setWeight": 5}, {"pause": {"duration": "1m"}}, {"setWeight": 33.33}, {"pause": {}}),
        canary(
            {"setShadow": 100},
            {"analysis": {"minSamples": 50, "maxDuration": "2m"}},
            {"setShadow": 0},
            {"setWeight": 50},
        ),
        canary({"pause": {}}, {"setWeight": 0.01}, {"setWeight": 100}, {"pause": {"duration": "30s"}}),
    ]
)
COMMANDS = st.sampled_from(
    [("promote", "step"), ("promote", "full"), ("promote", "full,force"), ("promote", "nonsense"), ("abort", ""),
     ("retry", ""), ("undo", "")]
)  # fmt: skip


class Rollouts(RuleBasedStateMachine):
    """One rollout and everything that can happen to it."""

    @initialize(strategy=STRATEGIES, answer=st.sampled_from(["hold", "abort", "pause"]))
    def begin(self, strategy: object, answer: str) -> None:
        """A first version appears."""
        self.world = World(
            {
                "model": model(1),
                "strategy": strategy,
                "analysis": {"interval": "10s", "onInconclusive": answer, "checks": [ERRORS]},
                "progressDeadlineSeconds": 120,
                "scaleDownDelaySeconds": 20,
            }
        )

    # What happens.

    @rule(number=NUMBERS)
    def change_the_model(self, number: int) -> None:
        self.world.apply(model=model(number))

    @rule(strategy=STRATEGIES, paused=st.booleans(), replicas=st.integers(1, 3))
    def change_the_rest_of_the_spec(self, strategy: object, paused: bool, replicas: int) -> None:
        self.world.apply(strategy=strategy, paused=paused, serving={"replicas": replicas})

    @rule(command=COMMANDS)
    def say(self, command: tuple[str, str]) -> None:
        self.world.say(*command)

    @rule(seconds=st.sampled_from([0.0004, 0.5, 10, 31, 200]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(turns=st.integers(1, 4))
    def decide(self, turns: int) -> None:
        for _ in range(turns):
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

    @rule()
    def the_counters_cannot_be_read(self) -> None:
        self.world.traffic = None

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
        world, before = self.world, self.world.status
        rollout = world.rollout
        route, acknowledged = world.in_force, world.observed().route.acknowledged
        world.turn()
        after = world.status
        if _advanced(before, after) and rollout.spec.strategy is not None and rollout.spec.strategy.canary is not None:
            assert before.step is not None
            steps = rollout.spec.strategy.canary.steps
            weight = steps[before.step].set_weight if before.step < len(steps) else None
            by_hand = any(value.startswith("full") for value in rollout.commands.values())
            if weight is not None and not by_hand:
                assert acknowledged
                assert route is not None
                weights = {backend.version: backend.weight for backend in route.backends}
                assert weights[str(_id(before.candidate))] == round(weight * 100)
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
    def an_abort_takes_everything_from_the_candidate(self) -> None:
        """From every state: no weight and no copies for it, and it is the candidate no more."""
        candidate = self.world.status.candidate
        if candidate is None or self.world.conflict is not None:
            return
        world = self._willing()
        world.annotations = {"tidegate.dev/abort": ""}
        plan = world.turn()
        gone, stable = candidate.revision.id, plan.status.stable
        assert _id(plan.status.candidate) != gone
        assert plan.route is not None
        assert stable is None or stable.id != gone
        assert {backend.weight for backend in plan.route.backends if backend.version == gone} <= {0}
        assert plan.route.mirror is None or plan.route.mirror.version != gone


def _advanced(before: RolloutStatus, after: RolloutStatus) -> bool:
    """Whether the same candidate came to a later step."""
    same = _id(before.candidate) == _id(after.candidate) and before.candidate is not None
    return same and before.step is not None and after.step is not None and after.step > before.step


def _id(candidate: Candidate | None) -> str | None:
    return candidate.revision.id if candidate is not None else None


Rollouts.TestCase.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRollouts = Rollouts.TestCase
