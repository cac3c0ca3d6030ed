"""The control process is killed just when a phase has changed: people hear of the change, and once."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from operators.api import RolloutKey
from operators.local.database import Database
from operators.local.home import Home

DEADLINE = 120.0
IRIS, WINE = RolloutKey("default", "iris"), RolloutKey("default", "wine")
SPEC = {"model": {"uri": "file:///models/iris.joblib", "runtime": "sklearn"}}


class Monitor:
    """Keeps events by their key, as the monitor does. What hangs is not answered, whether it was kept or not."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.keeps, self.hangs = True, False
        self.asked = asyncio.Event()
        self.url = ""
        self._news = asyncio.Condition()
        self._closing = asyncio.Event()

    async def knows(self, model: str) -> None:
        """Return once something about the model is kept."""
        async with self._news:
            await self._news.wait_for(lambda: any(one["model"] == model for one in self.kept.values()))

    async def take(self, request: web.Request) -> web.Response:
        """What the operator tells."""
        events = await request.json()
        if self.keeps:
            self.kept = {event["key"]: event for event in events} | self.kept
        self.asked.set()
        async with self._news:
            self._news.notify_all()
        if self.hangs:
            await self._closing.wait()
        return web.json_response({"accepted": len(events)})

    async def list(self, request: web.Request) -> web.Response:
        """What it was told of a model, newest first."""
        theirs = [one for one in self.kept.values() if one["model"] == request.query["model"]]
        newest = sorted(theirs, key=lambda one: -one["at"])
        return web.json_response({"events": newest, "after": None})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = web.Application()
        application.add_routes([web.post("/internal/v1/events", self.take), web.get("/internal/v1/events", self.list)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            self._closing.set()
            await runner.cleanup()


@pytest.fixture
async def monitor() -> AsyncIterator[Monitor]:
    one = Monitor()
    async with one.running():
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "ray.token").write_text("secret\n")
    home = Home(tmp_path)
    home.monitor_token.write_text("secret\n")
    return home


@asynccontextmanager
async def control(home: Home, monitor: Monitor) -> AsyncIterator[None]:
    """The control process, until it is killed at the end. There is no Ray."""
    command = [sys.executable, "-m", "operators.local.control", "--port", "1", "--ray", "http://127.0.0.1:1"]
    environment = os.environ | {"TIDEGATE_HOME": str(home.root), "TIDEGATE_MONITOR_URL": monitor.url}
    with (home.root / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=log)
    try:
        async with asyncio.timeout(DEADLINE):
            yield
        assert process.returncode is None, (home.root / "log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def begun(database: Database, key: RolloutKey) -> None:
    """Make a rollout and let its first phase begin."""
    database.apply(key, SPEC, {}, {}, time.time())
    await stored(database, key, "Pending")


async def stored(database: Database, key: RolloutKey, phase: str) -> None:
    """Return once the rollout's status has this phase."""
    while True:
        row = database.row(key)
        if row is not None and (row.status or {}).get("phase") == phase:
            return
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("keeps", [False, True], ids=["lost", "kept"])
async def test_the_first_change_of_a_phase_is_told_once_although_whoever_told_it_was_killed(
    home: Home, monitor: Monitor, keeps: bool
) -> None:
    database = Database(home.store)
    monitor.hangs, monitor.keeps = True, keeps
    async with control(home, monitor):
        await begun(database, IRIS)
        database.delete(IRIS, time.time())  # it stays until Ray says that nothing runs any more
        await stored(database, IRIS, "Progressing")
        await monitor.asked.wait()
    assert len(monitor.kept) == int(keeps)
    monitor.hangs, monitor.keeps = False, True
    async with control(home, monitor):
        await monitor.knows("iris")
    async with control(home, monitor):
        await begun(database, WINE)
        database.delete(WINE, time.time())
        await monitor.knows("wine")
    database.close()
    told = [(one["model"], one["title"]) for one in monitor.kept.values()]
    assert sorted(told) == [("iris", "Pending → Progressing"), ("wine", "Pending → Progressing")]
