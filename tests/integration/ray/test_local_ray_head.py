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
from processes import children, listening, session_of, title, wait_gone

from operators.local.home import Home
from operators.local.ray import LocalRay

DEADLINE = 120.0

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


def heads_of(pid: int) -> set[psutil.Process]:
    return {child for child in children(pid) if "--head" in title(child)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def ray(home: Home) -> AsyncIterator[LocalRay]:
    ray = LocalRay(home)
    yield ray
    await ray.stop()


async def test_a_head_that_dies_is_told_and_starts_again_at_the_same_address(ray: LocalRay, home: Home) -> None:
    before = heads_of(os.getpid())
    address = await ray.start()
    assert stat.S_IMODE(home.ray_token.stat().st_mode) == 0o600
    [head] = heads_of(os.getpid()) - before
    first = session_of(head.pid)
    assert set().union(*map(listening, first)) == {"127.0.0.1"}
    head.kill()
    reason = await asyncio.wait_for(ray.wait(), DEADLINE)
    assert reason.startswith("Ray ended with exit code -9; the last lines of")
    assert reason.endswith((home.logs / "ray.log").read_text().splitlines()[-1])

    assert await ray.start() == address
    [head] = heads_of(os.getpid()) - before
    second = session_of(head.pid)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{address.url}/api/serve/applications/")).status_code == 401
    await ray.stop()
    await ray.stop()
    await asyncio.to_thread(wait_gone, *first, *second)


async def test_a_head_dies_with_its_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    [head] = heads_of(parent.pid)
    processes = session_of(head.pid)
    assert any(title(process).startswith("ray::ServeController") for process in processes)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(wait_gone, *processes)
