"""What people say about answers decides, on the real stack: replicas record, users give feedback, the operator asks."""

import asyncio
import http.client
import json
import sqlite3
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from stackkit import DEADLINE, MODELS, Stack, first_version, healthy_with, until

from router.ir import Backend, Route, RouteKey
from router.split import choose

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
INPUTS = [{"name": name, "datatype": "FP64"} for name in COLUMNS]
FLOWER = dict(zip(COLUMNS, (5.1, 3.5, 1.4, 0.2), strict=True))
FIRST = {"model": {"uri": f"file://{MODELS / 'iris-1'}.joblib", "runtime": "sklearn", "inputs": INPUTS}}
SECOND = {"name": "b", "model": {"uri": f"file://{MODELS / 'iris-2'}.joblib", "runtime": "sklearn"}}


class Client:
    """Asks one model, one request after the other."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
        self._base = f"/api/v1/models/{name}"

    def predict(self, row: Mapping[str, float], **headers: str) -> tuple[str, str]:
        """The request's id, and the version that answered."""
        answer = self._post("predict", row, headers)
        return answer.headers["x-request-id"], answer.headers["tidegate-version"]

    def reward(self, request_id: str, reward: float) -> None:
        self._post("feedback", {"request_id": request_id, "reward": reward}, {})

    def _post(self, path: str, body: object, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request("POST", f"{self._base}/{path}", json.dumps(body), headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status in (200, 202), said
        return answer


async def comparing(stack: Stack, name: str) -> dict[str, str]:
    """Wait until an experiment has begun; its versions by name."""
    status = await until(stack, name, lambda status: bool(status.get("experiment", {}).get("arms")))
    return {arm["name"]: arm["version"] for arm in status["experiment"]["arms"]}


async def test_a_bandit_promotes_the_variant_that_users_reward(stack: Stack) -> None:
    await first_version(stack, "pleases", **FIRST)
    strategy = {"bandit": {"reward": "feedback-reward", "interval": "1s", "promoteAt": 0.99, "explorationFloor": 20}}
    spec: dict[str, Any] = {**FIRST, "variants": [SECOND], "analysis": {"interval": "1s"}}
    await asyncio.to_thread(stack.apply, "pleases", "iris-1", strategy=strategy, **spec)
    versions = await comparing(stack, "pleases")
    client, dice = Client(stack, "pleases"), Random(3)

    def please(requests: int) -> None:
        for _ in range(requests):
            request_id, version = client.predict(FLOWER)
            client.reward(request_id, float(dice.random() < (0.9 if version == versions["b"] else 0.4)))

    won = healthy_with(versions["b"])
    async with asyncio.timeout(DEADLINE):
        while not won(status := await asyncio.to_thread(stack.status, "pleases")):
            await asyncio.to_thread(please, 50)
    arms = {arm["name"]: arm for arm in status["experiment"]["arms"]}
    assert status["experiment"]["winner"] == "b"
    assert min(arm["counted"]["count"] for arm in arms.values()) >= 100
    assert abs(arms["b"]["worth"] - 0.9) < 0.15
    assert abs(arms["control"]["worth"] - 0.4) < 0.25
    await asyncio.to_thread(stack.cli, "delete", "pleases")


async def test_every_key_of_an_ab_test_is_recorded_with_the_version_and_share_that_it_was_exposed_to(
    stack: Stack,
) -> None:
    await first_version(stack, "exposes", **FIRST)
    strategy = {"abTest": {"shares": {"control": 70, "b": 30}, "goal": {"metric": "success-rate"}}}
    spec: dict[str, Any] = {**FIRST, "variants": [SECOND], "traffic": {"sticky": {"header": "x-user-id"}}}
    await asyncio.to_thread(stack.apply, "exposes", "iris-1", strategy=strategy, **spec)
    versions = await comparing(stack, "exposes")
    client = Client(stack, "exposes")
    keys = [f"user-{number}" for number in range(60)]

    def ask() -> dict[str, set[str]]:
        return {key: {client.predict(FLOWER, **{"x-user-id": key})[1] for _ in range(3)} for key in keys}

    backends = (Backend(versions["b"], 3_000), Backend(versions["control"], 7_000))
    route = Route(RouteKey("default", "exposes"), "exposes", backends=backends, sticky_header="x-user-id")
    foretold = {key: {choose(route, key)} for key in keys}
    assert await asyncio.to_thread(ask) == foretold
    shares = {versions["b"]: 3_000, versions["control"]: 7_000}
    expected = {(key, version, shares[version]) for key, (version,) in foretold.items() if version is not None}
    async with asyncio.timeout(DEADLINE):
        while (seen := exposures(stack, "exposes")) != expected:
            assert seen <= expected
            await asyncio.sleep(0.1)
    await asyncio.to_thread(stack.cli, "delete", "exposes")


def exposures(stack: Stack, name: str) -> set[tuple[str, str, int]]:
    """Key, version and share of everybody whom the monitor knows to have been exposed."""
    database = sqlite3.connect(f"file:{stack.home}/records.db?mode=ro", uri=True, timeout=30)
    try:
        rows: Iterable[tuple[str, str, int]] = database.execute(
            "SELECT key, version, share FROM exposures WHERE namespace = 'default' AND model = ?", [name]
        )
        return set(rows)
    finally:
        database.close()


async def test_requests_with_a_feature_in_range_reach_the_candidate_whatever_its_weight(stack: Stack) -> None:
    stable = await first_version(stack, "matches", **FIRST)
    spec: dict[str, Any] = {
        "model": FIRST["model"] | {"uri": f"file://{MODELS / 'iris-2'}.joblib"},
        "traffic": {"match": [{"allOf": [{"feature": "sepal_length", "min": 7}, {"header": "x-beta"}]}]},
    }
    strategy = {"canary": {"steps": [{"setWeight": 0}, {"pause": {}}]}}
    await asyncio.to_thread(stack.apply, "matches", "iris-2", strategy=strategy, **spec)
    status = await until(stack, "matches", lambda status: status["phase"] == "Paused")
    candidate = status["candidate"]["id"]
    client = Client(stack, "matches")

    def ask(length: float, **headers: str) -> str:
        return client.predict(FLOWER | {"sepal_length": length}, **headers)[1]

    assert await asyncio.to_thread(ask, 7.0, **{"x-beta": "1"}) == candidate
    assert await asyncio.to_thread(ask, 7.0) == stable
    assert await asyncio.to_thread(ask, 6.9, **{"x-beta": "1"}) == stable
    await asyncio.to_thread(stack.cli, "promote", "matches", "--full")
    await until(stack, "matches", healthy_with(candidate))
    await asyncio.to_thread(stack.cli, "delete", "matches")
