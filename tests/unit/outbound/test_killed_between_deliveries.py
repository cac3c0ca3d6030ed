"""`python -m monitor` is killed while it tells of events: nothing is lost, and what had arrived does not come again."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from outboundkit import Got, Receiver, event

from monitor.client import MonitorClient, MonitorUnavailable

DEADLINE = 120.0


@pytest.fixture
def environ(tmp_path: Path, receiver: Receiver) -> dict[str, str]:
    """What the process is told: two channels, of which one has a secret URL."""
    (tmp_path / "url").write_text(f"{receiver.url}/hush")
    channels = [
        {"name": "ops", "kind": "webhook", "url": f"{receiver.url}/ops"},
        {"name": "team", "kind": "slack", "urlFile": str(tmp_path / "url"), "events": ["drift"]},
    ]
    (tmp_path / "channels.yaml").write_text(json.dumps({"channels": channels}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return kept | {
        "TIDEGATE_HOME": str(tmp_path),
        "TIDEGATE_MONITOR_PORT": str(port),
        "TIDEGATE_MONITOR_NOTIFICATIONS": str(tmp_path / "channels.yaml"),
    }


@asynccontextmanager
async def monitor(environ: dict[str, str], output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that answers; it is killed at the end if it still runs."""
    with output.open("ab") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "monitor", env=environ, stderr=log)
    try:
        deadline = time.monotonic() + DEADLINE
        while not await answers(environ):
            assert process.returncode is None
            assert time.monotonic() < deadline
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(environ: dict[str, str]) -> bool:
    async with client(environ) as asking:
        try:
            await asking.events("default", "iris")
        except MonitorUnavailable:
            await asyncio.sleep(0.05)
            return False
    return True


def client(environ: dict[str, str]) -> MonitorClient:
    return MonitorClient(f"http://127.0.0.1:{environ['TIDEGATE_MONITOR_PORT']}")


async def test_a_monitor_that_is_killed_between_deliveries_loses_nothing_and_doubles_nothing(
    environ: dict[str, str], receiver: Receiver, tmp_path: Path
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(_: Got) -> web.Response:
        asked.set()
        await over.wait()
        return web.Response(status=204)

    log = tmp_path / "monitor.log"
    receiver.answers = [204, 204, 204, hang]
    async with monitor(environ, log) as process, client(environ) as telling:
        await telling.post_events([event(str(n)) for n in range(8)])
        async with asyncio.timeout(DEADLINE):
            await asked.wait()
        process.kill()
        await process.wait()
        over.set()
    async with monitor(environ, log) as process, client(environ) as telling:
        await telling.post_events([event(str(n)) for n in range(9)])
        async with asyncio.timeout(DEADLINE):
            got = await receiver.has(10)
        assert [one.keys for one in got] == [[str(n)] for n in (0, 1, 2, 3, 3, 4, 5, 6, 7, 8)]
        assert got[3].headers["tidegate-delivery"] == got[4].headers["tidegate-delivery"]
        process.terminate()
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
    async with monitor(environ, log), client(environ) as telling:
        await telling.post_events([event("8"), event("drift", kind="drift")])
        got = (await receiver.has(12))[10:]
    assert sorted(one.path for one in got) == ["/hook/hush", "/hook/ops"]
    assert "hush" not in log.read_text()
