"""`python -m monitor` as a process: it answers, ends when told to, comes back, and says why when it cannot start."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from monitorkit import DEADLINE, OF, TOKEN, Sender, record

from monitor.client import MonitorClient, MonitorUnavailable


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Place:
    """A state folder and a port for one monitor."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        token = home / "token"
        token.write_text(TOKEN)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")} | {
            "TIDEGATE_HOME": str(home),
            "TIDEGATE_MONITOR_PORT": str(self.port),
            "TIDEGATE_MONITOR_TOKEN_FILE": str(token),
        }

    async def start(self, **changes: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "monitor",
            env=self.environ | changes,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A monitor that answers; it is killed at the end if it still runs."""
        process = await self.start()
        try:
            deadline = time.monotonic() + DEADLINE
            async with httpx.AsyncClient() as client:
                while not await answers(client, f"{self.url}/readyz"):
                    assert time.monotonic() < deadline
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def send(self, batch: dict[str, object]) -> httpx.Response:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as client:
            return await client.post(f"{self.url}/internal/v1/records", json=batch)


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_what_was_accepted_survives_a_kill(place: Place) -> None:
    sender = Sender()
    batch = sender.document(*(record(str(n), time.time()) for n in range(100)))
    async with place.running() as process:
        assert (await place.send(batch)).json() == {"accepted": 100}
        process.kill()
        await process.wait()
    async with place.running(), MonitorClient(place.url, TOKEN) as client:
        assert (await place.send(batch)).json() == {"accepted": 0}
        assert (await client.tallies(*OF, 0))["v1"].requests == 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_when_told_to(place: Place, number: int) -> None:
    async with place.running() as process:
        process.send_signal(number)
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert process.returncode == 0
        assert output.decode().rstrip().endswith("stopped")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TIDEGATE_MONITOR_RETENTION", "soon", "TIDEGATE_MONITOR_RETENTION is 'soon'"),
        ("TIDEGATE_MONITOR_DATABASE", "oracle://me:hush@db/x", "'oracle'"),
        ("TIDEGATE_MONITOR_HOST", "256.0.0.1", "the monitor cannot run"),
    ],
)
async def test_what_it_cannot_start_with_is_said_in_one_line(place: Place, name: str, value: str, reason: str) -> None:
    process = await place.start(**{name: value})
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 1
    assert reason in output.decode()
    assert "hush" not in output.decode()
    assert "Traceback" not in output.decode()


async def test_a_port_that_is_taken_is_said(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        process = await place.start()
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 1
    assert "Address already in use" in output.decode()


async def test_tables_of_a_newer_release_end_it_with_a_way_out(place: Place, tmp_path: Path) -> None:
    async with place.running():
        pass
    with sqlite3.connect(tmp_path / "records.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
    connection.close()
    process = await place.start()
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 1
    assert "made by a newer release" in output.decode()
    assert "Traceback" not in output.decode()


async def test_the_client_says_when_the_token_is_wrong_and_when_nobody_answers(place: Place) -> None:
    async with place.running(), MonitorClient(place.url, "wrong") as client:
        with pytest.raises(MonitorUnavailable, match="refused the token"):
            await client.tallies(*OF, 0)
    async with MonitorClient(place.url) as client:
        with pytest.raises(MonitorUnavailable, match="cannot be reached"):
            await client.tallies(*OF, 0)
