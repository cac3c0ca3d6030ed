"""The situations of docs/semantics.md in which the operator acts by itself, on real replicas behind a real router.

Those that another file of this folder shows are not here; the page names the tests of each.
"""

import asyncio
import http.client
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import yaml
from processes import children, replicas_of, title, wait_gone
from stackkit import DEADLINE, ROWS, Stack, answered_only_by, at_weight, canary, healthy, healthy_with, load_on, until

from benchmarks.client import burst, cycle_rows, infer_body, steady
from operators.api import RolloutKey
from operators.local.database import Database, Row

NAME = "semantics"
STEPS = canary({"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}})
LATE, LATE_SECONDS = "semantics-late", 45
"""Ray says after 30 seconds what a replica waits for."""
DASHBOARD = "ray/dashboard/dashboard.py"
"""The process that answers for Ray Serve."""


@pytest.fixture(scope="module")
def shared(stack: Stack) -> Iterator[str]:
    """A rollout for the tests below; the version that is stable between them."""
    stack.apply(NAME, "iris-1")
    yield stack.until(NAME, healthy)["stable"]["id"]
    stack.cli("delete", NAME)


@pytest.fixture
def stable(stack: Stack, shared: str) -> Iterator[str]:
    """The shared rollout's stable version, which serves alone before and after the test."""
    yield shared
    stack.apply(NAME, "iris-1", scaleDownDelaySeconds=1)
    stack.until(NAME, settled(stack, lambda status: healthy_with(shared)(status) and not status.get("candidate")))


@pytest.fixture(scope="module", autouse=True)
def late(stack: Stack) -> Iterator[str]:
    """A candidate that Ray has no room for, begun before every test because it takes its time; the stable version."""
    stack.apply(LATE, "iris-1")
    version = stack.until(LATE, healthy)["stable"]["id"]
    stack.apply(LATE, "iris-2", serving={"resources": {"cpu": 1000}}, progressDeadlineSeconds=LATE_SECONDS)
    yield version
    stack.cli("delete", LATE)


def stored(stack: Stack, key: RolloutKey) -> Row | None:
    """A rollout as it is stored."""
    database = Database(stack.home / "store.db")
    try:
        return database.row(key)
    finally:
        database.close()


def status_of(row: Row | None) -> dict[str, Any]:
    """Its status; empty while it has none."""
    return dict(row.status or {}) if row is not None else {}


def eventually(reached: Callable[[], object]) -> None:
    """Return once `reached` says something true."""
    deadline = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def settled(stack: Stack, reached: Callable[[dict[str, Any]], bool]) -> Callable[[dict[str, Any]], bool]:
    """Whether the shared rollout's status satisfies `reached` for the spec that is stored now."""
    row = stored(stack, RolloutKey("default", NAME))
    assert row is not None
    return lambda status: status.get("observedGeneration") == row.generation and reached(status)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """One of the status's conditions."""
    (found,) = [each for each in status["conditions"] if each["type"] == kind]
    return found


def without_traffic(status: dict[str, Any]) -> bool:
    """Whether nothing rolls out and no request goes anywhere but to stable."""
    return not (status.get("candidate") or status.get("weight") or status.get("shadow"))


def replicas(stack: Stack, name: str = NAME, version: str = "") -> set[psutil.Process]:
    """The processes of a rollout's replicas, or of one version's."""
    assert stack.process is not None
    return {one for one in replicas_of(stack.process.pid, name) if version in title(one)}


async def apply(stack: Stack, model: str = "iris-2", **spec: Any) -> None:
    """Change the shared rollout; versions that were stable in another test take their steps again."""
    await asyncio.to_thread(stack.apply, NAME, model, **{"rollbackWindow": 0} | spec)


async def at_ten(stack: Stack, **spec: Any) -> str:
    """Start a canary that waits at 10 %; the candidate's id."""
    await apply(stack, strategy=STEPS, **spec)
    return (await until(stack, NAME, at_weight(10)))["candidate"]["id"]


async def test_a_first_version_skips_the_steps_and_gets_everything_once_ready(stack: Stack) -> None:
    name = "semantics-first"
    path, body = f"/v2/models/{name}/infer", infer_body([ROWS[0]])

    def ask() -> tuple[int, bool]:
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, "retry-after" in answer.headers
        finally:
            connection.close()

    answers = [await asyncio.to_thread(ask)]
    await asyncio.to_thread(stack.apply, name, "iris-1", strategy=STEPS)
    async with asyncio.timeout(DEADLINE):
        while answers[-1][0] != 200:
            answers.append(await asyncio.to_thread(ask))
            await asyncio.sleep(0.05)
    assert list(dict.fromkeys(answers)) == [(404, False), (503, True), (200, False)]
    status = await until(stack, name, healthy)
    assert not status.get("step")
    requests = cycle_rows(path, ROWS)
    tally, _ = await burst(stack.port, [next(requests) for _ in range(100)])
    assert tally.versions == Counter({status["stable"]["id"]: 100})
    await asyncio.to_thread(stack.cli, "delete", name)


async def test_a_changed_model_starts_a_candidate_beside_stable(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        before = replicas(stack, version=stable)
        await apply(stack, strategy=STEPS, serving={"env": {"ATTEMPT": "changed"}})
        status = await until(stack, NAME, lambda status: bool(status.get("candidate")))
        assert (status["phase"], status["stable"]["id"]) == ("Progressing", stable)
        assert condition(status, "CandidateReady")["status"] == "False"
        candidate = status["candidate"]["id"]
        await until(stack, NAME, at_weight(10))
        await answered_only_by(load, stable, candidate)
        assert replicas(stack, version=stable) == before
        assert replicas(stack, version=candidate)


async def test_a_new_version_in_the_middle_of_a_rollout_starts_at_step_0_beside_the_same_stable(
    stack: Stack, stable: str
) -> None:
    async with load_on(stack, NAME) as load:
        first = await at_ten(stack)
        await asyncio.to_thread(stack.cli, "promote", NAME)
        await until(stack, NAME, at_weight(50))
        await apply(stack, strategy=STEPS, serving={"env": {"ATTEMPT": "second"}})
        starting = await until(stack, NAME, lambda status: status.get("candidate", {}).get("id") not in (None, first))
        assert starting["stable"]["id"] == stable
        assert not starting.get("weight")
        await answered_only_by(load, stable)
        second = (await until(stack, NAME, at_weight(10)))["candidate"]["id"]
        await answered_only_by(load, stable, second)


async def test_going_back_to_stable_drains_the_candidate_without_steps(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        candidate = await at_ten(stack, serving={"env": {"ATTEMPT": "drained"}})
        candidates = replicas(stack, version=candidate)
        assert candidates
        await apply(stack, "iris-1", strategy=STEPS, scaleDownDelaySeconds=1)
        status = await until(stack, NAME, settled(stack, healthy_with(stable)))
        assert without_traffic(status)
        await answered_only_by(load, stable)
        await asyncio.to_thread(wait_gone, *candidates)


async def test_a_recent_stable_version_skips_the_steps_within_the_rollback_window(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        former = replicas(stack, version=stable)
        await apply(stack, scaleDownDelaySeconds=1)
        await until(stack, NAME, lambda status: healthy(status) and status["stable"]["id"] != stable)
        await asyncio.to_thread(wait_gone, *former)
        await apply(stack, "iris-1", strategy=STEPS, rollbackWindow=2)  # the steps would wait for a person
        await until(stack, NAME, healthy_with(stable))
        await answered_only_by(load, stable)


async def test_a_failed_check_aborts_and_says_everything(stack: Stack, stable: str) -> None:
    errors = {"name": "errors", "metric": "error-rate", "max": 0.05}
    # Errors reach users here, as they do: the version raises on some flowers.
    async with steady(stack.port, cycle_rows(f"/v2/models/{NAME}/infer", ROWS), connections=8, pace=0.01) as load:
        await apply(
            stack,
            "iris-3",
            strategy=canary({"setShadow": 50}, {"setWeight": 50}, {"pause": {}}),
            analysis={"interval": "500ms", "checks": [errors]},
        )
        status = await until(stack, NAME, lambda status: status["phase"] == "Degraded")
        assert without_traffic(status)
        await answered_only_by(load, stable)
    assert set(load.tally.statuses) <= {200, 500}
    for part in ("errors", "error-rate is", "5 % allowed", "requests", "95 % interval", f"tidegate retry {NAME}"):
        assert part in status["message"]
    assert condition(status, "Stalled")["status"] == "True"


async def test_an_abort_is_sticky_until_somebody_says_retry(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        candidate = await at_ten(stack)
        await asyncio.to_thread(stack.cli, "abort", NAME)
        await until(stack, NAME, lambda status: status["phase"] == "Degraded")
        await answered_only_by(load, stable)
        await apply(stack, strategy=STEPS, traffic={"timeout": "6s"})
        status = await until(stack, NAME, settled(stack, lambda status: status["phase"] == "Degraded"))
        assert without_traffic(status)
        await answered_only_by(load, stable)
        await asyncio.to_thread(stack.cli, "retry", NAME)
        assert (await until(stack, NAME, at_weight(10)))["candidate"]["id"] == candidate
        await answered_only_by(load, stable, candidate)


async def test_promote_goes_past_the_current_step_only(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        candidate = await at_ten(stack)
        await asyncio.to_thread(stack.cli, "promote", NAME)
        status = await until(stack, NAME, at_weight(50))
        assert (status["stable"]["id"], status["candidate"]["id"]) == (stable, candidate)
        await answered_only_by(load, stable, candidate)


async def test_undo_brings_the_former_version_back_at_once_while_it_still_runs(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        candidate = await at_ten(stack, scaleDownDelaySeconds=600)
        await asyncio.to_thread(stack.cli, "promote", NAME, "--full")
        await until(stack, NAME, healthy_with(candidate))
        await answered_only_by(load, candidate)
        former = replicas(stack, version=stable)
        assert former
        await asyncio.to_thread(stack.cli, "undo", NAME)
        await until(stack, NAME, healthy_with(stable))
        await answered_only_by(load, stable)
        assert replicas(stack, version=stable) == former


async def test_a_deleted_rollout_loses_its_route_first_and_its_replicas_after_the_acknowledgement(
    stack: Stack,
) -> None:
    name = "semantics-deleted"
    await asyncio.to_thread(stack.apply, name, "iris-1")
    await until(stack, name, healthy)
    running = replicas(stack, name)
    assert running
    async with steady(stack.port, cycle_rows(f"/v2/models/{name}/infer", ROWS), connections=8, pace=0.01) as load:
        await asyncio.to_thread(eventually, lambda: load.tally.answered > 50)
        await asyncio.to_thread(stack.cli, "delete", name)
        await asyncio.to_thread(wait_gone, *running)
        await asyncio.to_thread(eventually, lambda: stored(stack, RolloutKey("default", name)) is None)
    # A replica that left before the route did would have cost a 503, or a request without an answer.
    assert set(load.tally.statuses) == {200, 404}


async def test_a_rollout_in_conflict_gets_neither_route_nor_replicas(stack: Stack, stable: str) -> None:
    younger = RolloutKey("younger", NAME)
    path = stack.manifest(NAME, "iris-2")
    document = yaml.safe_load(path.read_text())
    document["metadata"]["namespace"] = younger.namespace
    path.write_text(yaml.safe_dump(document))
    async with load_on(stack, NAME) as load:
        await answered_only_by(load, stable)
        await asyncio.to_thread(stack.cli, "apply", "-f", str(path))
        await asyncio.to_thread(eventually, lambda: status_of(stored(stack, younger)))
        accepted = condition(status_of(stored(stack, younger)), "Accepted")
        assert (accepted["status"], accepted["reason"]) == ("False", "RouteConflict")
        assert f"belongs to default/{NAME}" in accepted["message"]
        assert not replicas(stack, younger.namespace)
        await asyncio.to_thread(stack.cli, "delete", NAME, "-n", younger.namespace)
        await asyncio.to_thread(eventually, lambda: stored(stack, younger) is None)
    assert set(load.tally.versions) == {stable}


async def test_while_ray_is_unreachable_everything_stays_and_says_so(stack: Stack, stable: str) -> None:
    async with load_on(stack, NAME) as load:
        candidate = await at_ten(stack)
        assert stack.process is not None
        (dashboard,) = [one for one in children(stack.process.pid, recursive=True) if DASHBOARD in title(one)]
        os.kill(dashboard.pid, signal.SIGSTOP)  # the replicas go on
        try:
            status = await until(
                stack, NAME, lambda status: condition(status, "CandidateReady")["reason"] == "RayUnreachable"
            )
            assert "Ray Serve cannot be reached" in status["message"]
            assert status["weight"] == 10
            await answered_only_by(load, stable, candidate)
            await asyncio.to_thread(stack.cli, "promote", NAME)
        finally:
            os.kill(dashboard.pid, signal.SIGCONT)
        await until(stack, NAME, at_weight(50))


async def test_a_candidate_that_is_not_ready_in_time_is_aborted_with_rays_message(stack: Stack, late: str) -> None:
    status = await until(stack, LATE, lambda status: status["phase"] == "Degraded")
    assert f"it was not ready within {LATE_SECONDS} s: Ray has no room for another replica" in status["message"]
    assert f"tidegate retry {LATE}" in status["message"]
    assert status["stable"]["id"] == late
    async with load_on(stack, LATE) as load:
        await answered_only_by(load, late)
        await asyncio.to_thread(eventually, lambda: load.tally.answered > 50)
