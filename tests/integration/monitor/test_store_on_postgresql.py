"""The store in a real PostgreSQL: the same as in SQLite."""

from hypothesis import settings
from monitorkit import running
from postgresql import PostgreSQL, emptied
from storecases import (
    ExposureCases,
    FeedbackCases,
    MigrationCases,
    RecordsCases,
    RetentionCases,
    check_history,
    histories_and_periods,
    quick,
)


class TestRecords(RecordsCases):
    pass


class TestFeedback(FeedbackCases):
    pass


class TestExposures(ExposureCases):
    pass


class TestRetention(RetentionCases):
    pass


class TestMigrations(MigrationCases):
    pass


@settings(quick, max_examples=15)
@histories_and_periods
async def test_tallies_are_what_counting_finds(
    shared_server: PostgreSQL, history: list[object], asked: list[tuple[float, float | None]]
) -> None:
    await emptied(shared_server.url)
    async with running(shared_server.url) as store:
        await check_history(store, history, asked)
