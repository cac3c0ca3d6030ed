"""Asks the local Envoy whether a model answers."""

import asyncio
from typing import Final

from operators.local.preflight import LOOPBACK

ANSWER_SECONDS: Final = 2.0


async def model_ready(port: int, host: str, model: str) -> bool:
    """Whether a GET of the model's readiness, sent to `port` of 127.0.0.1 in the name of `host`, is answered 200."""
    request = f"GET /v2/models/{model}/ready HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request.encode())
                return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
