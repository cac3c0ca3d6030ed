"""Ray Serve is asked again while Ray is not up yet or loses patience with itself, and not for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from operators.local.preflight import CannotStart
from operators.local.ray import RayAddress, start_serve

IMPATIENT = "Traceback (most recent call last):\n  File x\nTimeoutError: HTTP proxies not available after 60s.\n"


@asynccontextmanager
async def dashboard(*puts: tuple[int, str]) -> AsyncIterator[tuple[RayAddress, list[bytes]]]:
    """Something that answers PUT requests like this, the last answer ever again; and the methods it was asked by."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split()[0]
        status, body = (200, '{"applications": {}}')
        if method == b"PUT":
            status, body = puts[min(asked.count(b"PUT"), len(puts) - 1)]
        asked.append(method)
        writer.write(f"HTTP/1.1 {status} .\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield RayAddress(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token"), asked


async def test_an_error_of_ray_on_a_busy_machine_is_no_reason_to_give_up() -> None:
    async with dashboard((500, IMPATIENT), (200, "")) as (address, asked):
        await start_serve(address, 8000)
    assert asked == [b"GET", b"PUT"] * 2


async def test_when_the_time_is_over_the_last_error_is_told() -> None:
    async with dashboard((500, IMPATIENT)) as (address, _):
        with pytest.raises(CannotStart, match=r"not ready within 0.5 seconds: .* 500: TimeoutError: HTTP proxies not"):
            await start_serve(address, 8000, seconds=0.5)


async def test_a_refused_token_is_told_at_once() -> None:
    async with dashboard((401, "")) as (address, asked):
        with pytest.raises(CannotStart, match=r"could not be started: .*refused the token"):
            await start_serve(address, 8000)
    assert asked == [b"GET", b"PUT"]
