"""The store in a real PostgreSQL: the same as in SQLite."""

from hypothesis import settings
from monitorkit import running
from paircases import AnswerCases, PairCases, check_pairs, sent_halves
from postgresql import PostgreSQL, emptied
from retentioncases import RetentionCases
from storecases import (
    ExposureCases,
    FeedbackCases,
    MigrationCases,
    RecordsCases,
    check_history,
    histories_and_periods,
    quick,
)
from upgradecases import UpgradeCases


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


@settings(quick, max_examples=15)
@histories_and_periods
async def test_tallies_are_what_counting_finds(
    shared_server: PostgreSQL, history: list[object], asked: list[tuple[float, float | None]]
) -> None:
    await emptied(shared_server.url)
    async with running(shared_server.url) as store:
        await check_history(store, history, asked)


@settings(quick, max_examples=15)
@sent_halves
async def test_pairs_are_what_going_through_everything_finds(
    shared_server: PostgreSQL, sent: list[tuple[str, list[dict[str, object]]]]
) -> None:
    await emptied(shared_server.url)
    async with running(shared_server.url) as store:
        await check_pairs(store, sent)
