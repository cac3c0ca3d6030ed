"""Router pods, the ModelRoutes that they follow, and replicas to send requests to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.integration.router.upstreams import Upstream, upstreams
from tests.kube.apiserver import ApiServer
from tests.kube.router.router_kit import Objects, RouterPod, objects


@pytest.fixture
async def routes(api_server: ApiServer, namespace: str) -> AsyncIterator[Objects]:
    """The ModelRoutes of the test's namespace."""
    async with objects(api_server.kubeconfig, namespace) as found:
        yield found


@pytest.fixture(scope="session")
def restart_thread() -> Iterator[Executor]:
    """Where an API server is started again while a test's load goes on: it ends with the thread that started it."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
async def api_server_gone(
    api_server: ApiServer, restart_thread: Executor
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Makes a block during which there is no API server."""

    @asynccontextmanager
    async def gone() -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        api_server.kill()
        try:
            yield
        finally:
            await loop.run_in_executor(restart_thread, api_server.start)

    return gone


@pytest.fixture
def pods(api_server: ApiServer, namespace: str) -> Iterator[Callable[..., RouterPod]]:
    """Makes router pods that follow the test's namespace or others; nothing of them is left behind."""
    made: list[RouterPod] = []

    def make(name: str, namespaces: str = namespace, kubeconfig: str = str(api_server.kubeconfig)) -> RouterPod:
        made.append(RouterPod(name, kubeconfig, namespaces))
        return made[-1]

    yield make
    for pod in made:
        pod.remove()


@pytest.fixture
def pod(pods: Callable[..., RouterPod]) -> RouterPod:
    """One router pod that follows the test's namespace; not started yet."""
    return pods("router-a")


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Starts replicas that say which version they are."""
    async with upstreams() as start:
        yield start
