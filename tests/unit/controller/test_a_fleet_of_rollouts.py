"""Hundreds of rollouts in one controller: the trouble of one is nobody else's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from controller_world import EPOCH, MemoryStore, Session, World, asked, deleted, lines, run

from operators.api import API_VERSION, KIND, ModelRollout, RolloutKey, parse_manifest
from operators.observe import Observed
from operators.plan import Command, Plan
from operators.ports import StoreRefused
from operators.reconcile import reconcile
from operators.status import Phase, RolloutStatus
from router.ir import RouteKey

SIZE = 300
CHANGED = range(0, SIZE, 10)
"""The rollouts that get a new version, all at once."""
BAD = RolloutKey("default", "m007")
BOUND = 1.0
"""Seconds of the loop's own time by which trouble elsewhere may be felt; what is waited for in it is exact."""


def rollout(name: str, version: int = 1, namespace: str = "default", born: float = 0.0, **spec: Any) -> ModelRollout:
    """A rollout that was created `born` seconds after all time began."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}-{name}",
        "generation": version,
        "creationTimestamp": EPOCH + born,
    }
    content = {"model": {"uri": f"file:///models/{namespace}/{name}/{version}", "runtime": "sklearn"}, **spec}
    return parse_manifest({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": content})


def route_of(key: RolloutKey) -> RouteKey:
    """The key of a rollout's route."""
    return RouteKey(key.namespace, key.name)


@dataclass
class Story:
    """What became of a fleet: per rollout, the decisions and the seconds from the change to its route."""

    world: World = field(default_factory=World)
    decisions: Counter[RolloutKey] = field(default_factory=Counter)
    seconds: dict[RolloutKey, float] = field(default_factory=dict)
    published: int = 0
    applied: int = 0


def tell(troubled: ModelRollout | None = None, raises: bool = False) -> Story:
    """The story of a fleet at rest of which some change at one moment, perhaps with one that makes trouble."""
    story = Story()
    world, changed = story.world, {RolloutKey("default", f"m{number:03}") for number in CHANGED}
    began = 0.0

    def decide(one: ModelRollout, observed: Observed) -> Plan:
        if began:
            story.decisions[one.key] += 1
        if raises and one.key == BAD:
            raise ZeroDivisionError("a defect")
        return reconcile(one, observed)

    def look(world: World) -> None:
        for key in changed - story.seconds.keys() if began else ():
            route = world.routes.get(route_of(key))
            stable = world.rollouts[key].status.revisions
            if route is not None and len(stable) == 2 and route.backends[0].weight == 10_000:
                story.seconds[key] = world.time_now - began

    async def play(session: Session) -> None:
        nonlocal began
        await session.sleep(10)
        began, before = world.time_now, list(world.effects)
        if troubled is not None:
            session.changed(troubled)
        session.changed(*(rollout(key.name, 2).with_status(world.rollouts[key].status) for key in changed))
        await session.sleep(30)
        story.published = len(lines(world.effects[len(before) :], "publish"))
        story.applied = len(lines(world.effects[len(before) :], "apply"))

    world.rollouts = {one.key: one for one in (rollout(f"m{number:03}") for number in range(SIZE))}
    world.watch = look
    run(world, play, reconcile=decide)
    return story


@pytest.fixture(scope="module")
def untroubled() -> Story:
    """The fleet in which nothing goes wrong."""
    story = tell()
    assert len(story.seconds) == len(CHANGED)
    return story


def assert_no_worse(story: Story, untroubled: Story) -> None:
    """The others were decided about no more often, and had their routes no later."""
    others = untroubled.seconds.keys() - {BAD}
    assert story.seconds.keys() >= others
    for key in others:
        assert story.decisions[key] <= untroubled.decisions[key] + 1
        assert story.seconds[key] <= untroubled.seconds[key] + BOUND
    resting = {RolloutKey("default", f"m{number:03}") for number in range(SIZE)} - others - {BAD}
    assert sum(story.decisions[key] for key in resting) <= sum(untroubled.decisions[key] for key in resting)
    assert story.published <= untroubled.published + 2
    assert story.applied <= untroubled.applied + 2


def test_one_that_can_never_be_decided_delays_no_other(untroubled: Story) -> None:
    story = tell(raises=True)
    assert_no_worse(story, untroubled)
    assert story.decisions[BAD] < 10, "it is tried again ever more slowly"
    failures = [event for key, event in story.world.events if key == BAD]
    assert [event.reason for event in failures] == ["ReconcileFailed"]
    assert "ZeroDivisionError: a defect" in failures[0].message


def test_one_whose_status_is_always_refused_delays_no_other(untroubled: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = MemoryStore.put_status

    async def put_status(
        self: MemoryStore, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()
    ) -> None:
        if key == BAD:
            raise StoreRefused("422: the status is too long")
        await keep(self, key, status, consumed)

    monkeypatch.setattr(MemoryStore, "put_status", put_status)
    story = tell()
    assert_no_worse(story, untroubled)
    assert route_of(BAD) not in story.world.routes, "what was not stored is not done"
    assert story.decisions[BAD] < 10


def test_one_that_claims_what_another_has_delays_no_other(untroubled: Story) -> None:
    claim = rollout(BAD.name, namespace="late", born=100)
    story = tell(troubled=claim)
    assert_no_worse(story, untroubled)
    assert route_of(claim.key) not in story.world.routes
    assert story.world.routes[route_of(BAD)].backends[0].weight == 10_000
    status = story.world.rollouts[claim.key].status
    assert "belongs to default/m007, which is older" in status.message


def test_commands_to_one_are_answered_while_another_fails() -> None:
    world = World()
    names = [f"m{number:03}" for number in range(10)]
    steps = {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}}

    def decide(one: ModelRollout, observed: Observed) -> Plan:
        if one.key == BAD:
            raise ZeroDivisionError
        return reconcile(one, observed)

    async def play(session: Session) -> None:
        session.changed(*(rollout(name, strategy=steps) for name in names))
        await session.sleep(10)
        others = [key for key in world.rollouts if key != BAD]
        for key in others:
            session.changed(rollout(key.name, 2, strategy=steps).with_status(world.rollouts[key].status))
        await session.sleep(10)
        for key in others:
            assert world.rollouts[key].status.phase is Phase.PAUSED
            session.changed(asked(world.rollouts[key], Command.PROMOTE, "full"))
        await session.sleep(5)
        assert {world.rollouts[key].status.phase for key in others} == {Phase.HEALTHY}

    run(world, play, reconcile=decide)


def test_one_model_name_lives_in_many_namespaces_on_hosts_of_their_own() -> None:
    world = World()
    spaces = [f"team-{number}" for number in range(20)]

    async def play(session: Session) -> None:
        session.changed(
            *(rollout("iris", namespace=space, traffic={"hosts": [f"{space}.example.com"]}) for space in spaces)
        )
        await session.sleep(10)

    run(world, play)
    assert {key.namespace for key in world.routes} == {*spaces}
    assert {route.hosts for route in world.routes.values()} == {(f"{space}.example.com",) for space in spaces}
    assert all(route.backends[0].weight == 10_000 for route in world.routes.values())


@pytest.mark.parametrize("order", ["oldest first", "youngest first"])
def test_a_host_and_model_name_belong_to_the_oldest_whatever_order_they_were_seen_in(order: str) -> None:
    world = World()
    claims = [rollout("iris", namespace=f"team-{age}", born=age) for age in range(3)]
    if order == "youngest first":
        claims.reverse()
    oldest = RolloutKey("team-0", "iris")

    async def play(session: Session) -> None:
        for claim in claims:
            session.changed(claim)
            await session.sleep(5)
        assert [key.namespace for key in world.routes] == ["team-0"]
        assert world.rollouts[oldest].status.phase is Phase.HEALTHY
        for key in world.rollouts.keys() - {oldest}:
            accepted = next(one for one in world.rollouts[key].status.conditions if one.type == "Accepted")
            assert (accepted.status, accepted.reason) == (False, "RouteConflict")

    run(world, play)


def test_when_the_oldest_goes_the_next_in_age_takes_its_place() -> None:
    world = World()

    async def play(session: Session) -> None:
        session.changed(*(rollout("iris", namespace=f"team-{age}", born=age) for age in range(3)))
        await session.sleep(10)
        for age in range(2):
            session.changed(deleted(world.rollouts[RolloutKey(f"team-{age}", "iris")]))
            await session.sleep(20)
            assert [key.namespace for key in world.routes] == [f"team-{age + 1}"]
        assert world.rollouts[RolloutKey("team-2", "iris")].status.phase is Phase.HEALTHY

    run(world, play)


def test_a_conflict_over_one_of_several_hosts_ends_when_that_host_is_left_out() -> None:
    world = World()
    young = RolloutKey("young", "iris")

    async def play(session: Session) -> None:
        session.changed(rollout("iris", namespace="old", traffic={"hosts": ["a.example.com"]}))
        session.changed(
            rollout("iris", namespace="young", born=1, traffic={"hosts": ["a.example.com", "b.example.com"]})
        )
        await session.sleep(10)
        assert route_of(young) not in world.routes
        status = world.rollouts[young].status
        session.changed(
            rollout("iris", 2, namespace="young", born=1, traffic={"hosts": ["b.example.com"]}).with_status(status)
        )
        await session.sleep(10)
        assert world.routes[route_of(young)].hosts == ("b.example.com",)

    run(world, play)
