"""The store in a SQLite file."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from monitorkit import Sender, record, running
from paircases import AnswerCases, PairCases, check_pairs, sent_halves
from retentioncases import RetentionCases
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from storecases import (
    ExposureCases,
    FeedbackCases,
    MigrationCases,
    RecordsCases,
    check_history,
    histories_and_periods,
    quick,
)
from upgradecases import UpgradeCases, into, kept, made_before

from monitor.store.database import Database, StoreUnavailable, database_url
from monitor.store.service import Store


class TestRecords(RecordsCases):
    pass


class TestFeedback(FeedbackCases):
    pass


class TestExposures(ExposureCases):
    pass


class TestPairs(PairCases):
    pass


class TestAnswers(AnswerCases):
    pass


class TestRetention(RetentionCases):
    pass


class TestMigrations(MigrationCases):
    pass


class TestUpgrades(UpgradeCases):
    pass


async def test_after_an_upgrade_new_records_come_after_those_that_somebody_has_dealt_with(url: str) -> None:
    await made_before(url, "watches")
    engine = create_async_engine(database_url(url))
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM records"))
        await connection.execute(into("cursors", {"name": "cloudevents", "position": 3}))
    await engine.dispose()
    async with running(url) as store:
        await store.store(Sender(replica="new").send(record("new")))
        assert [(number, name) for number, name, *_ in await kept(store)] == [(4, "new")]


async def test_the_files_are_the_owners_alone(store: Store, tmp_path: Path) -> None:
    await store.store(Sender().send(record("1")))
    modes = {name: os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)}  # noqa: PTH116, PTH208
    assert modes == {"records.db": 0o600, "records.db-shm": 0o600, "records.db-wal": 0o600}


async def test_a_damaged_file_is_unavailable_in_words(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"no database at all" * 1000)
    database = Database(database_url(f"sqlite:///{tmp_path}/records.db"))
    with pytest.raises(StoreUnavailable, match=r"records.db cannot be used: file is not a database"):
        await database.migrate()
    await database.close()


@settings(quick, max_examples=60)
@histories_and_periods
async def test_tallies_are_what_counting_finds(history: list[object], asked: list[tuple[float, float | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(f"sqlite:///{Path(folder) / 'records.db'}") as store:
            await check_history(store, history, asked)


@settings(quick, max_examples=60)
@sent_halves
async def test_pairs_are_what_going_through_everything_finds(sent: list[tuple[str, list[dict[str, object]]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(f"sqlite:///{Path(folder) / 'records.db'}") as store:
            await check_pairs(store, sent)
