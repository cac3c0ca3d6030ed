"""Many models in one server: found by name, loaded when they are asked for, and gone when others need the room."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from serving.many import Budget, Fleet, open_catalogue
from serving.many.catalogue import Catalogue, find_members
from serving.protocol import v2_grpc_messages as messages
from serving.protocol.v2_grpc_frames import SERVICE_PATH, frame, unframe
from serving.runtimes import LoadedModel
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource

LARGE = 1 << 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Models `m0` to `m9`, which always answer their number, and `bad`, which is no model."""
    path = tmp_path / "fleet"
    path.mkdir()
    for number in range(10):
        model = DummyRegressor(strategy="constant", constant=number).fit([[0.0, 0.0]], [0])
        joblib.dump(model, path / f"m{number}.joblib")
    (path / "zbad.joblib").write_bytes(b"no pickle")
    return path


class Spied(Catalogue):
    """Notes what is loaded, and holds loads of `held` up until `gate` is open."""

    def __init__(self, folder: Path, held: str = "") -> None:
        super().__init__(ModelSource(folder.as_uri(), "sklearn", "0" * 64), find_members(folder), "fleet")
        self.loads: list[str] = []
        self.models: list[weakref.ref[object]] = []
        self.held = held
        self.gate, self.entered = threading.Event(), threading.Event()

    def load(self, name: str) -> LoadedModel:
        self.loads.append(name)
        if name == self.held:
            self.entered.set()
            assert self.gate.wait(30)
        model = super().load(name)
        self.models.append(weakref.ref(model))
        return model


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """Starts servers of fleets; a client of each."""
    started: list[tuple[ModelServer, httpx.Client]] = []

    def start(catalogue: Catalogue, memory: int = LARGE, most: int = 0, **config: object) -> httpx.Client:
        settings = ServerConfig(**{"model": "fleet", "version": "v1", **config})  # type: ignore[arg-type]
        server = ModelServer(settings, Fleet(catalogue, Budget(memory, most)))
        started.append((server, httpx.Client(base_url=f"http://127.0.0.1:{server.start()}", timeout=30)))
        return started[-1][1]

    yield start
    for server, client in started:
        client.close()
        server.stop()


def ask(client: httpx.Client, member: str) -> httpx.Response:
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
    return client.post(f"/v2/models/fleet.{member}/infer", json=body)


def state(client: httpx.Client) -> dict[str, str]:
    return {each["name"]: each["state"] for each in client.get("/v2/models/fleet/members").json()["members"]}


def loaded(client: httpx.Client) -> set[str]:
    return {name for name, found in state(client).items() if found == "loaded"}


def test_every_protocol_finds_the_member_that_it_names(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    client = serve(Spied(folder))
    for number in range(10):
        answer = ask(client, f"m{number}")
        assert (answer.status_code, answer.json()["model_name"]) == (200, f"fleet.m{number}")
        assert answer.json()["outputs"][0]["data"] == [number]
    assert client.post("/v1/models/fleet.m4:predict", json={"instances": [[1, 2]]}).json() == {"predictions": [4]}
    assert client.post("/api/v1/models/fleet.m5/predict", json={"instances": [[1, 2]]}).status_code in (200, 400)
    assert client.get("/v2/models/fleet.m6").json()["name"] == "fleet.m6"
    assert client.get("/v2/models/fleet.m6/ready").status_code == 200
    assert client.get("/v1/models/fleet.m6").json()["ready"] is True
    escaped = client.post(
        "/v2/models/fleet%2Em7/infer?trace=1",
        json={"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]},
    )
    assert escaped.json()["outputs"][0]["data"] == [7]


def test_a_grpc_call_finds_the_member_that_its_message_names(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    client = serve(Spied(folder))
    request = messages.ModelInferRequest(model_name="fleet.m3", id="7")
    request.inputs.add(name="x", datatype="FP64", shape=[1, 2]).contents.fp64_contents.extend([1.0, 2.0])
    path = SERVICE_PATH.decode()
    answer = client.post(f"{path}ModelInfer", content=frame(request.SerializeToString()))
    assert answer.status_code == 200
    response = messages.ModelInferResponse.FromString(unframe(answer.content))
    assert (response.model_name, list(response.outputs[0].contents.int64_contents)) == ("fleet.m3", [3])
    request.model_name = "fleet"
    answer = client.post(f"{path}ModelInfer", content=frame(request.SerializeToString()))
    assert (answer.status_code, answer.headers["tidegate-code"]) == (404, "unknown_model")
    assert client.post(f"{path}ServerReady", content=frame(b"")).status_code == 200


def test_nothing_is_loaded_before_it_is_asked_for(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    catalogue = Spied(folder)
    client = serve(catalogue)
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get("/v2/models/fleet").json()["name"] == "fleet"
    assert catalogue.loads == []
    ask(client, "m1"), ask(client, "m1")
    assert (catalogue.loads, loaded(client)) == (["m1"], {"m1"})


def test_an_unknown_member_is_404_with_the_nearest_name(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    client = serve(Spied(folder))
    answer = ask(client, "mm7")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
    assert answer.json()["error"] == "there is no model 'mm7' in fleet; the nearest name is fleet.m7"
    assert "the nearest" not in ask(client, "something-else").json()["error"]


def test_the_rollouts_own_name_predicts_nothing(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    client = serve(Spied(folder))
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
    answer = client.post("/v2/models/fleet/infer", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
    assert "name one of them, as fleet.MEMBER" in answer.json()["error"]


def test_a_member_that_cannot_be_loaded_says_why_and_harms_nobody(
    folder: Path, serve: Callable[..., httpx.Client]
) -> None:
    catalogue = Spied(folder)
    client = serve(catalogue)
    for _ in range(3):
        answer = ask(client, "zbad")
        assert (answer.status_code, answer.json()["code"]) == (500, "model_not_loadable")
        assert "fleet.zbad cannot be loaded: unpickling zbad.joblib raised" in answer.json()["error"]
    assert catalogue.loads == ["zbad"], "what cannot be loaded is not tried for every request"
    assert ask(client, "m2").json()["outputs"][0]["data"] == [2]
    assert state(client)["zbad"] == "failed"


def test_requests_for_one_member_wait_for_one_load_and_others_are_not_held_up(
    folder: Path, serve: Callable[..., httpx.Client]
) -> None:
    catalogue = Spied(folder, held="m8")
    client = serve(catalogue)
    ask(client, "m1")
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, client, "m8") for _ in range(8)]
        assert catalogue.entered.wait(30)
        assert ask(client, "m1").status_code == 200
        assert state(client)["m8"] == "loading"
        catalogue.gate.set()
        assert [each.result().json()["outputs"][0]["data"] for each in waiting] == [[8]] * 8
    assert catalogue.loads == ["m1", "m8"]


def test_no_more_requests_wait_for_loads_than_the_queue_has_room_for(
    folder: Path, serve: Callable[..., httpx.Client]
) -> None:
    catalogue = Spied(folder, held="m8")
    client = serve(catalogue, max_queue=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, client, "m8")
        assert catalogue.entered.wait(30)
        answer = ask(client, "m9")
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        catalogue.gate.set()
        assert first.result().status_code == 200


def test_the_least_recently_used_member_gives_way_and_its_memory_is_freed(
    folder: Path, serve: Callable[..., httpx.Client]
) -> None:
    catalogue = Spied(folder)
    client = serve(catalogue, most=2)
    gc.disable()  # what is freed must not wait for it
    try:
        for member in ("m0", "m1", "m0", "m2"):
            assert ask(client, member).json()["outputs"][0]["data"] == [int(member[1])]
        assert loaded(client) == {"m0", "m2"}
        assert [model() is None for model in catalogue.models] == [False, True, False]
        assert ask(client, "m1").status_code == 200
    finally:
        gc.enable()
    assert loaded(client) == {"m1", "m2"}
    report = client.get("/v2/models/fleet/members").json()
    assert {each["name"]: each["evictions"] for each in report["members"] if each.get("evictions")} == {
        "m0": 1,
        "m1": 1,
    }


def test_the_budget_of_memory_is_held(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    rng = np.random.default_rng(1)
    for number in range(10):
        model = DummyRegressor(strategy="constant", constant=number).fit([[0.0, 0.0]], [0])
        model.weight_ = rng.random(250_000)  # 2 MB
        joblib.dump(model, folder / f"m{number}.joblib")
    client = serve(Spied(folder), memory=7_000_000)
    for number in [*range(10), *range(10)]:
        assert ask(client, f"m{number}").json()["outputs"][0]["data"] == [number]
        assert client.get("/v2/models/fleet/members").json()["bytes"] <= 7_000_000
    assert 1 <= len(loaded(client)) <= 3


def test_what_each_member_was_asked_is_counted(folder: Path, serve: Callable[..., httpx.Client]) -> None:
    client = serve(Spied(folder))
    ask(client, "m1"), ask(client, "m1"), ask(client, "zbad"), ask(client, "unheard-of")
    report = client.get("/v2/models/fleet/members").json()
    counts = {each["name"]: each for each in report["members"] if "requests" in each}
    assert set(counts) == {"m1", "zbad"}, "names that clients make up are not counted"
    assert (counts["m1"]["requests"], counts["m1"]["errors"], counts["m1"]["loads"]) == (2, 0, 1)
    assert (counts["zbad"]["requests"], counts["zbad"]["errors"], counts["zbad"]["failures"]) == (1, 1, 1)
    assert counts["m1"]["seconds"] > 0


def test_a_client_that_leaves_before_the_load_leaves_nothing_behind(
    folder: Path, serve: Callable[..., httpx.Client]
) -> None:
    catalogue = Spied(folder, held="m8")
    client = serve(catalogue)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, client, "m8")
        assert catalogue.entered.wait(30)
        with httpx.Client(base_url=client.base_url, timeout=0.3) as hasty, pytest.raises(httpx.ReadTimeout):
            ask(hasty, "m9")
        deadline = time.monotonic() + 30
        while state(client)["m9"] != "unloaded":
            assert time.monotonic() < deadline
        catalogue.gate.set()
        assert first.result().status_code == 200
    assert ask(client, "m1").status_code == 200
    assert catalogue.loads == ["m8", "m1"], "nobody waits for m9 any more"


def test_a_verified_folder_of_pickles_is_a_catalogue(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")
    catalogue = open_catalogue(
        ModelSource(folder.as_uri(), "sklearn", inputs=(InputSpec("a"), InputSpec("b"))), tmp_path / "cache", "fleet"
    )
    assert [*catalogue.members] == [*(f"m{number}" for number in range(10)), "zbad"]
    assert [each.name for each in catalogue.load("m1").signature.features] == ["a", "b"]
