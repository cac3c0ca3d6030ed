"""Of several monitors on one database, one does the work."""

import asyncio
import time

import pytest
from monitorkit import Clock, running
from outboundkit import DEADLINE

from monitor.outbound import lease as module
from monitor.outbound.lease import Lease
from monitor.store.service import Store

pytestmark = pytest.mark.usefixtures("quick")


class Work:
    """Says when it is begun and ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        self.ended.clear()
        self.begun.set()
        try:
            await asyncio.Future()
        finally:
            self.begun.clear()
            self.ended.set()


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE):
        await event.wait()


async def test_one_works_and_another_takes_over_when_it_ends(store: Store) -> None:
    one, other = Work(), Work()
    first = asyncio.create_task(Lease("work", store, time.time).run(one.run))
    await happens(one.begun)
    second = asyncio.create_task(Lease("work", store, time.time).run(other.run))
    elsewhere = Work()
    third = asyncio.create_task(Lease("other work", store, time.time).run(elsewhere.run))
    await happens(elsewhere.begun)
    assert not other.begun.is_set()
    await end(first)
    assert one.ended.is_set()
    await happens(other.begun)
    await end(second)
    await end(third)


async def test_one_that_was_killed_is_followed_once_its_lease_has_run_out(store: Store) -> None:
    clock = Clock()
    assert await Lease("work", store, clock)._take() is True
    other = Work()
    task = asyncio.create_task(Lease("work", store, clock).run(other.run))
    assert await Lease("work", store, clock)._take() is False
    assert not other.begun.is_set()
    clock.now += module.LEASE_SECONDS + 1
    await happens(other.begun)
    await end(task)


async def test_one_that_was_too_slow_to_renew_stops_when_another_has_taken_over(store: Store) -> None:
    clock, work = Clock(), Work()
    task = asyncio.create_task(Lease("work", store, clock).run(work.run))
    await happens(work.begun)
    late = Clock(clock.now + module.LEASE_SECONDS + 1)
    assert await Lease("work", store, late)._take() is True
    await happens(work.ended)
    await end(task)


async def test_what_goes_wrong_in_the_work_comes_out(store: Store) -> None:
    async def fail() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await Lease("work", store, time.time).run(fail)


async def test_without_its_store_a_process_stops_before_another_may_begin(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.3)
    work = Work()
    async with running(url) as store:
        lease = Lease("work", store, time.time)

        async def away() -> None:
            return None

        task = asyncio.create_task(lease.run(work.run))
        await happens(work.begun)
        monkeypatch.setattr(lease, "_take", away)
        await happens(work.ended)
        await end(task)
