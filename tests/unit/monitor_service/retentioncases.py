"""What goes when it is too old, whatever the database: fixtures as in `storecases`."""

from monitorkit import NOON, OF, Clock, Sender, record, reward, said, tallies
from sqlalchemy import Table, func, insert, select
from storecases import measured

from monitor.store.feedback import Heard
from monitor.store.metrics import Metrics
from monitor.store.schema import MICROSECONDS, baselines, exposures, pairs, records, watches
from monitor.store.service import Store


class RetentionCases:
    async def test_what_is_older_than_the_retention_goes_and_the_rest_stays(self, store: Store, clock: Clock) -> None:
        sender = Sender()
        await store.store(sender.send(*(record(str(n), NOON, key=f"u{n}") for n in range(2_500))))
        await store.hear(said(*(reward(str(n), 1) for n in range(500))))
        clock.now = NOON + 80_000
        await store.store(sender.send(record("new", clock.now, key="w")))
        await store.hear(said(reward("new", 1)))
        await store.clean()
        assert (await tallies(store))["v1"].requests == 2_501
        clock.now = NOON + 86_400 + 40_000  # a day later than the end of the first one's day
        await store.clean()
        found = (await tallies(store))["v1"]
        assert (found.requests, found.rewards.count) == (1, 1)
        assert [it.key for it in (await store.exposures(*OF, 0, 10)).exposures] == ["w"]
        assert await store.hear(said(reward("1", 0))) == Heard(1, unknown=1)

    async def test_every_model_is_cleaned(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        for place in range(7):
            sender = Sender(replica=f"r{place}", namespace=f"n{place % 3}", model=f"m{place}")
            await store.store(sender.send(record("1"), record("2", mirrored=True)))
        clock.now = NOON + 86_400 + 40_000
        await store.clean()
        assert measured(metrics, "deleted_rows_total") == 7 * 4  # two records, their minute, the sender

    async def test_watches_go_with_the_last_record_of_their_version(self, store: Store, clock: Clock) -> None:
        fixed = {"namespace": OF[0], "model": OF[1], "family": "features", "reference": "", "position": 0, "state": {}}
        await store.store(Sender("v1").send(record("1", NOON)))
        clock.now = NOON + 86_400 + 40_000
        await store.store(Sender("v2", "replica-2").send(record("2", clock.now)))
        async with store.writing() as connection:
            await connection.execute(insert(watches), [fixed | {"version": name} for name in ("v1", "v2")])
        await store.clean()
        assert await versions(store, watches) == {"v2"}

    async def test_profiles_go_with_the_last_record_of_their_version_or_when_none_came(
        self, store: Store, clock: Clock
    ) -> None:
        later = NOON + 86_400 + 40_000
        await store.store(Sender("v1").send(record("1", NOON)))
        await store.store(Sender("v2", "replica-2").send(record("2", later)))
        fixed = {"namespace": OF[0], "model": OF[1], "source": "file", "features": "{}"}
        made = {"v1": NOON, "v2": NOON, "never-asked": NOON, "new": later}
        async with store.writing() as connection:
            rows = [fixed | {"version": name, "made_at": round(at * MICROSECONDS)} for name, at in made.items()]
            await connection.execute(insert(baselines), rows)
        await store.clean()
        assert await versions(store, baselines) == {"v1", "v2", "never-asked", "new"}
        clock.now = later
        await store.clean()
        assert await versions(store, baselines) == {"v2", "new"}

    async def test_a_number_is_given_once_even_when_all_rows_have_gone(self, store: Store, clock: Clock) -> None:
        async def numbers() -> dict[str, int]:
            async with store.reading() as connection:
                tables = (records, pairs, exposures)
                return {it.name: await connection.scalar(select(func.max(it.c.id))) or 0 for it in tables}

        async def asked(name: str) -> None:
            for version, mirrored in (("v1", False), ("v2", True)):
                it = record(name, clock.now, mirrored=mirrored, key=f"u{name}", outputs={"predict": [1]})
                await store.store(Sender(version, f"{version}-{name}").send(it))

        await asked("1")
        await asked("2")
        before = await numbers()
        clock.now += 86_400 + 86_400
        await store.clean()
        assert await numbers() == {"records": 0, "pairs": 0, "exposures": 0}
        await asked("3")
        after = await numbers()
        assert min(before.values()) > 0
        assert all(after[name] > before[name] for name in before)


async def versions(store: Store, table: Table) -> set[str]:
    """Those that rows of the table are about."""
    async with store.reading() as connection:
        return set((await connection.execute(select(table.c.version))).scalars())
