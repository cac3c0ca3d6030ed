"""One real API server for all tests, with Tidegate's definitions, and a namespace for each."""

import itertools
from collections.abc import Iterator

import pytest

from tests.kube.apiserver import ApiServer
from tests.kube.definitions import install

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that knows ModelRollout and ModelRoute."""
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        install(server)
        yield server
    finally:
        server.stop()


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """A namespace that no other test uses."""
    name = f"test-{next(_numbers)}"
    api_server.kubectl("create", "namespace", name)
    return name
