"""`python -m monitor` as a process, for tests."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from monitorkit import DEADLINE, TOKEN


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Place:
    """A state folder and a port for one monitor."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = TOKEN
        token = home / "token"
        token.write_text(TOKEN)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")} | {
            "TIDEGATE_HOME": str(home),
            "TIDEGATE_MONITOR_PORT": str(self.port),
            "TIDEGATE_MONITOR_TOKEN_FILE": str(token),
            **environ,
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
    async def running(self, ready: bool = True) -> AsyncIterator[asyncio.subprocess.Process]:
        """A monitor that answers, when `ready` with its database; it is killed at the end if it still runs."""
        process = await self.start()
        try:
            deadline = time.monotonic() + DEADLINE
            async with httpx.AsyncClient() as client:
                while not await answers(client, f"{self.url}/{'readyz' if ready else 'healthz'}"):
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
