"""Rollouts decide on what versions predict, on the real stack with real traffic: copies, labels, distributions."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from stackkit import DEADLINE, MODELS, Stack, canary, first_version, healthy, healthy_with, load_on, until

from benchmarks.client import LOOPBACK, Answer, Load, infer_body, post

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
COINS = 2_000
"""Requests between two pieces of feedback."""


def model_at(path: Path) -> dict[str, str]:
    return {"uri": f"file://{path}", "runtime": "sklearn"}


def blind_to_virginica(path: Path) -> Path:
    """A model that answers every request well-formed and in time, trained with one class's labels exchanged."""
    rows, species = load_iris(return_X_y=True)
    joblib.dump(LogisticRegression(max_iter=1000).fit(rows, np.where(species == 2, 1, species)), path)
    return path


def right_in(share: float, path: Path) -> Path:
    """A model of two columns, luck and truth, that says the truth when luck is below `share` and lies above it."""
    luck = (np.arange(1000) + 0.5) / 1000
    rows = np.array([(one, truth) for one in luck for truth in (0.0, 1.0)])
    says = np.where(rows[:, 0] < share, rows[:, 1], 1 - rows[:, 1]).astype(int)
    joblib.dump(DecisionTreeClassifier(random_state=0).fit(rows, says), path)
    return path


async def test_a_candidate_that_is_right_on_http_and_wrong_on_predictions_is_stopped_before_a_user_sees_it(
    stack: Stack, tmp_path: Path
) -> None:
    stable = await first_version(stack, "sound")
    spec: dict[str, Any] = {
        "model": model_at(blind_to_virginica(tmp_path / "blind.joblib")),
        "analysis": {
            "interval": "1s",
            "checks": [
                {"name": "errors", "metric": "error-rate", "max": 0.05},
                {"name": "agreement", "metric": "shadow-agreement", "min": 0.95, "minSamples": 200},
            ],
        },
    }
    steps = canary({"setShadow": 100}, {"analysis": {"minSamples": 200}}, {"setShadow": 0}, {"setWeight": 50})
    async with load_on(stack, "sound") as load:
        await asyncio.to_thread(stack.apply, "sound", "iris-1", strategy=steps, **spec)
        status = await until(stack, "sound", lambda status: status["phase"] == "Degraded")
        assert set(load.tally.versions) == {stable}
    checks = {check["name"]: check for check in status["checks"]}
    assert checks["errors"]["verdict"] != "Fail"
    assert checks["agreement"]["verdict"] == "Fail"
    assert 0.5 < checks["agreement"]["value"] < 0.8  # a third of the flowers is virginica
    assert "shadow-agreement" in status["message"]
    assert "tidegate retry sound" in status["message"]
    assert status["stable"]["id"] == stable
    await asyncio.to_thread(stack.cli, "delete", "sound")


class Crowd:
    """Users who tell, a while after each answer, what it should have been."""

    def __init__(self, stack: Stack, name: str, seed: int) -> None:
        self._port, self._name = stack.port, name
        self._dice = Random(seed)
        self._numbers = count()

    async def ask_and_tell(self, requests: int) -> None:
        """Ask for the answers to so many coins, each once, and then give all labels in two pieces."""
        rows = [(self._dice.random(), float(self._dice.getrandbits(1))) for _ in range(requests)]
        names = [f"{self._name}-{next(self._numbers)}" for _ in rows]
        await self._send(
            post(f"/v2/models/{self._name}/infer", infer_body([row]), {"x-request-id": name})
            for row, name in zip(rows, names, strict=True)
        )
        items = [{"request_id": name, "label": int(truth)} for name, (_, truth) in zip(names, rows, strict=True)]
        path = f"/api/v1/models/{self._name}/feedback"
        parts = (items[first : first + 1000] for first in range(0, len(items), 1000))
        await self._send(post(path, json.dumps({"items": part}).encode()) for part in parts)

    async def _send(self, payloads: Iterator[bytes]) -> None:
        answers: list[Answer] = []
        load = Load(self._port, payloads, each=answers.append)
        await load.run(connections=8)
        assert {answer.status for answer in answers} <= {200, 202}, (LOOPBACK, load.tally.failures[:3])


async def test_a_candidate_whose_answers_are_right_two_points_more_often_is_promoted_on_feedback(
    stack: Stack, tmp_path: Path
) -> None:
    worse, better = right_in(0.90, tmp_path / "worse.joblib"), right_in(0.92, tmp_path / "better.joblib")
    await asyncio.to_thread(stack.apply, "learns", "worse", model=model_at(worse))
    await until(stack, "learns", healthy)
    goal = {"metric": "feedback-accuracy", "direction": "increase"}
    spec: dict[str, Any] = {"model": model_at(better), "analysis": {"interval": "1s"}}
    strategy = {"abTest": {"weight": 50, "goal": goal, "confidence": 0.95, "onWinner": "promote"}}
    await asyncio.to_thread(stack.apply, "learns", "better", strategy=strategy, **spec)
    status = await until(stack, "learns", lambda status: bool(status.get("experiment", {}).get("arms")))
    candidate = next(arm["version"] for arm in status["experiment"]["arms"] if arm["name"] == "candidate")
    crowd, won = Crowd(stack, "learns", seed=7), healthy_with(candidate)
    async with asyncio.timeout(2 * DEADLINE):
        while not won(status := await asyncio.to_thread(stack.status, "learns")):
            await crowd.ask_and_tell(COINS)
    assert any("feedback-accuracy" in line["message"] for line in status["history"] if line["reason"] == "Winner")
    await asyncio.to_thread(stack.cli, "delete", "learns")


async def test_a_feature_that_drifts_is_named_within_a_thousand_requests(stack: Stack, tmp_path: Path) -> None:
    """The reference is what the version was asked first, as no statistics file is beside the model."""
    inputs = [{"name": name, "datatype": "FP64"} for name in COLUMNS]
    model = model_at(shutil.copy(MODELS / "iris-1.joblib", tmp_path)) | {"inputs": inputs}
    await first_version(stack, "moves", model=model)
    dice, path = Random(5), "/v2/models/moves/infer"

    async def ask(requests: int, wider: float) -> None:
        flowers = ([dice.gauss(6, 0.8), dice.gauss(3, 0.4), dice.gauss(4, 1.8)] for _ in range(requests))
        rows = ([*flower, dice.gauss(1.2, 0.8) + wider] for flower in flowers)
        load = Load(stack.port, (post(path, infer_body([row])) for row in rows), pace=0.01)
        await load.run(connections=4)
        assert load.tally.failed == 0, load.tally.failures[:3]

    def reported(seconds: float) -> list[str]:
        """What has drifted; none may by the end of the time."""
        deadline = time.monotonic() + seconds
        while True:
            said = json.loads(stack.cli("events", "moves", "-o", "json").stdout)["events"]
            titles = [event["title"] for event in said if event["kind"] == "drift"]
            if titles or time.monotonic() > deadline:
                return titles
            time.sleep(0.5)

    await ask(1_500, wider=0.0)
    assert await asyncio.to_thread(reported, 10) == []
    await ask(1_000, wider=0.8)
    titles = await asyncio.to_thread(reported, DEADLINE)
    assert "The feature petal_width of moves has drifted" in titles
    assert not any("sepal" in title or "petal_length" in title for title in titles)
    await asyncio.to_thread(stack.cli, "delete", "moves")
