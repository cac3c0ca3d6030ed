"""A store in a SQLite file of its own, and a receiver that really listens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from monitorkit import Clock, running
from outboundkit import Receiver, receiving

from monitor.outbound import courier, forward, lease
from monitor.store.service import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)  # nothing is old, whatever the date


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    async with running(url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for any longer than a test needs."""
    monkeypatch.setattr(courier, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(forward, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(forward, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    monkeypatch.setattr(lease, "AGAIN_SECONDS", 0.02)
