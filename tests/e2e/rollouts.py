"""What the stories on a cluster have in common: rollouts that get somewhere while steady load runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sklearn.datasets import load_iris

from benchmarks.client import Load, cycle_rows, steady
from tests.e2e.cluster import Cluster, answers

ROWS = load_iris(return_X_y=True)[0]


def healthy(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Healthy"


def healthy_with_another_than(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: healthy(status) and status["stable"]["id"] != version


def paused_at(weight: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status.get("weight") == weight and status.get("phase") == "Paused"


@asynccontextmanager
async def load_on(cluster: Cluster, name: str) -> AsyncIterator[Load]:
    """Steady load through the ingress; every request that was begun must have been answered 200."""
    payloads = cycle_rows(f"/v2/models/{name}/infer", ROWS)
    async with steady(cluster.ingress_port, payloads, connections=8, pace=0.02) as load:
        yield load
    assert load.tally.sent > 50
    assert load.tally.failed == 0, load.tally.failures


async def aside(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call something that waits, without stopping the load."""
    return await asyncio.to_thread(function, *arguments, **named)


async def first_version(cluster: Cluster, name: str, **spec: object) -> str:
    """Apply version 1 and wait until it answers; its id."""
    cluster.apply(cluster.rollout(name, "iris-1", **spec))
    status = cluster.until(name, healthy)
    await answers(cluster, name, 30)
    return str(status["stable"]["id"])


def kill(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Take a pod away at once, without a word to it."""
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
