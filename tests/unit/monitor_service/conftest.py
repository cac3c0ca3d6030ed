"""A store in a SQLite file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "analystcases",
    "auditcases",
    "comparisoncases",
    "driftcases",
    "evidencecases",
    "evidencehistories",
    "historycases",
    "hostilecases",
    "monitorkit",
    "monitorprocess",
    "paircases",
    "reportkit",
    "retentioncases",
    "storecases",
    "upgradecases",
)

from monitorkit import Clock, running  # noqa: E402 - after its asserts were made to explain themselves

from monitor.store.metrics import Metrics  # noqa: E402
from monitor.store.service import Store  # noqa: E402


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
