"""The client of the monitor, before servers that answer something else than the monitor would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from monitorkit import OF

from monitor import client as module
from monitor.client import MonitorClient, MonitorUnavailable

TALLY = b"""{"versions": {"v1": {"requests": 2, "errors": 1, "labels": {"count": 0, "correct": 0},
  "rewards": {"count": 1, "sum": 0.5, "squares": 0.25, "zero_one": false},
  "by_share": [{"share": 500, "count": 1, "sum": 0.5, "squares": 0.25}], "from a newer release": 1}}}"""


@asynccontextmanager
async def server(status: int, body: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its URL, and the heads of the requests that it gets."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {status} .\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads


async def test_tallies_are_read_with_the_token() -> None:
    async with server(200, TALLY) as (url, heads), MonitorClient(url + "/", "secret") as client:
        tally = (await client.tallies(*OF, 1_790_000_000.125))["v1"]
    assert (tally.requests, tally.errors, tally.by_share[0].share, tally.rewards.zero_one) == (2, 1, 500, False)
    assert b"namespace=default&model=iris&since=1790000000.125 " in heads[0]
    assert b"authorization: bearer secret" in heads[0].lower()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"versions": {"v1": {}}}'])
async def test_an_answer_that_is_not_the_monitors_is_no_tally(body: bytes) -> None:
    async with server(200, body) as (url, _), MonitorClient(url) as client:
        with pytest.raises(MonitorUnavailable, match="gave an answer that is not understood"):
            await client.tallies(*OF, 0)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"versions": 1, "window": "x", "records": 2, "baselines": 3}'])
async def test_an_answer_that_is_not_the_monitors_is_no_report(body: bytes) -> None:
    async with server(200, body) as (url, _), MonitorClient(url) as client:
        for question in (
            client.evidence(*OF, 0, stable="v1", candidate="v2", metrics=["feature-drift"]),
            client.compare(*OF),
            client.performance(*OF),
            client.drift(*OF),
            client.versions(*OF),
            client.request(*OF, "1"),
            client.baselines(*OF),
            client.keep_baseline(*OF, "v1", "{}"),
        ):
            with pytest.raises(MonitorUnavailable, match="gave an answer that is not understood"):
                await question


@pytest.mark.parametrize("status", [302, 404, 500, 503])
async def test_an_error_is_quoted(status: int) -> None:
    async with server(status, b"out of order") as (url, _), MonitorClient(url) as client:
        with pytest.raises(MonitorUnavailable, match=f"answered {status}: out of order"):
            await client.tallies(*OF, 0)


async def test_a_monitor_that_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with MonitorClient(url) as client:
            with pytest.raises(MonitorUnavailable, match=r"did not answer within 0.05 seconds"):
                await client.tallies(*OF, 0)
