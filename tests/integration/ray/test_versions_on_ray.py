"""Versions of a real model on a real Ray Serve. What is expected of Ray 2.60 is held here, fact by fact."""

import asyncio
import importlib
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import joblib
import psutil
import pytest
from processes import child_running, wait_gone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from operators.local.ray import RayAddress
from operators.ports import ServeUnavailable
from operators.rayserve import RayServe
from serving.client import ServeClient
from serving.details import Json
from serving.render import INGRESS_DRAINING_SECONDS, application
from serving.spec import Autoscaling, ModelSource, ReplicaAddress, ServeTarget, TargetKey, TargetPhase, TargetState

States = Mapping[TargetKey, TargetState]
DEADLINE = 120.0
ALIVE = {TargetPhase.STARTING, TargetPhase.RUNNING, TargetPhase.FAILED}

SLOW_MODEL = """
import time

class Slow:
    n_features_in_ = 1

    def predict(self, rows):
        time.sleep(float(rows[0][0]))
        return rows[:, 0]
"""
"""Takes as many seconds as the row says."""
FOREIGN_APP = """
from ray import serve

@serve.deployment
def answer():
    return "theirs"

app = answer.bind()
"""


class Raises:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1 / 0",)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files: iris-1 and iris-2 are real classifiers, `raises` raises when it is loaded."""
    folder = tmp_path_factory.mktemp("models")
    rows, labels = load_iris(return_X_y=True)
    for version, strength in (("iris-1", 1.0), ("iris-2", 0.01)):
        joblib.dump(LogisticRegression(C=strength, max_iter=1000).fit(rows, labels), folder / f"{version}.joblib")
    joblib.dump(Raises(), folder / "raises.joblib")
    return folder


@pytest.fixture
async def client(ray_head: RayAddress) -> AsyncIterator[ServeClient]:
    async with ServeClient(ray_head.url, ray_head.token) as it:
        yield it


@pytest.fixture
def serve(client: ServeClient) -> RayServe:
    return RayServe(client)


@pytest.fixture
def one(models: Path) -> ServeTarget:
    return target(models / "iris-1.joblib", "iris-1")


@pytest.fixture
def two(models: Path) -> ServeTarget:
    return target(models / "iris-2.joblib", "iris-2")


def target(path: Path, version: str, **options: object) -> ServeTarget:
    source = ModelSource(path.as_uri(), "sklearn")
    return ServeTarget(TargetKey("default", "iris", version), source, **options)  # type: ignore[arg-type]


async def until(serve: RayServe, condition: Callable[[States], bool]) -> States:
    """Observe until the condition holds, and return what was seen then."""
    deadline = time.monotonic() + DEADLINE
    while True:
        states = await serve.observe()
        if condition(states):
            return states
        assert time.monotonic() < deadline, states
        await asyncio.sleep(0.05)


async def running(serve: RayServe, *targets: ServeTarget) -> States:
    """Apply the targets, and return once exactly they run, with all their replicas."""
    await serve.apply(targets)
    wanted = {each.key: each.replicas for each in targets}
    return await until(
        serve, lambda states: {key: len(it.replicas) for key, it in states.items() if it.phase in ALIVE} == wanted
    )


async def process_of(client: ServeClient, address: ReplicaAddress) -> int:
    """The process id that a replica tells when it is asked through Ray Serve's port."""
    groups = (await client.details()).targets().values()
    [listed] = [replica for group in groups for replica in group if replica.name == address.replica]
    answer = await client.ask(listed)
    assert answer is not None
    assert answer.port == address.port
    return answer.pid


async def connected(process: psutil.Process, address: ReplicaAddress) -> None:
    """Return once the replica's own server has a connection."""
    deadline = time.monotonic() + DEADLINE
    while not any(it.status == "ESTABLISHED" and it.laddr.port == address.port for it in process.net_connections()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def infer(address: ReplicaAddress, row: list[float]) -> httpx.Response:
    tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
        url = f"http://{address.host}:{address.port}/v2/models/iris/infer"
        return await http.post(url, json={"inputs": [tensor]})


async def test_two_versions_answer_on_ports_of_their_own(serve: RayServe, one: ServeTarget, two: ServeTarget) -> None:
    states = await running(serve, one, two)
    [first], [second] = states[one.key].replicas, states[two.key].replicas
    assert first.port != second.port
    for address, version in ((first, "iris-1"), (second, "iris-2")):
        answer = await infer(address, [5.1, 3.5, 1.4, 0.2])
        assert answer.status_code == 200
        assert answer.headers["tidegate-version"] == version
        assert answer.json()["outputs"][0]["data"] == [0]


async def test_what_runs_is_not_written_again(ray_head: RayAddress, one: ServeTarget) -> None:
    class Counting(ServeClient):
        writes = 0

        async def put(self, config: Json) -> None:
            self.writes += 1
            await super().put(config)

    async with Counting(ray_head.url, ray_head.token) as client:
        serve = RayServe(client)
        await running(serve, one)
        before = client.writes
        await serve.apply([one])
        assert client.writes == before


async def test_a_version_comes_and_goes_and_the_other_is_undisturbed(
    client: ServeClient, serve: RayServe, one: ServeTarget, two: ServeTarget
) -> None:
    [kept] = (await running(serve, one))[one.key].replicas
    process = await process_of(client, kept)
    assert (await running(serve, one, two))[one.key].replicas == (kept,)
    await serve.apply([one])
    states = await until(serve, lambda states: states[two.key] == TargetState(TargetPhase.STOPPING))
    assert states[one.key].replicas == (kept,)
    assert await process_of(client, kept) == process


async def test_another_number_of_replicas_keeps_those_that_run(serve: RayServe, models: Path, one: ServeTarget) -> None:
    [first] = (await running(serve, one))[one.key].replicas
    replicas = (await running(serve, target(models / "iris-1.joblib", "iris-1", replicas=2)))[one.key].replicas
    assert first in replicas
    assert len({address.port for address in replicas}) == 2
    remaining = (await running(serve, one))[one.key].replicas
    assert set(remaining) < set(replicas)


async def test_a_size_that_follows_requests_comes_and_goes_and_keeps_those_that_run(
    serve: RayServe, one: ServeTarget, two: ServeTarget
) -> None:
    [first] = (await running(serve, one))[one.key].replicas
    scaled = replace(one, replicas=2, autoscaling=Autoscaling(3, downscale_delay=1.0))
    replicas = (await running(serve, scaled))[one.key].replicas
    assert first in replicas
    # Without requests nothing but the least number stays; another version that comes changes nothing about that.
    states = await running(serve, replace(scaled, replicas=1), two)
    [kept] = states[one.key].replicas
    assert kept in replicas
    # The other way round the running number is within the bounds, and stays.
    fixed = await running(serve, one, two)
    assert fixed[one.key].replicas == (kept,)


async def test_a_part_of_a_gpu_is_reserved_for_each_replica(client: ServeClient, serve: RayServe, models: Path) -> None:
    half = target(models / "iris-1.joblib", "half", gpu=0.5)
    await serve.apply([half])
    states = await until(serve, lambda states: bool(states[half.key].message))
    assert re.search(r"0\.5 GPU wanted, 0 GPU free", states[half.key].message)
    await serve.apply([])


async def test_a_killed_replica_leaves_the_list_and_another_takes_its_place(
    client: ServeClient, serve: RayServe, one: ServeTarget
) -> None:
    [victim] = (await running(serve, one))[one.key].replicas
    os.kill(await process_of(client, victim), signal.SIGKILL)
    await until(serve, lambda states: victim not in states[one.key].replicas)
    states = await until(serve, lambda states: len(states[one.key].replicas) == 1)
    assert (await infer(states[one.key].replicas[0], [5.1, 3.5, 1.4, 0.2])).status_code == 200


async def test_a_controller_that_dies_takes_no_replica_off_the_list(
    client: ServeClient, serve: RayServe, models: Path
) -> None:
    # A version of its own: a controller that restarts lists replicas again that were draining.
    fresh = target(models / "iris-1.joblib", "fresh")
    before = (await running(serve, fresh))[fresh.key].replicas
    raylet = psutil.Process(await process_of(client, before[0])).parent()
    assert raylet is not None
    child_running(raylet.pid, "ray::ServeController").kill()
    seen = set()
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        seen.add((await serve.observe())[fresh.key].replicas)
    assert seen == {before}


async def test_a_version_that_cannot_be_loaded_fails_with_the_real_reason(
    serve: RayServe, models: Path, one: ServeTarget
) -> None:
    [kept] = (await running(serve, one))[one.key].replicas
    raises = target(models / "raises.joblib", "raises")
    missing = target(models / "missing.joblib", "missing")
    await serve.apply([one, raises, missing])
    failed = {raises.key, missing.key}
    states = await until(
        serve, lambda states: failed == {key for key, state in states.items() if state.phase is TargetPhase.FAILED}
    )
    path = models / "missing.joblib"
    assert states[missing.key] == TargetState(TargetPhase.FAILED, (), f"{path.as_uri()}: there is nothing at {path}")
    assert states[raises.key].message == "unpickling raises.joblib raised ZeroDivisionError: division by zero"
    assert states[one.key].replicas == (kept,)


async def test_a_version_runs_where_there_is_room_for_it_and_says_what_is_missing_where_there_is_not(
    serve: RayServe, models: Path
) -> None:
    model = models / "iris-1.joblib"
    modest = target(model, "modest", memory_bytes=512 << 20)
    huge = target(model, "huge", memory_bytes=10 << 40)
    broad = target(model, "broad", cpu=1_000, gpu=1)
    await running(serve, modest)
    await serve.apply([modest, huge, broad])
    states = await until(serve, lambda states: all(states[each.key].message for each in (huge, broad)))
    no_room = "Ray has no room for another replica: "
    memory = r"10,240\.0 GiB of memory wanted, [0-9.]+ GiB of memory free"
    assert re.fullmatch(no_room + memory, states[huge.key].message)
    assert re.fullmatch(
        f"{no_room}1000 CPU wanted, [0-9.]+ CPU free; 1 GPU wanted, 0 GPU free", states[broad.key].message
    )
    assert {states[each.key].phase for each in (huge, broad)} == {TargetPhase.STARTING}
    assert len(states[modest.key].replicas) == 1


async def test_a_removed_replica_finishes_what_it_has_accepted(
    client: ServeClient, serve: RayServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: ServeTarget
) -> None:
    (tmp_path / "slow_model.py").write_text(SLOW_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    joblib.dump(importlib.import_module("slow_model").Slow(), tmp_path / "slow.joblib")
    slow = target(tmp_path / "slow.joblib", "slow", env=(("PYTHONPATH", str(tmp_path)),))
    [address] = (await running(serve, one, slow))[slow.key].replicas
    process = psutil.Process(await process_of(client, address))
    longer_than_ray_waits = INGRESS_DRAINING_SECONDS + 1.5
    request = asyncio.create_task(infer(address, [longer_than_ray_waits]))
    await connected(process, address)
    await serve.apply([one])
    await until(serve, lambda states: not (slow.key in states and states[slow.key].replicas))
    answer = await request
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [longer_than_ray_waits]
    await asyncio.to_thread(wait_gone, process)


async def test_applications_of_others_survive(
    client: ServeClient, serve: RayServe, tmp_path: Path, one: ServeTarget, two: ServeTarget
) -> None:
    (tmp_path / "foreign_app.py").write_text(FOREIGN_APP)
    config = {
        "name": "foreign",
        "route_prefix": "/foreign",
        "import_path": "foreign_app:app",
        "runtime_env": {"env_vars": {"PYTHONPATH": str(tmp_path)}},
    }
    await running(serve, one)
    details = await client.details()
    await client.put(details.options | {"applications": [application(one), config]})
    await running(serve, one, two)
    deadline = time.monotonic() + DEADLINE
    while (foreign := (await client.details()).applications["foreign"]).status != "RUNNING":
        assert time.monotonic() < deadline, foreign
        await asyncio.sleep(0.05)
    assert foreign.config == config
    await serve.apply([])
    left = (await client.details()).applications
    assert [app.name for app in left.values() if not app.deleting] == ["foreign"]
    await client.put(details.options | {"applications": []})


@pytest.mark.parametrize("use", [RayServe.observe, lambda serve: serve.apply([])], ids=["observe", "apply"])
async def test_a_wrong_token_is_refused(ray_head: RayAddress, use: Callable[[RayServe], Awaitable[object]]) -> None:
    async with ServeClient(ray_head.url, "0" * 64) as client:
        with pytest.raises(ServeUnavailable, match="refused the token"):
            await use(RayServe(client))
