"""The simulation decides what the real controller decides, and when it does.

Both see the same rollout beside the same world: the controller through its four ports on a clock that jumps, the
simulation on its own. Requests come so fast that every check is clear at the first look.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))

from controller_world import EPOCH, Session, World, asked, changed, run
from simulate_kit import ERRORS, rollout, scenario

from monitor.evidence import Evidence, PairTally
from operators.api import ModelRollout, RolloutKey, revision_of
from operators.observe import VersionFeedback
from operators.plan import Command
from operators.ports import Comparison
from operators.simulate import simulate
from router.ir import BackendKey, RouteKey, TrafficCounters

BEGIN = 60.0
"""When the new manifest is applied; until then the controller has time for the first version."""
RATE = 10_000


class Busy(World):
    """Every version answers many requests per second; those of `bad` fail."""

    bad: frozenset[str] = frozenset()

    @property
    def counters(self) -> Mapping[BackendKey, TrafficCounters]:
        number = int(self.time_now * RATE)
        return {
            BackendKey(RouteKey("default", "iris"), key.version, mirrored): TrafficCounters(
                number, number if key.version in self.bad else 0
            )
            for key in self.targets
            for mirrored in (False, True)
        }

    @counters.setter
    def counters(self, value: object) -> None:
        """What a world begins with is not needed."""


@dataclass
class Monitor:
    """Knows so many pairs of answers of any two versions, of which so many agree."""

    pairs: int
    agreeing: int

    async def feedback(self, key: RolloutKey, since: float) -> Mapping[str, VersionFeedback] | None:
        """What nobody asks for here."""

    async def evidence(self, key: RolloutKey, since: float, comparison: Comparison) -> Evidence:
        return Evidence(pairs=tuple(PairTally(one, self.pairs, self.agreeing) for one in comparison.tolerances))


@dataclass
class Case:
    manifest: ModelRollout
    text: str = "candidate: {readyAfter: 2s}"
    acts: dict[float, Callable[[Session], None]] = field(default_factory=dict)
    bad: bool = False
    unloadable: str = ""
    monitor: Monitor | None = None
    tolerance: float = 1.0
    """Seconds. The controller looks at Ray Serve every 0.3 s."""


def say(command: Command, value: str = "") -> Callable[[Session], None]:
    def act(session: Session) -> None:
        (mine,) = session.world.rollouts.values()
        session.changed(asked(mine, command, value))

    return act


def ray(down: bool) -> Callable[[Session], None]:
    def act(session: Session) -> None:
        session.world.serve_down = down

    return act


CHECKED = {"interval": "5s", "checks": [ERRORS]}
AGREEING = {"interval": "5s", "checks": [{"name": "agreement", "metric": "shadow-agreement", "min": 0.9}]}
STEPS = [{"setShadow": 100}, {"analysis": {"minSamples": 100}}, {"setShadow": 0}, {"setWeight": 5}]
PAUSES = [{"setWeight": 5}, {"pause": {"duration": "20s"}}, {"setWeight": 50}, {"pause": {"duration": "40s"}}]
CASES = {
    "no steps": Case(rollout()),
    "timed pauses": Case(rollout(steps=PAUSES)),
    "checks that pass": Case(rollout(steps=[*STEPS, *PAUSES, {"analysis": {}}], analysis=CHECKED)),
    "checks that fail": Case(
        rollout(steps=PAUSES, analysis=CHECKED), "candidate: {errorRate: 1.0, readyAfter: 2s}", bad=True
    ),
    "checks that fail on copies": Case(
        rollout(steps=STEPS, analysis=CHECKED), "candidate: {errorRate: 1.0, readyAfter: 2s}", bad=True
    ),
    "answers that agree": Case(rollout(steps=STEPS, analysis=AGREEING), monitor=Monitor(pairs=RATE, agreeing=RATE)),
    "answers that do not agree": Case(
        rollout(steps=STEPS, analysis=AGREEING),
        "candidate: {agreement: 0, readyAfter: 2s}",
        monitor=Monitor(pairs=RATE, agreeing=0),
    ),
    "a blue-green that is switched back": Case(
        rollout(strategy={"blueGreen": {"postPromotionAnalysis": {"minSamples": 10}}}, analysis=CHECKED),
        "candidate: {errorRate: 1.0, readyAfter: 2s}",
        bad=True,
    ),
    "an experiment": Case(
        rollout(
            strategy={"abTest": {"goal": {"metric": "success-rate"}, "onWinner": "promote"}},
            analysis={"interval": "5s"},
        ),
        "candidate: {errorRate: 1.0, readyAfter: 2s}",
        bad=True,
    ),
    "unloadable": Case(rollout(), "candidate: {cannotLoad: no model, readyAfter: 0s}", unloadable="no model"),
    "too slow": Case(rollout(steps=PAUSES, progressDeadlineSeconds=1)),
    "commands": Case(
        rollout(steps=[{"setWeight": 5}, {"pause": {}}, *PAUSES[2:]]),
        "candidate: {readyAfter: 2s}, events: [{at: 10s, command: promote}, {at: 20s, command: abort},"
        " {at: 50s, command: retry}, {at: 80s, command: promote --full}, {at: 100s, command: undo}]",
        {
            10: say(Command.PROMOTE, "step"),
            20: say(Command.ABORT),
            50: say(Command.RETRY),
            80: say(Command.PROMOTE, "full"),
            100: say(Command.UNDO),
        },
    ),
    "Ray away": Case(
        rollout(steps=PAUSES, analysis=CHECKED),
        "candidate: {readyAfter: 2s}, events: [{at: 10s, rayUnreachable: 60s}]",
        {8.5: ray(down=True), 70: ray(down=False)},  # three failed looks before it counts as away
        tolerance=6.0,  # it is tried again every 5 s
    ),
}


def by_the_controller(case: Case) -> list[tuple[float, str]]:
    before, after = rollout("1"), case.manifest
    world = Busy({before.key: before}, start_seconds=2.0, ack_seconds=0.1)
    world.bad = frozenset({revision_of(after).id} if case.bad else ())
    world.failing = {revision_of(after).id: case.unloadable} if case.unloadable else {}

    async def script(session: Session) -> None:
        await session.sleep_until(BEGIN)
        session.changed(changed(world.rollouts[before.key], after))
        for at, act in case.acts.items():
            await session.sleep_until(BEGIN + at)
            act(session)
        await session.sleep_until(BEGIN + 300)

    run(world, script, monitor=case.monitor)
    history = world.rollouts[before.key].status.history
    return [(line.at - EPOCH - BEGIN, line.message) for line in history if line.at >= EPOCH + BEGIN]


@pytest.mark.parametrize("name", CASES)
def test_the_simulation_decides_what_the_controller_decides(name: str) -> None:
    case = CASES[name]
    described = scenario(f"{{requestsPerSecond: {RATE}, {case.text}}}")
    result = simulate(case.manifest, described, rollout("1"))
    happened = {text for _, text, _ in described.story}
    simulated = [(moment.at, note) for moment in result.moments for note in moment.notes if note not in happened]
    real = by_the_controller(case)
    assert [words(message) for _, message in simulated] == [words(message) for _, message in real]
    assert len(real) >= 2
    for (at, message), (expected, _) in zip(simulated, real, strict=True):
        assert at == pytest.approx(expected, abs=case.tolerance), message


def words(message: str) -> str:
    """The message up to its numbers, which chance decides."""
    return re.split(r": (?:error-rate is|shadow-agreement is|control )", message)[0]
