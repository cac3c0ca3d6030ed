"""The view of all rollouts at once: who may answer on which host, and what the whole fleet should run. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operators.api import ModelRollout, RolloutKey
from operators.plan import Plan
from router.ir import Route
from serving.spec import ServeTarget

_OR_PATHS = " or other paths in spec.traffic.paths"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """All versions that must run and all routes that must be, each sorted by key."""

    targets: tuple[ServeTarget, ...]
    routes: tuple[Route, ...]


def conflicts(rollouts: Iterable[ModelRollout]) -> Mapping[RolloutKey, str]:
    """For each rollout that may not have its route: a sentence that says which older rollout is in the way.

    A model name and a path of `traffic.paths` belong, on each host, to the rollout that was created first (of two
    created at once, to the first by key). A rollout without a route is in nobody's way.
    """
    owners: dict[tuple[str, str], RolloutKey] = {}
    losers: dict[RolloutKey, str] = {}
    for rollout in sorted(rollouts, key=lambda rollout: (rollout.metadata.creation_timestamp, rollout.key)):
        traffic = rollout.spec.traffic
        names = [f"model {rollout.metadata.name}", *(f"path {path}" for path in traffic.paths.given.values())]
        claims = [(host, name) for host in traffic.hosts for name in names]
        taken = next((claim for claim in claims if claim in owners), None)
        if taken is None:
            owners.update(dict.fromkeys(claims, rollout.key))
        else:
            losers[rollout.key] = (
                f"{taken[1]} on host {taken[0]} belongs to {owners[taken]}, which is older: "
                f"name other hosts in spec.traffic.hosts{_OR_PATHS if taken[1] in names[1:] else ''}, "
                "or delete one of the two"
            )
    return losers


def compose(plans: Iterable[Plan]) -> FleetPlan:
    """One plan for the fleet, the same for equal plans."""
    decided = tuple(plans)
    targets = (target for plan in decided for target in plan.targets)
    routes = (plan.route for plan in decided if plan.route is not None)
    return FleetPlan(
        targets=tuple(sorted(targets, key=lambda target: target.key)),
        routes=tuple(sorted(routes, key=lambda route: route.key)),
    )
