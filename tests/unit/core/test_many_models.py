"""`serving.multiModel`: a version that is many models, from the manifest to what runs and what the routers do."""

from core_world import canary, live, model

from operators.api import hosts_many, revision_of, target_of
from router.modelroute import route_of, spec_of

MANY = {"multiModel": {"memory": "256Mi", "maxLoaded": 20}}
HALF = canary({"setWeight": 50}, {"pause": {}})


def test_the_budget_is_part_of_the_version_and_told_to_its_replicas() -> None:
    rollout = live(serving=MANY).rollout
    target = target_of(revision_of(rollout), rollout)
    assert (target.members_bytes, target.members_loaded) == (256 << 20, 20)
    assert hosts_many(revision_of(rollout))
    plain = live().rollout
    assert target_of(revision_of(plain), plain).members_bytes == 0
    assert not hosts_many(revision_of(plain))


def test_an_empty_block_is_enough() -> None:
    rollout = live(serving={"multiModel": {}}).rollout
    assert target_of(revision_of(rollout), rollout).members_bytes == 512 << 20


def test_the_route_says_of_each_version_whether_it_is_many_models() -> None:
    world = live(strategy=HALF)
    stable = world.weights.keys()
    assert world.in_force is not None
    assert not world.in_force.members
    world.apply(model=model(2), serving=MANY)
    world.settle()
    many = {backend.version: backend.members for backend in world.in_force.backends}
    assert many == {version: version not in stable for version in world.weights}
    assert world.in_force.members
    assert sorted(world.weights.values()) == [5_000, 5_000]


def test_members_stay_routed_while_a_version_of_many_models_has_any_requests() -> None:
    world = live(serving=MANY, strategy=HALF)
    before = {backend.version for backend in world.in_force.backends} if world.in_force else set()
    world.apply(model=model(2), serving={})
    world.settle()
    assert world.in_force is not None
    assert world.in_force.members, "the stable version still is many models, whatever the manifest says now"
    assert {backend.version for backend in world.in_force.backends if backend.members} == before


def test_the_custom_resource_carries_it() -> None:
    route = live(serving=MANY).in_force
    assert route is not None
    assert route_of(route.key, spec_of(route)) == route
