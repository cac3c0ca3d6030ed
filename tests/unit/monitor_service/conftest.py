"""A store in a SQLite file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from monitorkit import Clock, running

from monitor.store.metrics import Metrics
from monitor.store.service import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/records.db"


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
