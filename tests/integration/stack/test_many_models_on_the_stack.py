"""Many models in two replicas under `tidegate up`: each in one of them, none lost with its replica, all replaced."""

import asyncio
import json
import os
import signal
from collections import Counter
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import joblib
import psutil
import pytest
from sklearn.dummy import DummyClassifier
from stackkit import DEADLINE, Stack, at_weight, canary, healthy, until

from benchmarks.client import Load, infer_body, post, steady
from router import lastgood
from router.ir import Endpoint

COUNT = 60
NAMES = [f"m{number:02}" for number in range(COUNT)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two versions of all models: the first answers a model's number, the second 100 more. One file is no model."""
    found = tmp_path / "first", tmp_path / "second"
    for version, folder in enumerate(found):
        folder.mkdir()
        for number, name in enumerate(NAMES):
            answer = 100 * version + number
            model = DummyClassifier(strategy="constant", constant=answer).fit([[0.0] * 4], [answer])
            joblib.dump(model, folder / f"{name}.joblib")
        (folder / "broken.joblib").write_bytes(b"no model")
    return found


def replicas(stack: Stack) -> list[Endpoint]:
    """Where the replicas that get requests listen, as the router knows it."""
    (path,) = stack.home.glob("**/last-good.json")
    routes = lastgood.load(path)
    assert routes is not None
    return [
        endpoint
        for route in routes[0]
        if route.key.name == "fleet"
        for backend in route.backends
        for endpoint in backend.endpoints
    ]


def members(replica: Endpoint) -> list[dict[str, Any]]:
    """What a replica says of its members."""
    with closing(urlopen(f"http://{replica.host}:{replica.port}/v2/models/fleet/members", timeout=30)) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["members"]
    return found


def loaded(replica: Endpoint) -> set[str]:
    return {each["name"] for each in members(replica) if each["state"] == "loaded"}


def requests(replica: Endpoint) -> Counter[str]:
    return Counter({each["name"]: each["requests"] for each in members(replica) if "requests" in each})


def ask(stack: Stack, name: str) -> httpx.Response:
    url = f"http://127.0.0.1:{stack.port}/v2/models/fleet.{name}/infer"
    return httpx.post(url, content=infer_body([[0, 0, 0, 0]]), trust_env=False, timeout=60)


def answers(stack: Stack) -> list[int]:
    return [ask(stack, name).json()["outputs"][0]["data"][0] for name in NAMES]


def kill(replica: Endpoint) -> None:
    """SIGKILL the process that listens there."""
    (pid,) = {
        found.pid
        for found in psutil.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == replica.port and found.pid
    }
    os.kill(pid, signal.SIGKILL)


async def settled(stack: Stack, count: int, without: Endpoint | None = None) -> list[Endpoint]:
    """So many replicas, none of which is `without`."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await asyncio.to_thread(replicas, stack)
            if len(found) == count and without not in found:
                return found
            await asyncio.sleep(0.1)


async def all_loaded(stack: Stack, without: Endpoint) -> None:
    """Wait until every model is in one of two replicas, none of which is `without`."""
    async with asyncio.timeout(DEADLINE):
        while True:
            two = await settled(stack, 2, without)
            if set().union(*[await asyncio.to_thread(loaded, replica) for replica in two]) >= set(NAMES):
                return
            await asyncio.sleep(0.1)


async def test_sixty_models_live_in_two_replicas_through_a_death_and_a_rollout(
    stack: Stack, folders: tuple[Path, Path]
) -> None:
    first, second = ({"uri": f"file://{folder}", "runtime": "sklearn"} for folder in folders)
    serving = {"replicas": 2, "resources": {"cpu": "50m"}, "multiModel": {"memory": "64Mi"}}
    await asyncio.to_thread(stack.apply, "fleet", "first", model=first, serving=serving)
    await until(stack, "fleet", healthy)
    both = await settled(stack, 2)

    for _ in range(2):
        assert await asyncio.to_thread(answers, stack) == list(range(COUNT))
    where = Counter(name for replica in both for name in loaded(replica))
    assert where == dict.fromkeys(NAMES, 1), "at light load every model is in one replica"
    assert min(len(loaded(replica)) for replica in both) >= COUNT // 5
    refused = await asyncio.to_thread(ask, stack, "broken")
    assert (refused.status_code, refused.json()["code"]) == (500, "model_not_loadable")
    unknown = await asyncio.to_thread(ask, stack, "m500")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")
    assert "; the nearest name is fleet.m" in unknown.json()["error"]
    counted = sum((requests(replica) for replica in both), Counter[str]())
    assert counted == dict.fromkeys(NAMES, 2) | {"broken": 1}, "members that were asked are counted, and no others"

    payloads = cycle([post(f"/v2/models/fleet.{name}/infer", infer_body([[0, 0, 0, 0]])) for name in NAMES])
    async with steady(stack.port, payloads, connections=4, pace=0.01) as load:
        await asyncio.to_thread(kill, both[0])
        await all_loaded(stack, without=both[0])
        await asyncio.to_thread(
            stack.apply,
            "fleet",
            "second",
            model=second,
            serving=serving,
            strategy=canary({"setWeight": 50}, {"pause": {}}),
        )
        await until(stack, "fleet", at_weight(50))
        await asyncio.to_thread(stack.cli, "promote", "fleet")
        await until(stack, "fleet", healthy)
    assert_good(load)
    assert await asyncio.to_thread(answers, stack) == list(range(100, 100 + COUNT))


def assert_good(load: Load) -> None:
    assert load.tally.sent > 50
    assert load.tally.failed == 0, load.tally.failures
