"""Tables of an earlier release with rows in them, whatever the database: fixtures as in `storecases`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from monitorkit import NOON, OF, Sender, label, record, reward, running, said, tallies
from paircases import answers, copy, live, stored
from sqlalchemy import Connection, TextClause, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

import monitor.store.migrations
from monitor.store.database import database_url
from monitor.store.feedback import Heard
from monitor.store.schema import MICROSECONDS, MINUTE, records
from monitor.store.senders import Taken
from monitor.store.service import Store

DAY = 86_400
TIMES = [round((NOON + day * DAY) * MICROSECONDS) for day in range(3)]
MODEL = dict(zip(("namespace", "model", "version"), (*OF, "v1"), strict=True))


async def made_before(url: str, revision: str) -> None:
    """Tables as they were, with a request each day for three days and feedback for the second."""

    def make(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(monitor.store.migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    rows = [
        MODEL
        | {"request_id": str(day), "at": at, "status": 200, "ms": 1.5, "mirrored": False, "rows": 1, "share": 500}
        | {"key": f"u{day}", "inputs": {"x": [day]}, "outputs": {"predict": ["é"]}}
        for day, at in enumerate(TIMES)
    ]
    given = {"at": TIMES[1], "share": 500, "correct": True, "label": '"é"', "reward": 0.5, "received_at": TIMES[1]}
    nothing = dict.fromkeys(
        ("errors", "rewards", "reward_sum", "reward_squares", "other_rewards", "labels", "correct"), 0
    )
    rated = {"rewards": 1, "reward_sum": 0.5, "reward_squares": 0.25, "other_rewards": 1, "labels": 1, "correct": 1}
    engine = create_async_engine(database_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(make)
        await connection.execute(insert(records), rows)
        await connection.execute(into("feedback", MODEL | given | {"request_id": "1"}))
        await connection.execute(
            into("senders", {"replica": "replica-1", "batch": 3, "dropped": 0, "seen_at": TIMES[2]})
        )
        for day, at in enumerate(TIMES):
            sums = MODEL | nothing | {"minute": at // MINUTE, "share": 500, "requests": 1}
            await connection.execute(into("tallies", sums | (rated if day == 1 else {})))
    await engine.dispose()


def into(table: str, row: Mapping[str, object]) -> TextClause:
    """What adds a row to a table as it was."""
    values = ", ".join(f":{name}" for name in row)
    return text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})").bindparams(**row)


async def kept(store: Store) -> list[tuple[Any, ...]]:
    """The records, in the order in which they came."""
    names = ("id", "request_id", "at", "key", "inputs", "outputs")
    query = select(*(records.c[name] for name in names)).order_by(records.c.id)
    async with store.reading() as connection:
        return [tuple(row) for row in await connection.execute(query)]


class UpgradeCases:
    async def test_rows_of_the_first_tables_are_there_afterwards_and_go_on_being_used(self, url: str) -> None:
        await made_before(url, "records")
        async with running(url) as store:
            found = (await tallies(store))["v1"]
            assert (found.requests, found.rewards.sum, found.labels.correct) == (3, 0.5, 1)
            assert await kept(store) == [
                (n + 1, str(n), TIMES[n], f"u{n}", {"x": [n]}, {"predict": ["é"]}) for n in range(3)
            ]
            sender = Sender()
            sender.batch = 2
            assert (await store.store(sender.send(record("again")))).repeated
            assert await store.store(sender.send(live("new", 1, at=NOON + 2 * DAY))) == Taken(1)
            assert await store.hear(said(label("0", "é"), reward("new", 1), label("1", "é"))) == Heard(3, unknown=0)
            assert await answers(store) == {"0": "é", "1": None, "new": 1}
            await store.store(Sender("v2", "other").send(copy("2", "x", at=NOON + 2 * DAY)))
            assert await stored(store, "request_id", "stable", "candidate", "agree") == [("2", "v1", "v2", False)]
            assert (await tallies(store))["v1"].requests == 4
            assert [name for _, name, *_ in await kept(store)] == ["0", "1", "2", "new", "2"]
