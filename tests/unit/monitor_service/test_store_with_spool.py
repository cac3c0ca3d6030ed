"""What is handed in while the database is away: kept on disk, and stored in order when it is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hostilecases import EVENTS, ROUTED, TAKEN, bodies
from monitorkit import DEADLINE, Clock, Sender, api, away, label, record, reward, running, said, started, tallies
from paircases import copy, live, stored
from sqlalchemy import text
from storecases import measured

from monitor.store.database import StoreUnavailable
from monitor.store.feedback import FeedbackConflict, Heard
from monitor.store.metrics import Metrics
from monitor.store.senders import Taken
from monitor.store.service import Store
from monitor.store.spool import Spool
from monitor.tallies import LabelTally


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked is soon said to be away."""
    monkeypatch.setattr("monitor.store.database.CONNECT_SECONDS", 0.05)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 1 << 20)


@pytest.fixture
async def store(url: str, metrics: Metrics, clock: Clock, spool: Spool) -> AsyncIterator[Store]:
    async with running(url, metrics, clock, spool) as opened:
        yield opened


async def until_stored(metrics: Metrics) -> None:
    async with asyncio.timeout(DEADLINE):
        while measured(metrics, "spool_entries"):  # noqa: ASYNC110 - a metric cannot be awaited
            await asyncio.sleep(0.02)


@asynccontextmanager
async def through_an_outage(tmp_path: Path, metrics: Metrics) -> AsyncIterator[None]:
    """The block runs while the database is away; afterwards it is back, and has what was kept."""
    async with away(tmp_path):
        yield
        assert measured(metrics, "spool_entries") > 0
    await until_stored(metrics)


async def test_what_comes_while_the_database_is_away_is_accepted_and_stored_afterwards(
    store: Store, metrics: Metrics, tmp_path: Path
) -> None:
    async with through_an_outage(tmp_path, metrics):
        assert await store.store(Sender("v1", "a").send(record("1", outputs={"predict": ["a"]}))) == Taken(1)
        assert await store.hear(said(label("1", "a"), reward("2", 1))) == Heard(2, unknown=2)
        assert measured(metrics, "spool_entries") == 2
        assert measured(metrics, "spool_bytes") > 100
    found = (await tallies(store))["v1"]
    assert (found.requests, found.labels) == (1, LabelTally(1, 1))
    assert measured(metrics, "spool_replayed_entries_total") == 2
    assert measured(metrics, "spool_bytes") == 0
    assert measured(metrics, "records_total") == 1
    assert measured(metrics, "unknown_feedback_total") == 1


async def test_once_everything_is_stored_what_comes_is_stored_directly(
    store: Store, metrics: Metrics, tmp_path: Path
) -> None:
    async with through_an_outage(tmp_path, metrics):
        await store.store(Sender("v1", "a").send(record("1")))
    assert await store.hear(said(reward("1", 1))) == Heard(1, unknown=0)
    assert measured(metrics, "spool_replayed_entries_total") == 1


async def test_a_batch_that_is_sent_again_during_the_outage_is_stored_once(
    store: Store, metrics: Metrics, tmp_path: Path
) -> None:
    sender = Sender()
    batch = sender.send(record("1"))
    await store.store(batch)
    async with through_an_outage(tmp_path, metrics):
        later = sender.send(record("2"))
        for one in (batch, later, later):
            assert await store.store(one) == Taken(1)
    assert (await tallies(store))["v1"].requests == 2
    assert measured(metrics, "repeated_batches_total") == 2


async def test_feedback_keeps_its_order(store: Store, metrics: Metrics, tmp_path: Path) -> None:
    await store.store(Sender().send(record("1")))
    async with through_an_outage(tmp_path, metrics):
        for value in range(5):
            await store.hear(said(reward("1", value), replace=True))
    assert (await tallies(store))["v1"].rewards.sum == 4


async def test_pairs_are_found_among_what_was_kept(store: Store, metrics: Metrics, tmp_path: Path) -> None:
    await store.store(Sender("v1", "a").send(live("1", 1)))
    async with through_an_outage(tmp_path, metrics):
        await store.store(Sender("v2", "b").send(copy("1", 1), copy("2", 2)))
        await store.store(Sender("v1", "a2").send(live("2", 1)))
    assert await stored(store, "request_id", "agree") == [("1", True), ("2", False)]


async def test_a_contradiction_that_comes_out_later_is_counted_and_logged_and_holds_nothing_up(
    store: Store, metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await store.store(Sender().send(record("1"), record("2")))
    await store.hear(said(reward("1", 1)))
    async with through_an_outage(tmp_path, metrics):
        assert await store.hear(said(reward("1", 0))) == Heard(1, unknown=1)
        await store.hear(said(reward("2", 1)))
    assert (await tallies(store))["v1"].rewards.sum == 2
    assert measured(metrics, "spool_refused_entries_total") == 1
    assert measured(metrics, "feedback_conflicts_total") == 1
    assert "is not stored: another label or reward is known already for request 1" in caplog.text


async def test_an_entry_that_the_database_refuses_does_not_hold_the_others_up(
    store: Store, metrics: Metrics, spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.writing() as connection:
        refuses = "WHEN new.request_id = '2' BEGIN SELECT raise(ABORT, 'not this one'); END"
        await connection.execute(text(f"CREATE TRIGGER choosy BEFORE INSERT ON records {refuses}"))
    async with through_an_outage(tmp_path, metrics):
        await store.store(Sender(replica="a").send(record("1")))
        await spool.append([b'B{"of": "another release"}', b"no entry at all"])
        await store.store(Sender(replica="b").send(record("2")))
        await store.store(Sender(replica="c").send(record("3")))
    assert (await tallies(store))["v1"].requests == 2
    assert measured(metrics, "spool_replayed_entries_total") == 2
    assert measured(metrics, "spool_refused_entries_total") == 3
    assert "a batch of another release: ('namespace',): Field required" in caplog.text
    assert "not this one" in caplog.text


async def test_unusual_values_are_stored_after_an_outage_as_at_any_other_time(
    store: Store, metrics: Metrics, tmp_path: Path
) -> None:
    async with api(store, metrics) as client, through_an_outage(tmp_path, metrics):
        for number, value in enumerate(TAKEN):
            for path, body in bodies(value, str(number)).values():
                if path != EVENTS:
                    assert (await client.post(path, content=body, headers=ROUTED)).status_code in (200, 202)
    assert (await tallies(store))["v1"].requests == len(TAKEN)
    assert measured(metrics, "feedback_total") == len(TAKEN)
    assert measured(metrics, "spool_refused_entries_total") == 0


async def test_a_full_spool_sends_away_and_what_it_holds_is_stored(
    url: str, metrics: Metrics, clock: Clock, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", 2_000)
    async with running(url, metrics, clock, spool) as store, api(store, metrics) as client:
        accepted: set[str] = set()
        async with through_an_outage(tmp_path, metrics):
            for number in range(100):
                body = Sender(replica=f"r{number}").document(record(str(number)))
                answer = await client.post("/internal/v1/records", json=body)
                if answer.status_code != 200:
                    break
                accepted.add(str(number))
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert len(accepted) > 3
        assert (await tallies(store))["v1"].requests == len(accepted)


async def test_a_store_whose_database_was_not_there_at_the_start_keeps_what_comes(
    url: str, metrics: Metrics, clock: Clock, spool: Spool, tmp_path: Path
) -> None:
    async with away(tmp_path), started(url, metrics, clock, spool) as store:
        assert await store.store(Sender().send(record("1"))) == Taken(1)
        with pytest.raises(StoreUnavailable, match="has not been reached yet"):
            await store.ready()
    async with running(url, metrics, clock, Spool(tmp_path / "spool", 1 << 20)) as store:
        await until_stored(metrics)
        assert (await tallies(store))["v1"].requests == 1


async def test_after_a_restart_what_was_kept_comes_before_what_comes_then(
    url: str, metrics: Metrics, clock: Clock, spool: Spool, tmp_path: Path
) -> None:
    async with running(url, metrics, clock, spool) as store:
        await store.store(Sender().send(record("1")))
        async with away(tmp_path):
            await store.hear(said(reward("1", 1)))
    async with running(url, metrics, clock, Spool(tmp_path / "spool", 1 << 20)) as store:
        with suppress(FeedbackConflict):  # the other one may be stored by then
            await store.hear(said(reward("1", 2)))
        await until_stored(metrics)
        assert (await tallies(store))["v1"].rewards.sum == 1
        assert measured(metrics, "feedback_conflicts_total") == 1


async def test_what_came_out_twice_because_of_a_crash_is_stored_once(
    store: Store, metrics: Metrics, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through_an_outage(tmp_path, metrics):
        await store.store(Sender(replica="a").send(record("1")))
        await store.hear(said(reward("1", 1)))
        await store.store(Sender(replica="b").send(record("2")))
        again = (await spool.first(1 << 20)).entries
        await spool.append(again)
    found = (await tallies(store))["v1"]
    assert (found.requests, found.rewards.count) == (2, 1)
    assert measured(metrics, "spool_refused_entries_total") == 0
