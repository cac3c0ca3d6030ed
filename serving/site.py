"""What all connections of one server share: its limits, its handler, its recorder, and the counts."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from serving.exchange import Exchange
from serving.limits import Limits


class Recording(Protocol):
    """What gets every exchange that was answered."""

    def add(self, exchange: Exchange, status: int) -> None:
        """Take note of it. Never waits or raises."""


class Open(Protocol):
    """A connection, as far as its server must know it."""

    @property
    def busy(self) -> bool:
        """Whether it owes an answer, or a request has begun to arrive."""

    def check(self, now: float) -> None:
        """Close it if it has taken longer than it may."""

    def abort(self) -> None:
        """Close it at once."""


class Site:
    """What all connections of one server share. Belongs to the loop's thread."""

    def __init__(
        self,
        version: str,
        body_bytes: int,
        limits: Limits,
        handle: Callable[[Exchange], None],
        loop: asyncio.AbstractEventLoop,
        *,
        recorder: Recording | None = None,
    ) -> None:
        self.body_bytes = body_bytes
        self.limits = limits
        self.handle = handle
        self.loop = loop
        self.recorder = recorder
        """Gets every exchange that was answered; None where no records are kept."""
        self.draining = False
        """When set, every connection is closed after the answers that it is owed."""
        self.connections: set[Open] = set()
        self.requests = 0
        """How many requests have been accepted, ever."""
        self.in_flight = 0
        """How many of them wait for their answers."""
        self.last_request = loop.time()
        self._version = version.encode("ascii")
        self._heads: dict[int, bytes] = {}
        self._other_heads: dict[tuple[int, bytes], bytes] = {}

    def head(self, status: int) -> bytes:
        """The first bytes of every answer in JSON with this status, up to the value of `x-request-id`."""
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = self.head_of(status, b"application/json")
        return head

    def head_of(self, status: int, media: bytes) -> bytes:
        """The same for an answer of another content type."""
        head = self._other_heads.get((status, media))
        if head is None:
            head = self._other_heads[status, media] = (
                b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ntidegate-version: %b\r\nx-request-id: "
                % (status, HTTPStatus(status).phrase.encode(), media, self._version)
            )
        return head

    def sweep(self) -> None:
        """Let every connection look at its clock. Called a few times in the shortest of the limits' times."""
        now = self.loop.time()
        for connection in tuple(self.connections):
            connection.check(now)

    def busy(self) -> bool:
        """Whether any request is not answered, has begun to arrive, or has its answer still on the way out."""
        return self.in_flight > 0 or any(connection.busy for connection in self.connections)

    def close(self) -> None:
        """Close every connection at once."""
        for connection in tuple(self.connections):
            connection.abort()
