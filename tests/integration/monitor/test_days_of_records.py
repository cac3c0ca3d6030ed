"""Partitions of a real PostgreSQL: a day each, made when they are needed and dropped as a whole."""

import asyncio

import pytest
from monitorkit import DEADLINE, NOON, OF, Clock, Sender, record, running, tallies
from sqlalchemy import select, text
from upgradecases import made_before

from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.metrics import Metrics
from monitor.store.schema import records
from monitor.store.service import Store

DAY = 86_400
"""Seconds. `NOON` is on 21 September 2026, at 14:13 UTC."""


async def days(store: Store) -> dict[str, int]:
    """The partitions and how many rows each has."""
    found = {}
    async with store.reading() as connection:
        query = text(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'records'::regclass ORDER BY 1"
        )
        for name in (await connection.execute(query)).scalars().all():
            found[name] = (await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one()
    return found


async def until_made(store: Store, name: str) -> None:
    """Return once housekeeping has made this partition."""
    async with asyncio.timeout(DEADLINE):
        while name not in await days(store):  # noqa: ASYNC110 - it happens in the database
            await asyncio.sleep(0.02)


async def test_records_go_into_the_partition_of_their_day(store: Store) -> None:
    await until_made(store, "records_20260922")
    await store.store(Sender().send(record("1"), record("2", NOON - 3 * DAY), record("3", NOON), record("4", 0)))
    assert await days(store) == {
        "records_19700101": 1,
        "records_20260918": 1,
        "records_20260921": 2,
        "records_20260922": 0,
    }


async def test_rows_of_an_earlier_release_are_moved_into_their_days(url: str) -> None:
    await made_before(url, "records")
    async with running(url) as store:
        await until_made(store, "records_20260922")
        assert await days(store) == {"records_20260921": 1, "records_20260922": 1, "records_20260923": 1}


async def test_a_day_that_is_over_is_dropped_and_its_records_are_counted(
    store: Store, clock: Clock, metrics: Metrics
) -> None:
    await until_made(store, "records_20260922")
    await store.store(Sender().send(*(record(str(n), NOON) for n in range(5)), record("next", NOON + DAY)))
    clock.now = NOON + 2 * DAY
    await store.clean()
    assert await days(store) == {"records_20260922": 1}
    assert (
        metrics.registry.get_sample_value("tidegate_monitor_deleted_rows_total") == 7
    )  # and the minute, and the sender


async def test_a_day_that_somebody_reads_is_dropped_the_next_time(store: Store, clock: Clock) -> None:
    await store.store(Sender().send(record("1", NOON)))
    clock.now = NOON + 2 * DAY
    async with store.reading() as connection:
        assert len((await connection.execute(select(records.c.id))).all()) == 1
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await store.clean()
        assert (await tallies(store))["v1"].requests == 1
    await store.clean()
    assert "records_20260921" not in await days(store)


async def test_a_new_day_waits_for_nobody_who_reads(store: Store) -> None:
    await store.store(Sender().send(record("1", NOON)))
    async with store.reading() as connection:
        assert len((await connection.execute(select(records.c.id))).all()) == 1
        async with asyncio.timeout(DEADLINE):
            await store.store(Sender(replica="other").send(record("2", NOON + 5 * DAY)))
    assert (await days(store))["records_20260926"] == 1


async def test_records_of_many_days_at_once_are_refused(store: Store) -> None:
    with pytest.raises(StoreRefused, match=r"of 101 days that have none yet come at once: is a clock wrong\?"):
        await store.store(Sender().send(*(record(str(n), n * DAY) for n in range(101))))


async def test_a_day_that_has_grown_is_analyzed_at_once(store: Store) -> None:
    sender = Sender()
    for part in range(3):
        names = [f"{part}-{n}" for n in range(5_000)]
        await store.store(sender.send(*(record(name, inputs={"x": [1.5]}) for name in names)))
    query = text("SELECT reltuples FROM pg_class WHERE relname = 'records_20260921'")
    async with store.reading() as connection:
        assert (await connection.execute(query)).scalar_one() >= 5_000
        lookup = select(records.c.id).where(
            records.c.namespace == OF[0], records.c.model == OF[1], records.c.request_id.in_(["0-1", "1-1", "2-2"])
        )
        literal = lookup.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        plan = "\n".join((await connection.execute(text(f"EXPLAIN {literal}"))).scalars())
    assert "Seq Scan on records_20260921" not in plan
