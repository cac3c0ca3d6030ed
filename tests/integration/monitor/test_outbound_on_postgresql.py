"""Events, channels, the lease and CloudEvents on PostgreSQL, with two monitors on one database."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from monitorkit import NOON, Sender, record, running
from outboundkit import DEADLINE, Receiver, event, receiving, webhook
from prometheus_client import CollectorRegistry

from monitor.outbound import courier, forward, lease
from monitor.outbound.events import page
from monitor.outbound.forward import Forwarder, Sink
from monitor.outbound.hooks import Hooks
from monitor.outbound.metrics import Metrics
from monitor.outbound.outbox import Outbox
from monitor.outbound.service import Outbound
from monitor.store.service import Store


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (courier, forward):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)


async def test_events_are_kept_once_and_listed_newest_first(store: Store) -> None:
    outbox = Outbox(store)
    assert await outbox.emit(*(event(str(n), at=NOON + n % 3, details={"n": n}) for n in range(6))) == 6
    assert await outbox.emit(event("0"), event("6", at=NOON)) == 1
    async with store.reading() as connection:
        first = await page(connection, {"kind": "rollout"}, None, 4)
        rest = await page(connection, {"kind": "rollout"}, first.after, 4)
    assert [one.key for one in (*first.events, *rest.events)] == ["5", "2", "4", "1", "6", "3", "0"]
    assert first.events[0].details == {"n": 5}


async def test_two_monitors_on_one_database_tell_of_every_event_once(url: str, receiver: Receiver) -> None:
    ops = webhook(receiver.url)
    async with running(url) as one, running(url) as other:
        work = [
            asyncio.create_task(Outbound(store, [ops], None, Metrics(CollectorRegistry())).run())
            for store in (one, other)
        ]
        for n in range(12):
            assert await Outbox((one, other)[n % 2], [ops]).emit(event(str(n))) == 1
            assert await Outbox((other, one)[n % 2], [ops]).emit(event(str(n))) == 0
            await receiver.has(n + 1)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        assert [got.keys for got in receiver.got] == [[str(n)] for n in range(12)]


async def test_records_of_several_days_are_forwarded_in_the_order_in_which_they_came(
    store: Store, receiver: Receiver
) -> None:
    hooks, sender = Hooks(), Sender()
    forwarder = Forwarder(Sink(receiver.url), hooks, store, Metrics(CollectorRegistry()))
    task = asyncio.create_task(forwarder.run())

    async def place() -> int | None:
        async with store.reading() as connection:
            return await forward._position(connection)

    async with asyncio.timeout(DEADLINE):
        while True:
            if await place() is not None:
                break
            await asyncio.sleep(0.02)
    now = time.time() // 86_400 * 86_400
    for n in range(6):
        await store.store(sender.send(record(str(n), now - n % 3 * 86_400)))
    got = await receiver.has(1)
    async with asyncio.timeout(DEADLINE):
        while True:
            got = list(receiver.got)
            ids = [one["id"] for each in got for one in each.content if one["type"].endswith("request")]
            if len(ids) >= 6:
                break
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await hooks.close()
    assert ids == [str(n) for n in range(6)]
