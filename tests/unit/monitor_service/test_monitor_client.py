"""The client of the monitor, before servers that answer something else than the monitor would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from monitorkit import OF

from monitor import client as module
from monitor.client import MonitorClient, MonitorUnavailable, QuestionRefused

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


async def test_a_replaced_token_is_used_from_then_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with server(200, TALLY) as (url, heads), MonitorClient(url, token) as client:
        await client.tallies(*OF, 0)
        token.unlink()
        with pytest.raises(MonitorUnavailable, match=f"cannot be read from {token}: FileNotFoundError"):
            await client.tallies(*OF, 0)
        token.write_text("two\nlines\n")
        with pytest.raises(MonitorUnavailable, match=f"{token} must hold the token for the monitor at {url}"):
            await client.tallies(*OF, 0)
        token.write_text("second\n")
        await client.tallies(*OF, 0)
    first, second = (head.lower() for head in heads)
    assert b"authorization: bearer first\r\n" in first
    assert b"authorization: bearer second\r\n" in second


async def test_a_monitor_without_a_token_is_asked_without_one() -> None:
    async with server(200, TALLY) as (url, heads), MonitorClient(url) as client:
        await client.tallies(*OF, 0)
    assert b"authorization" not in heads[0].lower()


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
            client.plan(*OF, "error-rate", 0.1),
        ):
            with pytest.raises(MonitorUnavailable, match="gave an answer that is not understood"):
                await question


@pytest.mark.parametrize(
    ("body", "said"), [(b'{"error": "bucket: too wide"}', "bucket: too wide"), (b"[1]", r"\[1\]"), (b"no\n", "no")]
)
async def test_a_question_that_is_refused_is_told_in_the_monitors_words(body: bytes, said: str) -> None:
    async with server(400, body) as (url, _), MonitorClient(url) as client:
        with pytest.raises(QuestionRefused, match=f"refused the question: {said}$"):
            await client.performance(*OF)


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
