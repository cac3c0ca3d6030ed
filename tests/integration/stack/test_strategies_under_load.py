"""Each strategy's whole life on the real stack under steady load: nobody loses a request, shares are what they say."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from processes import replicas_of, wait_gone
from scipy import stats
from stackkit import (
    DEADLINE,
    MODELS,
    ROWS,
    Stack,
    answered_only_by,
    at_weight,
    canary,
    first_version,
    healthy_with,
    load_on,
    until,
)

from benchmarks.client import Answer, Load, cycle_rows, steady
from operators.api.fields import parse_time

PREVIEW = {"x-preview": "yes"}
ERRORS = {"name": "errors", "metric": "error-rate", "max": 0.05}
CHECKED = {"interval": "500ms", "checks": [ERRORS]}
SHARES = (1, 5, 10, 25, 50, 90)
ENOUGH = 2000
"""Answers for one share: at 1 % about twenty of them are the candidate's."""
CONFIDENCE = 0.999


@dataclass
class Times:
    """When the requests were sent that a version answered, in seconds since the epoch."""

    sent: dict[str, list[float]] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        self.sent.setdefault(answer.version, []).append(time.time() - answer.seconds)


def variant(name: str, model: str) -> dict[str, Any]:
    return {"name": name, "model": {"uri": f"file://{MODELS / model}.joblib", "runtime": "sklearn"}}


def rests(phase: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a rollout has come to an end in this phase."""
    return lambda status: status["phase"] == phase and not status.get("candidate") and not status.get("variants")


def waits(status: dict[str, Any]) -> bool:
    return bool(status.get("awaitsPromotion"))


@asynccontextmanager
async def under_load(stack: Stack, name: str, model: str = "iris-1", **spec: Any) -> AsyncIterator[tuple[str, Load]]:
    """A rollout whose first version is stable, and its load, none of which may be lost; it is deleted at the end."""
    await asyncio.to_thread(stack.apply, name, model, **spec)
    version = (await until(stack, name, lambda status: status["phase"] == "Healthy"))["stable"]["id"]
    async with load_on(stack, name) as load:
        yield version, load
    await asyncio.to_thread(stack.cli, "delete", name)


async def compared(stack: Stack, name: str) -> dict[str, str]:
    """Wait until an experiment compares; its versions by name."""
    status = await until(stack, name, lambda status: bool(status.get("experiment", {}).get("arms")))
    return {arm["name"]: arm["version"] for arm in status["experiment"]["arms"]}


async def shares(load: Load, number: int) -> Counter[str]:
    """Who answers so many requests that are sent from now on."""
    begun, seen, enough = time.perf_counter(), Counter[str](), asyncio.Event()

    def add(answer: Answer) -> None:
        if time.perf_counter() - answer.seconds > begun:
            seen[answer.version] += 1
        if seen.total() >= number:
            enough.set()

    load.each = add
    async with asyncio.timeout(DEADLINE):
        await enough.wait()
    load.each = None
    return seen


def assert_share(seen: Counter[str], version: str, percent: float) -> None:
    low, high = stats.binom.interval(CONFIDENCE, seen.total(), percent / 100)
    assert low <= seen[version] <= high, f"{version} got {seen[version]} of {seen.total()} at {percent} %"


def replicas(stack: Stack, name: str) -> list[psutil.Process]:
    """The processes of a rollout's replicas; equal when they have the same pid and began at the same time."""
    assert stack.process is not None
    return replicas_of(stack.process.pid, name)


async def test_observed_shares_are_what_the_weights_say(stack: Stack) -> None:
    steps = [step for percent in SHARES for step in ({"setWeight": percent}, {"pause": {}})]
    async with under_load(stack, "shares") as (stable, load):
        await asyncio.to_thread(stack.apply, "shares", "iris-2", strategy=canary(*steps))
        for percent in SHARES:
            candidate = (await until(stack, "shares", at_weight(percent)))["candidate"]["id"]
            seen = await shares(load, ENOUGH)
            assert set(seen) <= {stable, candidate}
            assert_share(seen, candidate, percent)
            await asyncio.to_thread(stack.cli, "promote", "shares")
        await until(stack, "shares", healthy_with(candidate))
        await answered_only_by(load, candidate)


async def test_a_failing_verdict_takes_all_requests_away_within_two_seconds(stack: Stack) -> None:
    stable = await first_version(stack, "fails")
    times = Times()
    # Errors reach users here, as they do: the version raises on some flowers.
    async with steady(stack.port, cycle_rows("/v2/models/fails/infer", ROWS), connections=8, pace=0.01) as load:
        load.each = times.add
        strategy = canary({"setWeight": 50}, {"pause": {}})
        await asyncio.to_thread(stack.apply, "fails", "iris-3", strategy=strategy, analysis=CHECKED)
        status = await until(stack, "fails", rests("Degraded"))
        await answered_only_by(load, stable)
    assert set(load.tally.statuses) == {200, 500}
    aborted = status["history"][-1]
    assert "check errors failed" in aborted["message"]
    assert max(times.sent[aborted["version"]]) - parse_time(aborted["at"]) < 2.0
    await asyncio.to_thread(stack.cli, "delete", "fails")


async def test_promotion_restarts_no_replica_of_the_version_that_is_promoted(stack: Stack) -> None:
    two = {"serving": {"replicas": 2}, "scaleDownDelaySeconds": 1}
    async with under_load(stack, "stays", **two) as (_, load):
        await until(stack, "stays", lambda status: status["stableReady"] == 2)
        former = replicas(stack, "stays")
        await asyncio.to_thread(
            stack.apply, "stays", "iris-2", strategy=canary({"setWeight": 50}, {"pause": {}}), **two
        )
        candidate = (await until(stack, "stays", waits))["candidate"]["id"]
        promoted = set(replicas(stack, "stays")) - set(former)
        assert len(promoted) == 2
        await asyncio.to_thread(stack.cli, "promote", "stays")
        await until(stack, "stays", healthy_with(candidate))
        await answered_only_by(load, candidate)
        await asyncio.to_thread(wait_gone, *former)
        assert set(replicas(stack, "stays")) == promoted


async def test_a_canary_grows_before_it_gets_everything(stack: Stack) -> None:
    async with under_load(stack, "grows", serving={"replicas": 2}) as (_, load):
        steps = canary({"setReplicas": 1}, {"setWeight": 10}, {"pause": {}})
        await asyncio.to_thread(
            stack.apply, "grows", "iris-2", strategy=steps, serving={"replicas": 2}, scaleDownDelaySeconds=1
        )
        status = await until(stack, "grows", waits)
        assert status["candidate"]["ready"] == 1
        await asyncio.to_thread(stack.cli, "promote", "grows")
        await until(stack, "grows", healthy_with(status["candidate"]["id"]))
        await answered_only_by(load, status["candidate"]["id"])
        await until(stack, "grows", lambda status: status["stableReady"] == 2 and not status.get("retiring"))


async def test_blue_green_is_previewed_switched_and_taken_back(stack: Stack) -> None:
    strategy = {"blueGreen": {"previewMatch": [{"header": "x-preview", "exact": "yes"}], "autoPromote": False}}
    async with under_load(stack, "switches") as (stable, load):
        await asyncio.to_thread(stack.apply, "switches", "iris-2", strategy=strategy)
        candidate = (await until(stack, "switches", waits))["candidate"]["id"]
        requests = cycle_rows("/v2/models/switches/infer", ROWS, PREVIEW)
        async with steady(stack.port, requests, connections=2, pace=0.01) as previews:
            await answered_only_by(previews, candidate)
            await answered_only_by(load, stable)
            await asyncio.to_thread(stack.cli, "promote", "switches")
            await until(stack, "switches", healthy_with(candidate))
            await answered_only_by(load, candidate)
        assert previews.tally.failed == 0
        await asyncio.to_thread(stack.cli, "undo", "switches")
        await until(stack, "switches", healthy_with(stable))
        await answered_only_by(load, stable)


async def test_a_blue_green_that_fails_after_the_switch_is_switched_back(stack: Stack) -> None:
    slow = {"name": "slow", "metric": "latency-p50", "max": "20ms"}
    async with under_load(stack, "regrets") as (stable, load):
        await asyncio.to_thread(
            stack.apply,
            "regrets",
            "iris-4",
            strategy={"blueGreen": {"postPromotionAnalysis": {"minSamples": 100_000}}},
            analysis={"interval": "500ms", "checks": [slow]},
        )
        status = await until(stack, "regrets", rests("Degraded"))
        await answered_only_by(load, stable)
    assert "check slow failed" in status["message"]
    assert status["history"][-1]["version"] != stable


async def test_a_shadow_answers_copies_only_and_is_promoted_by_hand(stack: Stack) -> None:
    async with under_load(stack, "shadows") as (stable, load):
        strategy = {"shadow": {"percent": 50, "minSamples": 100}}
        await asyncio.to_thread(stack.apply, "shadows", "iris-2", strategy=strategy, analysis=CHECKED)
        status = await until(stack, "shadows", waits)
        assert set(load.tally.versions) == {stable}
        assert [check["verdict"] for check in status["checks"]] == ["Pass"]
        await asyncio.to_thread(stack.cli, "promote", "shadows")
        await until(stack, "shadows", healthy_with(status["candidate"]["id"]))
        await answered_only_by(load, status["candidate"]["id"])


async def test_an_ab_test_keeps_its_shares_and_its_winner_is_promoted_by_name(stack: Stack) -> None:
    percent = {"control": 50, "linear": 30, "forest": 20}
    async with under_load(stack, "compares") as (_, load):
        await asyncio.to_thread(
            stack.apply,
            "compares",
            "iris-1",
            strategy={"abTest": {"shares": percent, "goal": {"metric": "success-rate"}}},
            variants=[variant("linear", "iris-2"), variant("forest", "iris-5")],
            analysis={"interval": "500ms"},
        )
        versions = await compared(stack, "compares")
        seen = await shares(load, ENOUGH)
        for name, version in versions.items():
            assert_share(seen, version, percent[name])
        await asyncio.to_thread(stack.cli, "promote", "compares", "--variant", "linear")
        await until(stack, "compares", healthy_with(versions["linear"]))
        await answered_only_by(load, versions["linear"])


@pytest.mark.parametrize(("control", "other", "best"), [("iris-1", "iris-4", "control"), ("iris-4", "iris-1", "other")])
async def test_a_bandit_gives_the_better_version_the_requests_and_ends_with_it(
    stack: Stack, control: str, other: str, best: str
) -> None:
    name = f"bandit-{best}"
    strategy = {
        "bandit": {
            "reward": "latency-within",
            "within": "50ms",  # the forest, iris-4, takes longer
            "interval": "1s",
            "explorationFloor": 10,
            "promoteAt": 0.99,
            "minSamples": 100,
        }
    }
    async with under_load(stack, name, control) as (stable, load):
        await asyncio.to_thread(
            stack.apply,
            name,
            control,
            strategy=strategy,
            variants=[variant("other", other)],
            analysis={"interval": "500ms"},
        )
        versions = await compared(stack, name)
        status = await until(stack, name, rests("Healthy"))
        assert status["stable"]["id"] == versions[best]
        await answered_only_by(load, versions[best])
    assert versions["control"] == stable
