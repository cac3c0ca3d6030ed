"""Experiments in the core's world."""

from typing import Any

from core_world import World, live, model

from operators.status import Arm

GOAL = {"metric": "success-rate"}


def ab_test(**fields: Any) -> dict[str, Any]:
    """An A/B test."""
    return {"abTest": {"goal": GOAL, **fields}}


def bandit(**fields: Any) -> dict[str, Any]:
    """A bandit."""
    return {"bandit": {"reward": "success-rate", **fields}}


def variants(**numbers: int) -> list[dict[str, Any]]:
    """Variants by name, with the number of each one's model."""
    return [{"name": name, "model": model(number)} for name, number in numbers.items()]


def three(strategy: dict[str, Any] | None = None, **spec: Any) -> World:
    """Version 1 is stable, and control of an experiment with 2 as b and 3 as c."""
    shares = {"control": 50, "b": 30, "c": 20}
    world = live()
    world.apply(strategy=strategy or ab_test(shares=shares), variants=variants(b=2, c=3), **spec)
    return world.settle()


def arm(world: World, name: str) -> Arm:
    """What is known of an arm."""
    assert world.status.experiment is not None
    return next(one for one in world.status.experiment.arms if one.name == name)
