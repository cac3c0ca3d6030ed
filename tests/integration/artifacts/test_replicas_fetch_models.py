"""Replicas on a real Ray fetch their models themselves, under a cluster's policy, and say what keeps them from it."""

import asyncio
import hashlib
import pickle
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sklearn.linear_model import LinearRegression
from webkit import WebServer, says, serving

from operators.local.home import Home
from operators.local.ray import LocalRay
from operators.rayserve import RayServe
from serving.client import ServeClient
from serving.spec import ModelSource, ServeTarget, TargetKey, TargetPhase, TargetState

DEADLINE = 180.0
MODEL = pickle.dumps(LinearRegression().fit([[1.0], [2.0]], [2, 4]))


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[RayServe]:
    policy = {"TIDEGATE_ARTIFACT_HOSTS": "http://127.0.0.1,127.0.0.1", "TIDEGATE_ARTIFACT_CODE": "verified"}
    ray = LocalRay(Home(tmp_path), policy)
    address = await ray.start()
    try:
        async with ServeClient(address.url, address.token) as client:
            yield RayServe(client)
    finally:
        await ray.stop()


def target(server: WebServer, name: str, sha256: str | None = None) -> ServeTarget:
    source = ModelSource(f"http://127.0.0.1:{server.port}/{name}.pkl", "sklearn", sha256)
    return ServeTarget(TargetKey("default", name, "v1"), source)


async def outcome(serve: RayServe, one: ServeTarget) -> TargetState:
    """What comes of a version."""
    await serve.apply([one])
    deadline = time.monotonic() + DEADLINE
    while True:
        state = (await serve.observe()).get(one.key)
        if state is not None and state.phase in {TargetPhase.RUNNING, TargetPhase.FAILED}:
            return state
        assert time.monotonic() < deadline, state
        await asyncio.sleep(0.1)


async def test_a_promised_model_runs_and_what_cannot_run_says_why(serve: RayServe, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    with serving() as server:
        server.answers["/good.pkl"] = says(200, MODEL)
        server.answers["/hostile.pkl"] = says(200, pickle.dumps(Hostile(mark)))

        state = await outcome(serve, target(server, "good", hashlib.sha256(MODEL).hexdigest()))
        assert state.phase is TargetPhase.RUNNING, state
        (replica,) = state.replicas
        async with httpx.AsyncClient(base_url=f"http://{replica.host}:{replica.port}") as client:
            answer = await client.post("/v1/models/good:predict", json={"instances": [[3.0]]})
        assert answer.json()["predictions"] == pytest.approx([6.0])

        state = await outcome(serve, target(server, "hostile"))
        assert (state.phase, mark.exists()) == (TargetPhase.FAILED, False)
        assert state.message.startswith("hostile.pkl, a pickle, runs code when it is loaded, and nobody vouches for it")

        state = await outcome(serve, target(server, "absent"))
        assert state.phase is TargetPhase.FAILED
        assert state.message == (
            f"http://127.0.0.1:{server.port}/absent.pkl: there is nothing: the server answered 404"
        )
