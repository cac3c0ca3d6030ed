"""One PostgreSQL for all tests of the store, and an empty database in it for each."""

from collections.abc import AsyncIterator, Iterator

import pytest
from monitorkit import Clock, running
from postgresql import PostgreSQL, emptied

from monitor.store.metrics import Metrics
from monitor.store.service import Store


@pytest.fixture(scope="session")
def shared_server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """One that may be killed; it runs."""
    own = PostgreSQL()
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
async def url(shared_server: PostgreSQL) -> str:
    await emptied(shared_server.url)
    return shared_server.url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def store(url: str, metrics: Metrics, clock: Clock) -> AsyncIterator[Store]:
    async with running(url, metrics, clock) as opened:
        yield opened
