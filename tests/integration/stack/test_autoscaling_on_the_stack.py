"""A rollout whose size follows its requests, on the real Ray Serve behind the real Envoy: nobody loses a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stackkit import Stack, healthy, until

from benchmarks.client import Load, cycle_rows, steady

CALL_SECONDS = 0.02
TARGET = 4
AUTOSCALING = {
    "minReplicas": 1,
    "maxReplicas": 4,
    "targetOngoingRequests": TARGET,
    "upscaleDelay": "2s",
    "downscaleDelay": "6s",
}
SOURCE = f'''
import time

class Model:
    """Answers one row at a time, each after the same time."""

    inputs = [{{"name": "number"}}]

    def __init__(self, path):
        pass

    def predict(self, rows):
        time.sleep({CALL_SECONDS})
        return rows[:, 0]
'''


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    """A rollout of a model whose cost is known."""
    (tmp_path / "waiting.py").write_text(SOURCE)
    return {
        "model": {"uri": f"file://{tmp_path}", "runtime": "python", "class": "waiting:Model"},
        "serving": {"autoscaling": AUTOSCALING, "batching": {"maxSize": 1}},
    }


@asynccontextmanager
async def load(stack: Stack, name: str, connections: int) -> AsyncIterator[Load]:
    """So many requests under way at any time, none of which may be lost."""
    async with steady(stack.port, cycle_rows(f"/v2/models/{name}/infer", [[1.0]]), connections) as running:
        yield running
    assert running.tally.failed == 0, running.tally.failures


def has(ready: int) -> Any:
    return lambda status: status.get("stableReady") == ready


async def test_a_version_grows_with_its_requests_and_shrinks_without_them(stack: Stack, spec: dict[str, Any]) -> None:
    await asyncio.to_thread(stack.apply, "follows", "1", **spec)
    await until(stack, "follows", healthy)
    async with load(stack, "follows", connections=1) as light:
        await until(stack, "follows", has(1))
        async with load(stack, "follows", connections=4 * TARGET) as heavy:
            await until(stack, "follows", has(4))
            heavy.tally.seconds.clear()
            await asyncio.sleep(0.5)
            busy = heavy.tally.percentile(0.5)
        await until(stack, "follows", has(1))
    # One replica alone would need a call for each request that waits.
    assert busy < 4 * TARGET * CALL_SECONDS / 2
    assert light.tally.sent > 50
    status = await asyncio.to_thread(stack.status, "follows")
    assert status["phase"] == "Healthy"
    assert [one["reason"] for one in status["history"]] == ["Started", "Promoted"], "a size is no version"
    await asyncio.to_thread(stack.cli, "delete", "follows")


async def test_a_new_version_takes_over_in_the_size_that_the_old_one_has_grown_to(
    stack: Stack, spec: dict[str, Any]
) -> None:
    spec["serving"]["autoscaling"] = AUTOSCALING | {"maxReplicas": 2}
    await asyncio.to_thread(stack.apply, "grown", "1", **spec)
    first = (await until(stack, "grown", healthy))["stable"]["id"]
    async with load(stack, "grown", connections=2 * TARGET):
        await until(stack, "grown", has(2))
        spec["serving"]["env"] = {"OF": "the second version"}
        await asyncio.to_thread(stack.apply, "grown", "2", **spec)
        status = await until(stack, "grown", lambda status: status["stable"]["id"] != first)
        assert status["stableReady"] == 2
    await asyncio.to_thread(stack.cli, "delete", "grown")
