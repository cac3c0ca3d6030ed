"""The monitor as a child of `tidegate up`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from monitorkit import DEADLINE, OF

from monitor.client import MonitorClient, MonitorUnavailable
from operators.local import monitor as module
from operators.local.home import Home
from operators.local.monitor import LocalMonitor
from serving.records import config as records


async def answered(local: LocalMonitor, token: str) -> None:
    """Return once the monitor has answered a question."""
    async with asyncio.timeout(DEADLINE), MonitorClient(local.url, token) as client:
        while True:
            try:
                await client.tallies(*OF, 0)
                return
            except MonitorUnavailable:
                await asyncio.sleep(0.05)


def told(local: LocalMonitor) -> Sequence[str]:
    """The files and addresses that others are told."""
    return [*local.for_control.values(), *local.for_replicas.values()]


async def test_it_answers_who_was_told_of_it_and_comes_back_after_a_kill(tmp_path: Path) -> None:
    home = Home(tmp_path)
    said: list[str] = []
    died = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        died.set()

    local = LocalMonitor(home)
    token = await asyncio.to_thread(home.monitor_token.read_text)
    async with local.running(say):
        await answered(local, token)
        os.kill(await listener(local.address.port), 9)
        await asyncio.wait_for(died.wait(), DEADLINE)
        await answered(local, token)
    assert "the monitor ended with code -9 and is started again" in said[0]
    with pytest.raises(MonitorUnavailable, match="cannot be reached"):
        async with MonitorClient(local.url, token) as client:
            await client.tallies(*OF, 0)


async def listener(port: int) -> int:
    """The child that listens on the port."""
    for child in psutil.Process().children():
        try:
            if any(it.laddr.port == port for it in child.net_connections("inet")):
                return child.pid
        except psutil.Error:
            continue
    raise AssertionError(f"nobody listens on {port}")


def test_the_token_is_the_owners_alone_and_stays_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path)
    one = LocalMonitor(home)
    token = home.monitor_token.read_text()
    other = LocalMonitor(home)
    assert home.monitor_token.read_text() == token
    assert home.monitor_token.stat().st_mode & 0o777 == 0o600
    assert len(token) == 64
    assert not any(token in it for local in (one, other) for it in told(local))


def test_replicas_are_told_under_the_names_that_they_read() -> None:
    assert (module.RECORDS_URL_VARIABLE, module.RECORDS_TOKEN_FILE_VARIABLE) == (
        records.URL_VARIABLE,
        records.TOKEN_FILE_VARIABLE,
    )


def test_replicas_understand_what_they_are_told(tmp_path: Path) -> None:
    local = LocalMonitor(Home(tmp_path))
    config = records.RecordsConfig.from_environment(local.for_replicas)
    assert config is not None
    assert (config.url, config.token_file) == (local.url, tmp_path / "monitor.token")
