"""Real servers on loopback sockets, with a real iris model or one that tests can hold up."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import joblib
import pytest
from serverkit import IRIS
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from serving.artifacts import digest
from serving.runtimes import LoadedModel, load
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource


@pytest.fixture(scope="session")
def iris_model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A logistic regression on iris, loaded the way a replica loads it."""
    folder = tmp_path_factory.mktemp("iris")
    joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), folder / "model.joblib")
    inputs = tuple(InputSpec(name) for name in IRIS)
    source = ModelSource(folder.as_uri(), "sklearn", digest(folder), inputs)
    return load(source, Path(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[ModelServer, str]]]:
    """Starts servers, each with its URL; all are stopped after the test."""
    started: list[ModelServer] = []

    def start(model: LoadedModel, /, **config: object) -> tuple[ModelServer, str]:
        server = ModelServer(ServerConfig(**{"model": "iris", "version": "v1", **config}), model)
        port = server.start()
        started.append(server)
        return server, f"http://127.0.0.1:{port}"

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def iris_server(iris_model: LoadedModel) -> Iterator[ModelServer]:
    """One iris server for all tests of a module."""
    server = ModelServer(ServerConfig(model="iris", version="v1"), iris_model)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def iris(iris_server: ModelServer) -> Iterator[httpx.Client]:
    """A client of the iris server."""
    with httpx.Client(base_url=f"http://127.0.0.1:{iris_server.port}") as client:
        yield client


@pytest.fixture
def make_client() -> Iterator[Callable[[str], httpx.Client]]:
    """Clients of servers, by their URLs; all are closed after the test."""
    made: list[httpx.Client] = []

    def make(url: str) -> httpx.Client:
        made.append(httpx.Client(base_url=url))
        return made[-1]

    yield make
    for client in made:
        client.close()
