"""The configuration server: one `Session` per stream, over gRPC on a Unix socket.

Nothing here ticks: between two messages of Envoy and two publications the server sleeps.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2

from router.session import Request, Response, Session
from router.snapshot import ResourceType

_log = logging.getLogger(__name__)

REASON_CHARACTERS = 1_000

OPTIONS = (
    ("grpc.so_reuseport", 0),
    # Envoy notices a dead server through these pings' answers, the server a dead Envoy.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Envoy's pings are welcome: gRPC's own limit, one in five minutes, would end the stream after a few of them.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class SessionKeeper(Protocol):
    """Whoever knows what Envoy should have."""

    def opened(self, stream: "Stream") -> Session:
        """An Envoy has connected; gives the session for it."""

    def advanced(self, stream: "Stream", request: Request) -> None:
        """The session has taken `request` in."""

    def closed(self, stream: "Stream") -> None:
        """The Envoy is gone."""


class Stream:
    """One connected Envoy: its session, and the way out to it."""

    def __init__(self, keeper: SessionKeeper) -> None:
        """Get a session."""
        self._keeper = keeper
        self._outgoing: asyncio.Queue[Response] = asyncio.Queue()
        self.session = keeper.opened(self)

    def send(self, responses: list[Response]) -> None:
        """Put responses on their way."""
        for response in responses:
            self._outgoing.put_nowait(response)

    async def run(self, requests: AsyncIterator[Any], write: Callable[[Any], Awaitable[None]]) -> None:
        """Serve until Envoy ends the stream or the connection breaks."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(write))
                await self._read(requests)
                writer.cancel()
        except* (grpc.aio.AioRpcError, grpc.aio.UsageError, ConnectionError) as errors:
            _log.info("an Envoy is gone: %s", errors.exceptions[0])
        finally:
            self._keeper.closed(self)

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        async for message in requests:
            request = _parsed(message)
            if request is None:
                continue
            if request.error is not None:
                _log.warning("Envoy refused %s: %s", request.type.name.lower(), request.error)
            self.send(self.session.receive(request))
            self._keeper.advanced(self, request)

    async def _write(self, write: Callable[[Any], Awaitable[None]]) -> None:
        while True:
            await write(_message(await self._outgoing.get()))


class AdsServer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # generated, untyped
    """Envoy's aggregated discovery service on a Unix socket."""

    def __init__(self, socket: Path, keeper: SessionKeeper) -> None:
        """Nothing is opened yet."""
        self._socket = socket
        self._keeper = keeper
        self._server: Any = None

    async def start(self) -> None:
        """Listen. A socket that an earlier process left behind is replaced. Raises `OSError`."""
        self._socket.unlink(missing_ok=True)
        self._server = grpc.aio.server(options=OPTIONS)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        try:
            self._server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._socket}: {error}") from error
        await self._server.start()
        self._socket.chmod(0o600)

    async def stop(self) -> None:
        """End all streams. Envoy goes on with what it has."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None
        with suppress(FileNotFoundError):
            self._socket.unlink()

    async def StreamAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802 - gRPC
        """Serve one stream."""
        await Stream(self._keeper).run(requests, context.write)


def _parsed(message: Any) -> Request | None:
    try:
        kind = ResourceType(message.type_url)
    except ValueError:
        _log.warning("Envoy asks for %s, which the router does not have", message.type_url)
        return None
    return Request(
        type=kind,
        version=message.version_info,
        nonce=message.response_nonce,
        names=frozenset(message.resource_names),
        error=_readable(message.error_detail.message) if message.HasField("error_detail") else None,
    )


def _readable(message: str) -> str:
    """Envoy's reason without the dump of the refused configuration that it may put before it."""
    reason = re.sub(r"goo\.gle/debug\w+\s.*\n\}", "", message, flags=re.DOTALL).strip(" :\n")
    return " ".join(reason.split())[:REASON_CHARACTERS]


def _message(response: Response) -> Any:
    resources = response.resources
    return discovery_pb2.DiscoveryResponse(
        version_info=resources.version,
        type_url=response.type.value,
        nonce=response.nonce,
        resources=[
            any_pb2.Any(type_url=response.type.value, value=resources.items[name]) for name in sorted(resources.items)
        ],
    )
