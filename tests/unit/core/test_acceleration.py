"""What replicas say of `accelerate` reaches the rollout's status, and starts no version that was not asked for."""

from dataclasses import replace

import pytest
from core_world import World, canary, live, model

from operators.api import parse_manifest, revision_of, target_of
from serving.spec import Acceleration, TargetPhase

DONE = Acceleration(True, "Converted", "answers by onnxruntime agree")
DIFFERS = Acceleration(False, "OutputsDiffer", "predict differs for 3 of 512 sample rows")


def says(world: World, number: int, acceleration: Acceleration) -> None:
    state = world.serve[world.id(number)]
    world.serve[world.id(number)] = replace(state, acceleration=acceleration)


def types(world: World) -> list[str]:
    return [condition.type for condition in world.status.conditions]


def test_a_rollout_that_nobody_accelerates_has_no_such_condition() -> None:
    assert "Accelerated" not in types(live())


@pytest.mark.parametrize("said", [DONE, DIFFERS])
def test_what_the_stable_version_says_is_a_condition(said: Acceleration) -> None:
    world = live()
    says(world, 1, said)
    world.settle(1)
    assert world.condition("Accelerated") == (said.done, said.reason, f"{world.id(1)}: {said.message}")
    assert world.condition("Ready")[0] is True


def test_while_a_candidate_is_there_the_condition_is_about_it() -> None:
    world = live(strategy=canary({"setWeight": 10}, {"pause": {}}))
    says(world, 1, DONE)
    world.settle(1)
    world.apply(model=model(2))
    world.settle(1)
    assert world.condition("Accelerated")[2].startswith(world.id(1))
    says(world, 2, DIFFERS)
    world.settle(1)
    assert world.condition("Accelerated") == (False, "OutputsDiffer", f"{world.id(2)}: {DIFFERS.message}")


def test_the_condition_stands_while_ray_cannot_be_reached() -> None:
    world = live()
    says(world, 1, DIFFERS)
    world.settle(1)
    before = world.condition("Accelerated")
    world.reachable = False
    world.settle(1)
    assert world.condition("Accelerated") == before


def test_the_condition_goes_with_the_version_that_it_was_about() -> None:
    world = live()
    says(world, 1, DONE)
    world.settle(1)
    world.apply(model=model(2))
    world.settle(60)
    assert world.serve[world.id(2)].phase is TargetPhase.RUNNING
    assert "Accelerated" not in types(world)


def test_accelerate_makes_another_version_and_reaches_the_replicas() -> None:
    manifest = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris"},
        "spec": {"model": model(1)},
    }
    plain = parse_manifest(manifest)
    converted = parse_manifest(manifest | {"spec": {"model": model(1) | {"accelerate": "onnx"}}})
    assert revision_of(plain).id != revision_of(converted).id
    assert target_of(revision_of(plain), plain).source.accelerate is None
    assert target_of(revision_of(converted), converted).source.accelerate == "onnx"
