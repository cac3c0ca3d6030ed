"""Environments that have the packages of other servers, and processes there that serve classes made for them.

None of these packages can be installed beside ours without taking others back, so each has an environment with Ray and
with what replicas need: a replica could run there.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.peers.environments import ensure
from serving.protocol import v2_grpc_messages as messages
from serving.protocol.v2_grpc_frames import SERVICE_PATH, frame, unframe

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
STOP_SECONDS = 60


@dataclass(frozen=True)
class Environment:
    """One environment, as `benchmarks.peers` keeps them."""

    name: str
    lock: Path


@pytest.fixture(scope="session")
def python() -> Callable[[str], Path]:
    """The interpreter that has a runtime's package; its environment is made when it is first wanted."""

    def python(runtime: str) -> Path:
        return ensure(Environment(f"hosted-{runtime}", HERE / "locks" / f"{runtime}.txt"))

    return python


@pytest.fixture(scope="session")
def host(python, tmp_path_factory) -> Iterator[Callable[..., dict]]:
    """Serve models of one runtime; what became of each: a client of it, or why it was not loaded."""
    started: list[subprocess.Popen] = []
    clients: list[httpx.Client] = []

    def host(runtime: str, models: dict[str, dict], folder: Path = HERE / "classes") -> dict[str, object]:
        cache = tmp_path_factory.mktemp("cache")
        order = {"runtime": runtime, "folder": str(folder), "cache": str(cache), "models": models}
        process = subprocess.Popen(
            [python(runtime), HERE / "hosting.py", json.dumps(order)],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            cwd=cache,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        line = ""
        while not line.startswith("{"):  # what is imported may have something to say first
            line = process.stdout.readline()
            assert line, "it ended before it served"
        found: dict[str, object] = {}
        for name, said in json.loads(line).items():
            if "port" in said:
                found[name] = httpx.Client(base_url=f"http://127.0.0.1:{said['port']}", trust_env=False, timeout=60)
                clients.append(found[name])
            else:
                found[name] = (said["error"], said["message"])
        return found

    yield host
    for client in clients:
        client.close()
    for process in started:
        process.communicate("", timeout=STOP_SECONDS)


@pytest.fixture(scope="session")
def infer() -> Callable[[httpx.Client], messages.ModelInferResponse]:
    """Ask a replica for twice [[1, 2.5]] as Envoy hands a gRPC call on to it."""

    def infer(client: httpx.Client) -> messages.ModelInferResponse:
        request = messages.ModelInferRequest(model_name="iris", id="7")
        tensor = request.inputs.add(name="x", datatype="FP64", shape=[1, 2])
        tensor.contents.fp64_contents.extend([1, 2.5])
        headers = {"content-type": "application/grpc"}
        answer = client.post(
            f"{SERVICE_PATH.decode()}ModelInfer", content=frame(request.SerializeToString()), headers=headers
        )
        assert answer.status_code == 200, answer.headers
        return messages.ModelInferResponse.FromString(bytes(unframe(answer.content)))

    return infer
