"""The API server through the operator's eyes, and operators to run beside it."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from operators.kube.client import Api, connected
from operators.kube.store import KubeStore
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import Objects, Operator
from tests.kube.operators.store_kit import store_of


@pytest.fixture
async def api(api_server: ApiServer) -> AsyncIterator[Api]:
    """The API server, for its administrator."""
    async with connected(str(api_server.kubeconfig)) as found:
        yield found


@pytest.fixture
async def objects(api: Api, namespace: str) -> AsyncIterator[Objects]:
    """The test's namespace; nothing of it keeps a finalizer, so that an operator of all namespaces finds no remains."""
    found = Objects(api, namespace)
    yield found
    await found.clear()


@pytest.fixture
def store(objects: Objects) -> KubeStore:
    """A store of the test's namespace."""
    return store_of(objects)


@pytest.fixture
def operators(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Makes operators that follow the test's namespace; those that still run are killed at the end."""
    made: list[Operator] = []

    def make(name: str, **fields: Any) -> Operator:
        made.append(Operator(name, str(api_server.kubeconfig), namespace, tmp_path, **fields))
        return made[-1]

    yield make
    for operator in made:
        operator.remove()
