"""`python -m monitor` as a process: it answers, ends when told to, comes back, and says why when it cannot start."""

import asyncio
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from monitorkit import DEADLINE, OF, TOKEN, Sender, record
from monitorprocess import Place

from monitor.client import MonitorClient, MonitorUnavailable


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


def test_a_monitor_that_begins_has_none_of_the_libraries_that_only_some_reports_need() -> None:
    heavy = {"pandas", "river", "sklearn", "statsmodels"}
    loaded = f"import sys, monitor.__main__; print(*sorted(sys.modules.keys() & {heavy}))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "\n"
