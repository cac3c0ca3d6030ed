"""A server for each test."""

from collections.abc import AsyncIterator

import pytest
from somewhere import Somewhere


@pytest.fixture
async def somewhere() -> AsyncIterator[Somewhere]:
    server = Somewhere()
    async with server.running():
        yield server
