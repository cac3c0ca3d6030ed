"""One real Ray head for all integration tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from operators.local.home import Home
from operators.local.ray import LocalRay, RayAddress


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ray_head(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RayAddress]:
    """A Ray head with Ray Serve and nothing on it, as local mode starts it."""
    ray = LocalRay(Home(tmp_path_factory.mktemp("home")))
    address = await ray.start()
    yield address
    await ray.stop()
