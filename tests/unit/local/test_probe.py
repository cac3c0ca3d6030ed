"""A model is ready when Envoy's port says 200, and not when it says anything else or nothing at all."""

import asyncio
import socket

import pytest

from operators.local.probe import model_ready


@pytest.mark.parametrize(("status", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False)])
async def test_the_status_line_decides(status: bytes, ready: bool) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await model_ready(port, "models.example", "iris") is ready
    assert asked[0].startswith(b"GET /v2/models/iris/ready HTTP/1.1\r\nhost: models.example\r\n")


async def test_nobody_listening_is_not_ready() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        assert not await model_ready(holder.getsockname()[1], "127.0.0.1", "iris")
