"""Every transition of a rollout on the real stack under steady load: nobody loses a request."""

import asyncio
import os
import signal

from processes import child_running, replicas_of, wait_gone
from stackkit import answered_only_by, canary, first_version, halfway, healthy_with, load_on, until


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
        await answered_only_by(load, stable)
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
        control = child_running(stack.process.pid, "operators.local.control")
        os.kill(control.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_gone, control)
        stack.cli("promote", "forgets", "--full")
        await until(stack, "forgets", healthy_with(candidate))


async def test_a_restarted_envoy_serves_the_last_routes_without_a_lost_request(stack) -> None:
    version = await first_version(stack, "restarts")
    async with load_on(stack, "restarts") as load:
        before = child_running(stack.process.pid, "envoy")
        os.kill(stack.process.pid, signal.SIGHUP)
        await asyncio.to_thread(wait_gone, before)
        await answered_only_by(load, version)


async def test_a_killed_replica_costs_no_request_while_another_one_serves(stack) -> None:
    await first_version(stack, "crashes", serving={"replicas": 2})
    await until(stack, "crashes", lambda status: status.get("stableReady") == 2)
    async with load_on(stack, "crashes"):
        await asyncio.sleep(0.5)
        replica, _ = replicas_of(stack.process.pid, "crashes")
        os.kill(replica.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_gone, replica)
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
