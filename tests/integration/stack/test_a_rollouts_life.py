"""Every transition of a rollout on the real stack under steady load: nobody loses a request."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
from sklearn.datasets import load_iris

from benchmarks.client import Load, cycle_rows, steady

ROWS = load_iris(return_X_y=True)[0]


def canary(*steps: dict[str, object]) -> dict[str, object]:
    return {"canary": {"steps": list(steps)}}


def healthy_with(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["phase"] == "Healthy" and status["stable"]["id"] == version


def at_weight(weight: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status.get("weight") == weight and "evidenceSince" in status and status["phase"] == "Paused"


@asynccontextmanager
async def load_on(stack, name: str) -> AsyncIterator[Load]:
    """Steady load in the background; every request that was begun must have been answered 200."""
    payloads: Iterator[bytes] = cycle_rows(f"/v2/models/{name}/infer", ROWS)
    async with steady(stack.port, payloads, connections=8, pace=0.01) as load:
        yield load
    assert load.tally.sent > 50
    assert load.tally.failed == 0, load.tally.failures


async def until(stack, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
    return await asyncio.to_thread(stack.until, name, reached, seconds)


async def first_version(stack, name: str, **spec: object) -> str:
    """Apply version 1 and wait for it; its id."""
    await asyncio.to_thread(stack.apply, name, "iris-1", **spec)
    return (await until(stack, name, lambda status: status.get("phase") == "Healthy"))["stable"]["id"]


async def halfway(stack, name: str, **spec: object) -> str:
    """Apply version 2 with a canary that waits at one half, and wait until it does; the candidate's id."""
    strategy = canary({"setWeight": 50}, {"pause": {}})
    await asyncio.to_thread(stack.apply, name, "iris-2", strategy=strategy, **spec)
    return (await until(stack, name, at_weight(50)))["candidate"]["revision"]["id"]


async def answered_only_by(load: Load, version: str, seconds: float = 5.0) -> None:
    """Wait until a fresh window of answers holds this version only."""
    async with asyncio.timeout(seconds):
        while True:
            load.tally.versions.clear()
            await asyncio.sleep(0.25)
            if set(load.tally.versions) == {version}:
                return


async def test_a_canary_walks_its_steps_and_becomes_stable_without_a_lost_request(stack) -> None:
    stable = await first_version(stack, "walks")
    async with load_on(stack, "walks") as load:
        steps = canary(
            {"setWeight": 5}, {"pause": {"duration": "1s"}}, {"setWeight": 50}, {"pause": {"duration": "1s"}}
        )
        await asyncio.to_thread(stack.apply, "walks", "iris-2", strategy=steps, scaleDownDelaySeconds=1)
        await until(stack, "walks", lambda status: status["phase"] == "Healthy" and status["stable"]["id"] != stable)
        candidate = (await until(stack, "walks", lambda status: not status.get("retiring")))["stable"]["id"]
        await answered_only_by(load, candidate)


async def test_promote_full_and_then_undo_lose_no_request(stack) -> None:
    stable = await first_version(stack, "returns")
    async with load_on(stack, "returns") as load:
        candidate = await halfway(stack, "returns")
        assert {stable, candidate} <= set(load.tally.versions)
        stack.cli("promote", "returns", "--full")
        await until(stack, "returns", healthy_with(candidate))
        await answered_only_by(load, candidate)
        stack.cli("undo", "returns")
        await until(stack, "returns", healthy_with(stable))
        await answered_only_by(load, stable)


async def test_abort_takes_all_traffic_from_the_candidate_at_once(stack) -> None:
    stable = await first_version(stack, "aborts")
    async with load_on(stack, "aborts") as load:
        await halfway(stack, "aborts", scaleDownDelaySeconds=1)
        stack.cli("abort", "aborts")
        await answered_only_by(load, stable, seconds=2)
        status = await until(stack, "aborts", lambda status: status["phase"] == "Degraded" and "retiring" not in status)
    assert "tidegate retry aborts" in status["message"]


async def test_another_version_in_the_middle_of_a_rollout_replaces_the_candidate(stack) -> None:
    await first_version(stack, "changes")
    async with load_on(stack, "changes"):
        first = await halfway(stack, "changes")
        second = await halfway(stack, "changes", serving={"env": {"ATTEMPT": "2"}}, scaleDownDelaySeconds=1)
        assert second != first
        stack.cli("promote", "changes", "--full")
        await until(stack, "changes", healthy_with(second))


async def test_a_killed_control_process_neither_stops_traffic_nor_forgets_the_rollout(stack) -> None:
    await first_version(stack, "forgets")
    async with load_on(stack, "forgets"):
        candidate = await halfway(stack, "forgets")
        control = child_running(stack, "operators.local.control")
        os.kill(control.pid, signal.SIGKILL)
        await asyncio.to_thread(control.wait)
        stack.cli("promote", "forgets", "--full")
        await until(stack, "forgets", healthy_with(candidate))


async def test_a_restarted_envoy_serves_the_last_routes_without_a_lost_request(stack) -> None:
    version = await first_version(stack, "restarts")
    async with load_on(stack, "restarts") as load:
        before = child_running(stack, "envoy")
        os.kill(stack.process.pid, signal.SIGHUP)
        await asyncio.to_thread(before.wait, 30)
        await answered_only_by(load, version)


async def test_a_killed_replica_costs_no_request_while_another_one_serves(stack) -> None:
    await first_version(stack, "crashes", serving={"replicas": 2})
    await until(stack, "crashes", lambda status: status.get("stableReady") == 2)
    async with load_on(stack, "crashes"):
        await asyncio.sleep(0.5)
        replica = next(process for process in everything_of(stack) if replica_of(process, "crashes"))
        os.kill(replica.pid, signal.SIGKILL)
        await asyncio.to_thread(replica.wait)
        await until(stack, "crashes", lambda status: status.get("stableReady") == 1)
        await until(stack, "crashes", lambda status: status.get("stableReady") == 2)


async def test_a_version_that_raises_is_stopped_in_shadow_before_a_user_sees_it(stack) -> None:
    stable = await first_version(stack, "raises")
    checks = [{"name": "errors", "metric": "error-rate", "versus": "stable", "margin": 0.05}]
    async with load_on(stack, "raises") as load:
        await asyncio.to_thread(
            stack.apply,
            "raises",
            "iris-3",
            strategy=canary({"setShadow": 100}, {"pause": {}}, {"setWeight": 50}),
            analysis={"interval": "500ms", "checks": checks},
        )
        status = await until(stack, "raises", lambda status: status["phase"] == "Degraded")
    assert set(load.tally.versions) == {stable}
    assert "errors" in status["message"]
    assert "tidegate retry raises" in status["message"]


def everything_of(stack) -> list[psutil.Process]:
    """All processes that were started, however indirectly, by this stack."""
    return psutil.Process(stack.process.pid).children(recursive=True)


def child_running(stack, word: str) -> psutil.Process:
    """The stack's own child whose command line says `word`."""
    children = psutil.Process(stack.process.pid).children()
    return next(child for child in children if any(word in part for part in child.cmdline()))


def replica_of(process: psutil.Process, name: str) -> bool:
    """Whether the process is a Serve replica of this rollout."""
    title = " ".join(process.cmdline())
    return "ServeReplica" in title and name in title
