"""The database, or the monitor, is killed while records come in: all that was accepted is there afterwards, once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from monitorkit import DEADLINE, OF, Sender, api, record, reward, running, tallies
from monitorprocess import Place
from postgresql import PostgreSQL

from monitor.client import MonitorClient
from monitor.store.metrics import Metrics
from monitor.store.spool import Spool

KILLS = 3
SIZE = 50
PAUSE = 0.01
"""Seconds between what one sender sends: nobody can catch up with one that the spool answers at once."""


def waiting(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("tidegate_monitor_spool_entries") or 0.0


async def until(true: Callable[[], bool]) -> None:
    """Return once it is true of a process outside, or of a metric."""
    async with asyncio.timeout(2 * DEADLINE):
        while not true():  # noqa: ASYNC110 - neither can be awaited
            await asyncio.sleep(0.02)


async def test_while_the_database_is_killed_again_and_again_everything_is_accepted_and_stored_once(
    server: PostgreSQL, metrics: Metrics, tmp_path: Path
) -> None:
    async with running(server.url, metrics, spool=Spool(tmp_path, 1 << 30)) as store, api(store, metrics) as client:
        sent = 0
        heard = 0
        ending = asyncio.Event()

        async def send(sender: Sender) -> None:
            nonlocal sent
            while not ending.is_set():
                body = sender.document(*(record(f"{sender.replica}-{sender.batch}-{n}") for n in range(SIZE)))
                answer = await client.post("/internal/v1/records", json=body)
                assert (answer.status_code, answer.json()) == (200, {"accepted": SIZE})
                sent += SIZE
                await asyncio.sleep(PAUSE)

        async def rate(sender: Sender) -> None:
            """Feedback for records that have been sent, and for some that never will be."""
            nonlocal heard
            number = 0
            while not ending.is_set():
                items = [reward(f"{sender.replica}-{number}-{n}", 1) for n in range(SIZE)]
                answer = await client.post(
                    "/api/v1/models/iris/feedback", json={"items": items}, headers={"tidegate-route": "/".join(OF)}
                )
                assert (answer.status_code, answer.json()["accepted"]) == (202, SIZE)
                number += 1
                heard = max(heard, number)
                await asyncio.sleep(PAUSE)

        async def more(count: int) -> None:
            wanted = sent + count
            await until(lambda: sent >= wanted)

        senders = [Sender(replica=f"replica-{place}") for place in range(4)]
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(send(sender))
            group.create_task(rate(senders[0]))
            for _ in range(KILLS):
                await more(5 * SIZE)
                await asyncio.to_thread(server.kill)
                await more(5 * SIZE)
                assert waiting(metrics)
                await asyncio.to_thread(server.start)
                await more(5 * SIZE)
            ending.set()
        await until(lambda: not waiting(metrics))
        found = (await tallies(store))["v1"]
        assert found.requests == sent
        assert found.rewards.count == min(heard, senders[0].batch) * SIZE
        assert metrics.registry.get_sample_value("tidegate_monitor_spool_refused_entries_total") == 0


async def test_a_monitor_killed_again_and_again_while_the_database_is_away_loses_nothing_accepted(
    server: PostgreSQL, tmp_path: Path
) -> None:
    place = Place(tmp_path, TIDEGATE_MONITOR_DATABASE=server.url)
    senders = [Sender(replica=f"replica-{n}") for n in range(3)]
    accepted = 0

    async def send(ready: bool) -> None:
        nonlocal accepted
        async with place.running(ready=ready) as process:
            for sender in senders * 5:
                names = [f"{sender.replica}-{sender.batch}-{n}" for n in range(SIZE)]
                answer = await place.send(sender.document(*(record(name, time.time()) for name in names)))
                assert (answer.status_code, answer.json()) == (200, {"accepted": SIZE})
                accepted += SIZE
            process.kill()
            await process.wait()

    await send(ready=True)
    server.kill()
    for _ in range(KILLS):
        await send(ready=False)
        newest = max((tmp_path / "spool").glob("*.spool"))
        with newest.open("ab") as file:
            file.write(b"\xff\x00\x00\x00torn")  # as a write that the kill interrupted
    await asyncio.to_thread(server.start)
    async with place.running(), MonitorClient(place.url, place.token) as client:
        await until(lambda: not list((tmp_path / "spool").glob("*.spool")))
        assert (await client.tallies(*OF, 0))["v1"].requests == accepted
