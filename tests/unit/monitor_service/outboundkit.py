"""What tests of what leaves the monitor have in common: events, channels, a receiver, and work beside a test."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from monitor.event import Event
from monitor.outbound.channels import Slack, Webhook
from monitor.outbound.courier import Courier
from monitor.outbound.hooks import Hooks
from monitor.outbound.metrics import Metrics
from monitor.outbound.outbox import Outbox
from monitor.store.schema import deliveries
from monitor.store.service import Store

DEADLINE = 60.0


def event(key: str, **changes: Any) -> Event:
    """A rollout of default/iris that was aborted just now."""
    values: dict[str, Any] = {
        "key": key,
        "namespace": "default",
        "model": "iris",
        "kind": "rollout",
        "severity": "warning",
        "at": time.time(),
        "title": f"Aborted: {key}",
        "message": "it was aborted",
    }
    return Event.model_validate(values | changes)


def webhook(url: str, name: str = "ops", **more: Any) -> Webhook:
    return Webhook.model_validate({"name": name, "kind": "webhook", "url": url} | more)


def slack(url: str | None, name: str = "team", **more: Any) -> Slack:
    return Slack.model_validate({"name": name, "kind": "slack", "url": url} | more)


@dataclass(frozen=True)
class Got:
    """One request, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def keys(self) -> list[str]:
        """The keys of the events in a webhook's message."""
        return [one["key"] for one in self.content["events"]]


Answer = Callable[[Got], Coroutine[Any, Any, web.Response]]


@dataclass
class Receiver:
    """Answers 204, or by the next of `answers` as long as there are some: a status, or something more special."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int | Answer] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        got = Got(request.path, request.headers, await request.read())
        async with self.news:
            self.got.append(got)
            self.news.notify_all()
        answer = self.answers.pop(0) if self.answers else 204
        return web.Response(status=answer) if isinstance(answer, int) else await answer(got)

    async def has(self, count: int) -> Sequence[Got]:
        """What came, once it is that much."""
        async with asyncio.timeout(DEADLINE), self.news:
            await self.news.wait_for(lambda: len(self.got) >= count)
        return list(self.got)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def working(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that work beside the block. When one fails, so does the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


@dataclass
class Bench:
    """Couriers on a store, and what they count."""

    store: Store
    clock: Callable[[], float] = time.time
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    hooks: Hooks = field(default_factory=Hooks)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)

    @asynccontextmanager
    async def couriers(self, *channels: Webhook | Slack) -> AsyncIterator[None]:
        """Have these channels tell of what is noted for them."""

        def send_to(channel: Webhook | Slack) -> Any:
            return lambda message, now: self.hooks.send(channel, message, now)

        work = [Courier(one.name, send_to(one), self.store, self.metrics, self.clock).run() for one in channels]
        try:
            async with working(*work):
                yield
        finally:
            await self.hooks.close()

    def outbox(self, *channels: Webhook | Slack) -> Outbox:
        """Where events for these channels go in."""
        return Outbox(self.store, channels, self.clock)

    def counted(self, name: str, channel: str = "ops") -> float:
        return self.registry.get_sample_value(f"tidegate_notifications_{name}_total", {"channel": channel}) or 0.0

    async def rows(self) -> Sequence[Any]:
        async with self.store.reading() as connection:
            return (await connection.execute(select(deliveries).order_by(deliveries.c.event_id))).all()

    async def done(self, count: int) -> Sequence[Any]:
        """All rows, once that many are settled."""
        return await self._until(lambda rows: sum(row.done_at is not None for row in rows) >= count)

    async def failed(self, attempts: int) -> Any:
        """The only row, once it was tried so often."""
        (row,) = await self._until(lambda rows: bool(rows) and rows[0].attempts >= attempts)
        return row

    async def _until(self, reached: Callable[[Sequence[Any]], bool]) -> Sequence[Any]:
        async with asyncio.timeout(DEADLINE):
            while True:
                rows = await self.rows()
                if reached(rows):
                    return rows
                await asyncio.sleep(0.01)
