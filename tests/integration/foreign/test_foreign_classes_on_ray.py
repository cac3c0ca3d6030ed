"""A class of another server in a replica of a real Ray Serve, in the environment of its version (`serving.pip`)."""

import asyncio
import importlib.util
import time
from pathlib import Path

import httpx

from operators.local.ray import RayAddress
from operators.rayserve import RayServe
from serving.client import ServeClient
from serving.spec import ModelSource, ServeTarget, TargetKey, TargetPhase

DEADLINE = 900.0
"""Ray copies the whole environment of these tests, and pip downloads."""
CLASSES = Path(__file__).with_name("classes")
PACKAGES = ("mlserver==1.7.1", "opentelemetry-proto<1.45")
"""No other package clashes with Ray as much: it wants an older FastAPI than Ray Serve says it needs.

The second is for the environment of these tests: in it the files of `opentelemetry-proto` were written over by
`xds-protos`, which routers need and replicas do not have. Another release brings its own again.
"""


async def test_a_version_gets_an_environment_with_the_package_that_clashes_with_ours(ray_head: RayAddress) -> None:
    assert importlib.util.find_spec("mlserver") is None
    source = ModelSource(CLASSES.as_uri(), "mlserver", class_name="for_mlserver:Doubler")
    target = ServeTarget(TargetKey("default", "doubler", "v1"), source, pip=PACKAGES)
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2.5]}
    async with ServeClient(ray_head.url, ray_head.token) as client:
        serve = RayServe(client)
        await serve.apply([target])
        try:
            deadline = time.monotonic() + DEADLINE
            while not (state := (await serve.observe()).get(target.key)) or not state.replicas:
                assert time.monotonic() < deadline, state
                assert state is None or state.phase is not TargetPhase.FAILED, state
                await asyncio.sleep(0.2)
            [replica] = state.replicas
            async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
                url = f"http://{replica.host}:{replica.port}/v2/models/doubler/infer"
                answer = await http.post(url, json={"inputs": [tensor]})
            assert (answer.status_code, answer.headers["tidegate-version"]) == (200, "v1")
            [output] = answer.json()["outputs"]
            assert (output["shape"], output["data"]) == ([1, 2], [2.0, 5.0])
        finally:
            await serve.apply([])
