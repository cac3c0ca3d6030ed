"""Rollouts that are held, stores that refuse, and whoever measures: none of them disturbs the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from controller_world import MemoryStore, Session, World, changed, deleted, lines, manifest, run

from operators.api import ModelRollout, RolloutKey, revision_of
from operators.plan import Command, Plan
from operators.ports import StoreRefused
from operators.status import Phase, RolloutStatus
from router.ir import RouteKey

IRIS, DIGITS = RolloutKey("default", "iris"), RolloutKey("default", "digits")
CANARY = {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}]}}
V1, V2 = manifest(version=1, strategy=CANARY), manifest(version=2, strategy=CANARY)
ONE, TWO = revision_of(V1).id, revision_of(V2).id


def held(rollout: ModelRollout) -> ModelRollout:
    """The rollout after a change of its manifest that makes no sense: nothing of its spec is known."""
    spec = manifest(version=99).spec
    return rollout.model_copy(update={"spec": spec, "held": True})


def halfway() -> World:
    """A canary that waits for a person at 5 %."""
    world = World(rollouts={IRIS: V1})
    run(world, 10)

    async def next_version(session: Session) -> None:
        session.changed(changed(world.rollouts[IRIS], V2))
        await session.sleep(20)

    run(world, next_version)
    assert world.rollouts[IRIS].status.weight == 500
    world.effects.clear()
    return world


@pytest.mark.parametrize("restarted", [False, True])
def test_a_held_rollout_keeps_its_versions_and_its_split_while_others_go_on(restarted: bool) -> None:
    world = halfway()
    routes = dict(world.routes)
    other = manifest("digits")

    async def hold(session: Session) -> None:
        if not restarted:
            await session.sleep(5)
            world.effects.clear()
        session.changed(held(world.rollouts[IRIS]), other)
        await session.sleep(60)

    if restarted:
        world.rollouts[IRIS] = held(world.rollouts[IRIS])
    run(world, hold)

    assert world.running() == {ONE, TWO, revision_of(other).id}
    assert world.routes[RouteKey("default", "iris")] == routes[RouteKey("default", "iris")]
    assert world.rollouts[DIGITS].status.phase is Phase.HEALTHY
    assert not lines(world.effects, "status iris")


def test_replicas_of_a_held_rollout_are_followed_to_where_they_are() -> None:
    world = halfway()
    world.rollouts[IRIS] = held(world.rollouts[IRIS])
    key = RouteKey("default", "iris")
    before = world.routes[key]
    stale = tuple(
        replace(backend, endpoints=tuple(replace(endpoint, port=1) for endpoint in backend.endpoints))
        for backend in before.backends
    )
    world.routes[key] = replace(before, backends=stale)
    run(world, 10)
    assert world.routes[key] == before


def test_a_held_rollout_goes_on_where_it_was_when_its_manifest_makes_sense_again() -> None:
    world = halfway()

    async def mend(session: Session) -> None:
        session.changed(held(world.rollouts[IRIS]))
        await session.sleep(10)
        session.changed(changed(world.rollouts[IRIS], V2).model_copy(update={"held": False}))
        await session.sleep(10)

    run(world, mend)
    status = world.rollouts[IRIS].status
    assert (status.weight, status.candidate is not None) == (500, True)
    assert world.running() == {ONE, TWO}


def test_a_held_rollout_can_be_deleted() -> None:
    world = halfway()
    world.rollouts[IRIS] = deleted(held(world.rollouts[IRIS]))
    run(world, 60)
    assert world.rollouts == {}
    assert world.running() == set()
    assert world.routes == {}


def test_a_status_that_the_store_refuses_is_tried_ever_more_rarely_and_keeps_no_other_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(rollouts={IRIS: V1, DIGITS: manifest("digits")})
    put, refused = MemoryStore.put_status, []

    async def refusing(
        self: MemoryStore, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()
    ) -> None:
        if key == IRIS:
            refused.append(self.world.time_now)
            raise StoreRefused("422: no")
        await put(self, key, status, consumed)

    monkeypatch.setattr(MemoryStore, "put_status", refusing)
    run(world, 100)

    assert world.rollouts[DIGITS].status.phase is Phase.HEALTHY
    assert world.rollouts[IRIS].status == RolloutStatus()
    pauses = [after - before for before, after in pairwise(refused)]
    assert len(refused) < 20
    assert max(pauses) > 10
    assert [event.reason for key, event in world.events if key == IRIS] == ["ReconcileFailed"]

    monkeypatch.setattr(MemoryStore, "put_status", put)
    run(world, 10)
    assert world.rollouts[IRIS].status.phase is Phase.HEALTHY


@dataclass
class Watcher:
    """Writes down what it is told."""

    decisions: list[tuple[str, bool]] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    gone: list[RolloutKey] = field(default_factory=list)

    def queued(self, depth: int) -> None:
        self.depths.append(depth)

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
        assert seconds >= 0
        self.decisions.append((rollout.metadata.name, plan is not None))

    def dropped(self, key: RolloutKey) -> None:
        self.gone.append(key)


def test_an_observer_is_told_of_decisions_of_the_queue_and_of_what_is_gone() -> None:
    world, watcher = World(rollouts={IRIS: V1, DIGITS: manifest("digits")}), Watcher()

    async def delete(session: Session) -> None:
        await session.sleep(10)
        session.changed(deleted(world.rollouts[IRIS]))
        await session.sleep(60)

    run(world, delete, observer=watcher)
    assert {("iris", True), ("digits", True)} <= set(watcher.decisions)
    assert max(watcher.depths) == 2
    assert watcher.depths[-1] == 0
    assert watcher.gone == [IRIS]


def test_an_observer_is_told_of_decisions_that_could_not_be_stored() -> None:
    world, watcher = World(rollouts={IRIS: V1}), Watcher()

    async def sleep(session: Session) -> None:
        world.store_down = False
        await session.sleep(0.05)
        world.store_down = True
        await session.sleep(5)

    run(world, sleep, observer=watcher)
    assert ("iris", False) in watcher.decisions
