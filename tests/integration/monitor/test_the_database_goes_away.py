"""PostgreSQL is killed while replicas send: what was accepted is there afterwards, once, and the rest is sent again."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from monitorkit import DEADLINE, Sender, api, record, reward, running, said, tallies, until_ready
from postgresql import PostgreSQL

from monitor.store.database import database_url
from monitor.store.metrics import Metrics
from monitor.store.service import Store

KILLS = 3
SIZE = 50


async def test_a_database_killed_while_replicas_send_loses_nothing_accepted_and_doubles_nothing(
    server: PostgreSQL,
) -> None:
    async with running(server.url) as store, api(store) as client:
        accepted: set[str] = set()
        refused: list[str] = []
        news, ending = asyncio.Condition(), asyncio.Event()

        async def send(sender: Sender) -> None:
            while not ending.is_set():
                names = [f"{sender.replica}-{sender.batch}-{n}" for n in range(SIZE)]
                body = sender.document(*map(record, names))
                while (answer := await client.post("/internal/v1/records", json=body)).status_code != 200:
                    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
                    assert answer.headers["retry-after"] == "1"
                    await note(refused.append, sender.replica)
                    await asyncio.sleep(0.05)
                await note(accepted.update, names)

        async def note(add: Callable[[Any], None], what: object) -> None:
            async with news:
                add(what)
                news.notify_all()

        async def more(of: Collection[str], count: int) -> None:
            wanted = len(of) + count
            async with asyncio.timeout(DEADLINE), news:
                await news.wait_for(lambda: len(of) >= wanted)

        async with asyncio.TaskGroup() as group:
            for place in range(4):
                group.create_task(send(Sender(replica=f"replica-{place}")))
            for _ in range(KILLS):
                await more(accepted, 10 * SIZE)
                await asyncio.to_thread(server.kill)
                await more(refused, 1)
                await asyncio.to_thread(server.start)
            await more(accepted, 10 * SIZE)
            ending.set()
        assert (await tallies(store))["v1"].requests == len(accepted)


async def test_a_monitor_that_starts_before_its_database_waits_for_it(server: PostgreSQL) -> None:
    server.kill()
    store = Store(database_url(server.url), 86_400, Metrics())
    work = asyncio.create_task(store.run())
    async with api(store) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "has not been reached yet" in answer.text
        answer = await client.post("/internal/v1/records", json=Sender().document(record("1")))
        assert answer.status_code == 503
        await asyncio.to_thread(server.start)
        await until_ready(store)
        answer = await client.post("/internal/v1/records", json=Sender().document(record("1")))
        assert answer.json() == {"accepted": 1}
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await store.close()


async def test_questions_to_a_database_that_is_away_are_answered_503_without_its_password(server: PostgreSQL) -> None:
    async with running(server.url) as store, api(store) as client:
        server.kill()
        answer = await client.get("/internal/v1/tallies?namespace=default&model=iris&since=0")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "secret" not in answer.text
        assert "127.0.0.1" in answer.text


async def test_two_monitors_on_one_database_do_not_lose_the_link_between_feedback_and_record(
    server: PostgreSQL,
) -> None:
    async with running(server.url) as one, running(server.url) as other:
        for n in range(40):
            batch = Sender(replica=f"r{n}").send(record(str(n)))
            await asyncio.gather(one.store(batch), other.hear(said(reward(str(n), 1))))
        assert (await tallies(one))["v1"].rewards.count == 40
