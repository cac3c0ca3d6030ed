"""SIGKILL for what requests pass and what versions run on: it comes back by itself, the rollout is where it was."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from processes import child_running, wait_gone
from stackkit import ROWS, answered_only_by, first_version, halfway, healthy_with, until

from benchmarks.client import NO_ANSWER, Answer, Load, Tally, cycle_rows, steady

GAP_SECONDS = 30.0
"""How long requests may fail after Envoy was killed. On a machine at rest it is half a second."""
DECIDED = ("phase", "stable", "step", "weight", "revisions", "history")
"""What a rollout's status must still say when the world around it has come back."""


@dataclass
class Failures:
    """When requests failed, in the loop's time, and how."""

    clock: Callable[[], float]
    seen: list[tuple[float, int]] = field(default_factory=list)

    def note(self, answer: Answer) -> None:
        if answer.status != 200:
            self.seen.append((self.clock(), answer.status))

    @property
    def statuses(self) -> set[int]:
        return {status for _, status in self.seen}


@asynccontextmanager
async def lossy_load(stack, name: str, *versions: str) -> AsyncIterator[tuple[Load, Failures]]:
    """Steady load that may lose requests within the block; before it and at its end these versions answer them all."""
    failures = Failures(asyncio.get_running_loop().time)
    async with steady(stack.port, cycle_rows(f"/v2/models/{name}/infer", ROWS), connections=8, pace=0.01) as load:
        load.each = failures.note
        await answered_only_by(load, *versions)
        assert failures.seen == []
        yield load, failures
        await answered_only_by(load, *versions)
        load.tally = Tally()
        await asyncio.sleep(1)
        assert load.tally.answered > 0
        assert load.tally.failed == 0, load.tally.failures


async def test_a_killed_envoy_comes_back_with_the_last_routes_and_loses_only_what_meets_the_gap(stack) -> None:
    name = "no-envoy"
    versions = {await first_version(stack, name), await halfway(stack, name)}
    before = stack.status(name)
    async with lossy_load(stack, name, *versions) as (_, failures):
        envoy = child_running(stack.process.pid, "envoy")
        killed_at = failures.clock()
        os.kill(envoy.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_gone, envoy)
    assert failures.statuses == {NO_ANSWER}
    assert failures.seen[-1][0] - killed_at < GAP_SECONDS
    assert child_running(stack.process.pid, "envoy") != envoy
    after = await until(stack, name, lambda status: condition(status, "RouterSynced")["status"] == "True")
    assert decided(after) == decided(before)


async def test_a_killed_ray_head_is_started_again_and_the_rollout_goes_on_where_it_was(new_stack) -> None:
    stack, name = new_stack(), "iris"
    stack.start(stack.manifest(name, "iris-1"))
    stable = await first_version(stack, name)
    candidate = await halfway(stack, name)
    before = stack.status(name)
    weights = set()

    def lost(status: dict[str, Any]) -> bool:
        weights.add(status.get("weight"))
        return condition(status, "CandidateReady")["status"] != "True"

    def back(status: dict[str, Any]) -> bool:
        weights.add(status.get("weight"))
        return status["stableReady"] == 1 and condition(status, "CandidateReady")["status"] == "True"

    async with lossy_load(stack, name, stable, candidate) as (_, failures):
        os.kill(child_running(stack.process.pid, "--head").pid, signal.SIGKILL)
        await until(stack, name, lost)
        envoy = child_running(stack.process.pid, "envoy")
        os.kill(stack.process.pid, signal.SIGHUP)
        await asyncio.to_thread(wait_gone, envoy)
        after = await until(stack, name, back)
    assert failures.statuses == {503}
    assert weights == {50}
    assert decided(after) == decided(before)
    assert "starting Ray again" in (stack.home / "up.log").read_text()
    stack.cli("promote", name, "--full")
    await until(stack, name, healthy_with(candidate))


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """One of the status's conditions."""
    (found,) = [each for each in status["conditions"] if each["type"] == kind]
    return found


def decided(status: dict[str, Any]) -> dict[str, Any]:
    """What the rollout has decided so far."""
    return {part: status[part] for part in DECIDED} | {"candidate": status["candidate"]["id"]}
