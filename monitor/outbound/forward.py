"""Forwards records to a sink as CloudEvents, in the order in which they were stored, each at least once.

How far it has come is kept in the store. A sink that is away is waited for; what becomes too old meanwhile is counted.
Ingest does not wait for any of this: rows are read a page at a time, and the place is noted after every request.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.outbound.channels import BadSecret, read_secret
from monitor.outbound.cloudevents import BATCH_TYPE, JSON_TYPE, events_of
from monitor.outbound.hooks import Hooks, Post
from monitor.outbound.message import NotDelivered, Refused
from monitor.outbound.metrics import Metrics
from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.dialect import inserting
from monitor.store.schema import cursors, records
from monitor.store.service import Store

Mode = Literal["batch", "single"]

CURSOR: Final = "cloudevents"
SEND_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
PAGE: Final = 100
"""Records that are read, and sent in one batch, at most."""
LARGEST_BATCH: Final = 1 << 20
"""Bytes of one batch, unless a single record has more."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sink:
    """Where records go: an HTTP endpoint that takes CloudEvents, with a bearer token if there is a file with one.

    `mode`: `batch` has many events in one request, `single` is the binary mode of KServe's logger, one after the other.
    """

    url: str = field(repr=False)
    token_file: Path | None = None
    mode: Mode = "batch"


class Forwarder:
    """Sends what is stored while `run` runs. For one process at a time."""

    def __init__(self, sink: Sink, hooks: Hooks, store: Store, metrics: Metrics) -> None:
        self._sink = sink
        self._hooks = hooks
        self._store = store
        self._metrics = metrics
        self._together = PAGE
        self._failures = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                pause = await self._page()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("records are not forwarded now: %s", error)
                pause = LOOK_SECONDS
            await asyncio.sleep(pause)

    async def expire(self, before: int) -> None:
        """Count what is about to be deleted, being from before that time (µs), without ever having been sent."""
        async with self._store.reading() as connection:
            position = await _position(connection)
            if position is not None:
                late = select(func.count()).where(records.c.id > position, records.c.at < before)
                self._metrics.unsent.inc(await connection.scalar(late) or 0)

    async def _page(self) -> float:
        """Send a page; the seconds until the next one."""
        async with self._store.reading() as connection:
            newest = await connection.scalar(select(func.max(records.c.id))) or 0
            position = await _position(connection)
            query = select(records).where(records.c.id > (position or 0)).order_by(records.c.id).limit(PAGE)
            rows = [] if position is None else (await connection.execute(query)).all()
        if position is None:  # it begins with what comes from now on
            await self._move(newest)
            return 0.0
        self._metrics.lag.set(max(0, newest - position))  # there may be no records left
        if not rows:
            return LOOK_SECONDS
        place = position
        try:
            for part in _parts(rows, 1 if self._sink.mode == "single" else self._together):
                if not await self._send(part):
                    return _pause(self._failures) if self._failures else 0.0
                place = part[-1].id
        finally:
            if place > position:
                await self._move(place)
        return 0.0

    async def _send(self, part: Sequence[Any]) -> bool:
        """Whether these records are done with."""
        try:
            for post, kind in self._posts(part):
                async with asyncio.timeout(SEND_SECONDS):
                    await self._post(post, kind)
        except (NotDelivered, TimeoutError) as failure:
            self._metrics.forward_failures.inc()
            if isinstance(failure, Refused) and failure.status == 413:
                return self._shrink(part)
            self._failures += 1
            if self._failures == 1:
                reason = str(failure) or f"it did not answer within {SEND_SECONDS:g} seconds"
                log.warning("the sink of CloudEvents: %s; records wait for it", reason)
            return False
        if self._failures:
            log.info("the sink of CloudEvents works again")
        self._failures = 0
        self._together = min(2 * self._together, PAGE)
        self._metrics.forwarded.inc(len(part))
        return True

    def _shrink(self, part: Sequence[Any]) -> bool:
        """Send fewer at once; one alone that is too large is left out."""
        if len(part) > 1:
            self._together = max(len(part) // 2, 1)
            return False
        self._metrics.refused.inc()
        log.warning("the sink of CloudEvents finds request %s too large; it is left out", part[0].request_id)
        return True

    def _posts(self, part: Sequence[Any]) -> Iterator[tuple[Post, str | None]]:
        events = [event for record in part for event in events_of(record)]
        if self._sink.mode == "single":
            yield from ((event.binary(), None if event.data is None else JSON_TYPE) for event in events)
        else:
            yield Post(orjson.dumps([event.structured() for event in events]), {}), BATCH_TYPE

    async def _post(self, post: Post, kind: str | None) -> None:
        headers = dict(post.headers)
        if self._sink.token_file is not None:
            try:
                headers["authorization"] = f"Bearer {await asyncio.to_thread(read_secret, self._sink.token_file)}"
            except BadSecret as error:
                raise NotDelivered(str(error)) from error
        await self._hooks.post(self._sink.url, Post(post.body, headers), kind=kind)

    async def _move(self, position: int) -> None:
        async with self._store.writing() as connection:
            statement = inserting(connection, cursors).values(name=CURSOR, position=position)
            new = {"position": statement.excluded.position}
            await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=new))


async def _position(connection: AsyncConnection) -> int | None:
    """The last record that was sent; None when nothing ever was."""
    return await connection.scalar(select(cursors.c.position).where(cursors.c.name == CURSOR))


def _parts(rows: Sequence[Any], together: int) -> Iterator[Sequence[Any]]:
    """The rows in groups, none of which has too many of them or too much in them."""
    part: list[Any] = []
    size = 0
    for row in rows:
        content = len(orjson.dumps((row.inputs, row.outputs)))
        if part and (len(part) == together or size + content > LARGEST_BATCH):
            yield part
            part, size = [], 0
        part.append(row)
        size += content
    yield part


def _pause(failures: int) -> float:
    return float(min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE))
