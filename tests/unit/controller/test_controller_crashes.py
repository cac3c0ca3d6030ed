"""The process may die after any effect on the world: the next one goes on, and no request is lost meanwhile."""

from collections import Counter
from collections.abc import Callable

import pytest
from controller_world import EPOCH, Crash, Session, World, asked, changed, deleted, manifest, run

from operators.api import ModelRollout, RolloutKey, revision_of
from operators.plan import Command
from operators.status import Phase

IRIS, DIGITS = RolloutKey("default", "iris"), RolloutKey("default", "digits")
CANARY = {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]}}
V1, V2, V3 = (manifest(version=version, strategy=CANARY) for version in (1, 2, 3))
ONE, TWO, THREE = (revision_of(rollout).id for rollout in (V1, V2, V3))

Action = Callable[[dict[RolloutKey, ModelRollout]], ModelRollout]
STORY: list[tuple[float, Action]] = [
    (20, lambda found: changed(found[IRIS], V2)),
    (40, lambda found: asked(found[IRIS], Command.PROMOTE, "step")),
    (60, lambda found: asked(found[IRIS], Command.PROMOTE, "step")),
    (80, lambda found: changed(found[IRIS], V3)),
    (100, lambda found: asked(found[IRIS], Command.ABORT)),
    (120, lambda found: deleted(found[DIGITS])),
]
END = 200.0


def serves(world: World) -> None:
    """Whoever gets requests runs, and answers at the address that the routers have."""
    for route in world.routes.values():
        for backend in route.backends:
            if backend.weight:
                (key,) = (key for key in world.targets if key.version == backend.version)
                assert world.started[key] + world.start_seconds <= world.time_now
                assert backend.endpoints


def tell(crash_after: int | None) -> World:
    """The whole story, with one crash on the way."""
    digits = manifest("digits")
    world = World(rollouts={IRIS: V1, DIGITS: digits}, crash_after=crash_after, watch=serves)
    story = list(STORY)

    async def script(session: Session) -> None:
        while story:
            at, action = story[0]
            await session.sleep_until(at)
            story.pop(0)
            session.changed(action(world.rollouts))
        await session.sleep_until(END)

    while True:
        try:
            run(world, script)
        except Crash:
            world.crash_after = None
        else:
            return world


EFFECTS = len(tell(None).effects)


@pytest.mark.parametrize("crash_after", range(1, EFFECTS + 1))
def test_a_crash_after_any_effect_changes_nothing_about_the_end(crash_after: int) -> None:
    world = tell(crash_after)
    assert set(world.rollouts) == {IRIS}
    status = world.rollouts[IRIS].status
    assert status.stable is not None
    assert (status.stable.id, status.candidate, status.failed, status.phase) == (TWO, None, THREE, Phase.DEGRADED)
    assert world.running() == {TWO}
    assert [backend.version for route in world.routes.values() for backend in route.backends] == [TWO]
    told = Counter(decision.reason for decision in status.history)
    assert (told["Started"], told["Promoted"], told["PromotedByHand"], told["Aborted"]) == (3, 2, 2, 1)
    assert "CommandRefused" not in told, "no command is carried out twice"
    assert all(decision.at >= EPOCH for decision in status.history)
