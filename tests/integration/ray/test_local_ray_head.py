"""The life and death of a Ray head on one machine."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from operators.local.home import Home
from operators.local.ray import LocalRay

DEADLINE = 30.0

PARENT = """
import asyncio, pathlib, sys
from operators.local.home import Home
from operators.local.ray import LocalRay

async def main():
    await LocalRay(Home(pathlib.Path(sys.argv[1]))).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def heads_below(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "--head" in child.cmdline()]


def session_of(head: psutil.Process) -> list[psutil.Process]:
    """Every process of a head: Ray's own, the dashboard's and the workers, which lead groups of their own."""
    return [each for each in psutil.process_iter() if _session_id(each) == head.pid]


def _session_id(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def ray(home: Home) -> AsyncIterator[LocalRay]:
    ray = LocalRay(home)
    yield ray
    await ray.stop()


async def test_a_head_that_dies_is_told_and_starts_again_at_the_same_address(ray: LocalRay, home: Home) -> None:
    before = set(heads_below(os.getpid()))
    address = await ray.start()
    assert stat.S_IMODE(home.ray_token.stat().st_mode) == 0o600
    [head] = set(heads_below(os.getpid())) - before
    first = session_of(head)
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in first
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    head.kill()
    reason = await asyncio.wait_for(ray.wait(), DEADLINE)
    assert reason.startswith("Ray ended with exit code -9; the last lines of")
    assert reason.endswith((home.logs / "ray.log").read_text().splitlines()[-1])

    assert await ray.start() == address
    [head] = set(heads_below(os.getpid())) - before
    second = session_of(head)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{address.url}/api/serve/applications/")).status_code == 401
    await ray.stop()
    await ray.stop()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [*first, *second], DEADLINE)
    assert alive == []


async def test_a_head_dies_with_its_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    [head] = heads_below(parent.pid)
    processes = session_of(head)
    names = {process.cmdline()[0] for process in processes}
    assert "ray::ServeController" in names
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, DEADLINE)
    assert alive == []
