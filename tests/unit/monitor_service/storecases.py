"""What a store does, whatever the database: fixtures `url`, `store`, `metrics` and `clock` say which one."""

import asyncio
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitorkit import NOON, OF, Sender, counted, label, record, reward, running, said, tallies
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.store.database import StoreTooNew, database_url
from monitor.store.entries import Batch, Feedback
from monitor.store.feedback import FeedbackConflict, Heard
from monitor.store.metrics import Metrics
from monitor.store.schema import metadata
from monitor.store.senders import Taken
from monitor.store.service import Store
from monitor.tallies import LabelTally, RewardTally, ShareTally, VersionTally


def measured(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(f"tidegate_monitor_{name}") or 0.0


class RecordsCases:
    async def test_a_batch_is_counted_by_version(self, store: Store) -> None:
        good, bad = Sender("v1", "a"), Sender("v2", "b")
        assert await store.store(good.send(record("1"), record("2"))) == Taken(2)
        assert await store.store(bad.send(record("3"), record("4", status=503))) == Taken(2)
        found = await tallies(store)
        assert (found["v1"].requests, found["v1"].errors) == (2, 0)
        assert (found["v2"].requests, found["v2"].errors) == (2, 1)
        assert {type(value) for value in (found["v1"].requests, found["v2"].errors, found["v1"].labels.count)} == {int}

    async def test_a_retransmitted_batch_is_accepted_and_not_counted_again(
        self, store: Store, metrics: Metrics
    ) -> None:
        sender = Sender()
        await store.store(sender.send(record("1")))
        assert await store.store(sender.send(record("1"), again=True)) == Taken(0, repeated=True)
        assert (await tallies(store))["v1"].requests == 1
        assert measured(metrics, "records_total") == 1
        assert measured(metrics, "repeated_batches_total") == 1

    async def test_a_batch_and_its_retransmission_in_one_transaction_are_counted_once(self, store: Store) -> None:
        sender = Sender()
        batch = sender.send(record("1"))
        assert await asyncio.gather(store.store(batch), store.store(batch)) == [Taken(1), Taken(0, repeated=True)]
        assert (await tallies(store))["v1"].requests == 1

    async def test_a_retransmission_is_known_after_a_restart(self, store: Store, url: str) -> None:
        sender = Sender()
        await store.store(sender.send(record("1")))
        async with running(url) as again:
            assert (await again.store(sender.send(record("1"), again=True))).repeated
            assert (await tallies(again))["v1"].requests == 1

    async def test_a_sender_that_gave_a_batch_up_goes_on_with_the_next(self, store: Store) -> None:
        sender = Sender()
        await store.store(sender.send(record("1")))
        sender.batch += 3
        assert await store.store(sender.send(record("2"))) == Taken(1)

    async def test_records_that_senders_lost_are_added_up(self, store: Store, metrics: Metrics) -> None:
        one, other = Sender(replica="a"), Sender(replica="b")
        for sender, dropped in ((one, 3), (one, 3), (other, 2), (one, 7)):
            await store.store(sender.send(dropped=dropped))
        assert measured(metrics, "sender_dropped_records_total") == 9

    async def test_mirrored_requests_are_stored_and_not_tallied(self, store: Store) -> None:
        assert await store.store(Sender().send(record("1", mirrored=True, key="u"))) == Taken(1)
        assert await tallies(store) == {}
        assert (await store.exposures(*OF, 0, 10)).exposures == []

    async def test_many_senders_at_once_are_all_stored(self, store: Store) -> None:
        senders = [Sender(f"v{n % 3}", f"replica-{n}") for n in range(30)]
        batches = [sender.send(*(record(f"{n}-{i}") for i in range(40))) for n, sender in enumerate(senders)]
        assert await asyncio.gather(*map(store.store, batches)) == [Taken(40)] * 30
        assert {version: one.requests for version, one in (await tallies(store)).items()} == {
            "v0": 400,
            "v1": 400,
            "v2": 400,
        }

    async def test_models_and_namespaces_are_kept_apart(self, store: Store) -> None:
        for place, (namespace, model) in enumerate([("default", "iris"), ("default", "wine"), ("other", "iris")]):
            sender = Sender(replica=f"r{place}", namespace=namespace, model=model)
            await store.store(sender.send(record("same", key="u")))
        await store.hear(said(reward("same", 1)))
        assert (await tallies(store))["v1"].rewards.count == 1
        assert (await store.tallies("other", "iris", 0, None))["v1"].rewards.count == 0
        assert len((await store.exposures("default", "wine", 0, 10)).exposures) == 1

    async def test_whatever_a_client_calls_its_request_is_stored(self, store: Store) -> None:
        names = ["é☃𝄞", "a" * 5_000, "'; DROP TABLE records; --", " "]
        await store.store(Sender().send(*(record(name) for name in names)))
        assert await store.hear(said(*(reward(name, 1) for name in names))) == Heard(4, unknown=0)

    async def test_data_that_the_database_refuses_takes_nobody_elses_with_it(self, store: Store) -> None:
        refused = Sender(replica="x").send(record("1"))
        vars(refused)["records"] = [replace(refused.records[0], ms=None)]  # type: ignore[arg-type]
        batches = [Sender(replica="a").send(record("2")), refused, Sender(replica="b").send(record("3"))]
        outcomes = await asyncio.gather(*map(store.store, batches), return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["Taken", "StoreRefused", "Taken"]
        assert (await tallies(store))["v1"].requests == 2


class FeedbackCases:
    async def test_feedback_after_the_record_is_counted_for_the_version_that_answered(self, store: Store) -> None:
        await store.store(Sender("v7").send(record("1", share=2500, outputs={"predict": ["rose"]})))
        assert await store.hear(said({"request_id": "1", "label": "rose", "reward": 0.5})) == Heard(1, unknown=0)
        assert await tallies(store) == {
            "v7": VersionTally(
                1, 0, RewardTally(1, 0.5, 0.25, zero_one=False), LabelTally(1, 1), (ShareTally(2500, 1, 0.5, 0.25),)
            )
        }

    async def test_feedback_before_the_record_counts_once_the_record_comes(
        self, store: Store, metrics: Metrics
    ) -> None:
        assert await store.hear(said(label("1", 3), reward("2", 1))) == Heard(2, unknown=2)
        assert await tallies(store) == {}
        await store.store(Sender().send(record("1", outputs={"predict": [3.0]}), record("2")))
        found = (await tallies(store))["v1"]
        assert (found.labels, found.rewards) == (LabelTally(1, 1), RewardTally(1, 1.0, 1.0, zero_one=True))
        assert measured(metrics, "unknown_feedback_total") == 2
        assert measured(metrics, "joined_feedback_total") == 2

    async def test_feedback_and_its_record_in_one_transaction_find_each_other(self, store: Store) -> None:
        await asyncio.gather(store.hear(said(reward("1", 1))), store.store(Sender().send(record("1"))))
        assert (await tallies(store))["v1"].rewards.count == 1

    async def test_the_same_again_changes_nothing(self, store: Store) -> None:
        await store.store(Sender().send(record("1", outputs={"predict": [1]})))
        for _ in range(3):
            assert await store.hear(said({"request_id": "1", "label": 1, "reward": 2.0})) == Heard(1, unknown=0)
        assert await store.hear(said(label("1", 1.0), reward("1", 2))) == Heard(2, unknown=0)
        found = (await tallies(store))["v1"]
        assert (found.labels.count, found.rewards.count) == (1, 1)

    @pytest.mark.parametrize(("before", "after"), [(reward("1", 1), reward("1", 2)), (label("1", 1), label("1", True))])
    async def test_another_value_is_a_conflict(
        self, store: Store, before: dict[str, object], after: dict[str, object]
    ) -> None:
        await store.hear(said(before))
        with pytest.raises(FeedbackConflict, match=r"known already for request 1; nothing was taken: .*replace"):
            await store.hear(said(after))

    async def test_of_feedback_with_one_conflict_nothing_is_taken(self, store: Store) -> None:
        await store.store(Sender().send(record("1"), record("2")))
        await store.hear(said(reward("1", 1)))
        with pytest.raises(FeedbackConflict):
            await store.hear(said(reward("2", 1), reward("1", 0)))
        assert (await tallies(store))["v1"].rewards.count == 1

    async def test_a_conflict_takes_nobody_elses_feedback_with_it(self, store: Store) -> None:
        await store.store(Sender().send(record("1"), record("2")))
        await store.hear(said(reward("1", 1)))
        outcomes = await asyncio.gather(
            store.hear(said(reward("1", 0))), store.hear(said(reward("2", 1))), return_exceptions=True
        )
        assert isinstance(outcomes[0], FeedbackConflict)
        assert outcomes[1] == Heard(1, unknown=0)

    async def test_one_list_that_contradicts_itself_is_a_conflict(self, store: Store) -> None:
        with pytest.raises(FeedbackConflict):
            await store.hear(said(reward("1", 1), reward("1", 0)))

    async def test_a_replaced_value_leaves_no_trace_in_the_sums(self, store: Store) -> None:
        await store.store(Sender().send(record("1", share=100, outputs={"predict": ["a"]}), record("2", share=100)))
        await store.hear(said({"request_id": "1", "reward": 1e15, "label": "a"}, reward("2", 0.1)))
        await store.hear(said({"request_id": "1", "reward": 1.0, "label": "b"}, replace=True))
        found = (await tallies(store))["v1"]
        assert found.rewards.sum == pytest.approx(1.1)
        assert found.rewards.squares == pytest.approx(1.01)
        assert found.labels == LabelTally(1, 0)
        assert (found.requests, found.by_share[0].count) == (2, 2)

    async def test_label_and_reward_may_come_one_after_the_other(self, store: Store) -> None:
        await store.store(Sender().send(record("1", outputs={"predict": [1]})))
        await store.hear(said(reward("1", 1)))
        await store.hear(said(label("1", 1)))
        found = (await tallies(store))["v1"]
        assert (found.labels, found.rewards.count) == (LabelTally(1, 1), 1)

    async def test_a_label_without_a_recorded_output_says_nothing_about_correctness(self, store: Store) -> None:
        await store.store(Sender().send(record("1")))
        await store.hear(said(label("1", "a")))
        assert (await tallies(store))["v1"].labels == LabelTally(0, 0)

    async def test_feedback_about_a_retried_request_belongs_to_the_version_that_answered(self, store: Store) -> None:
        await store.store(Sender("failing", "a").send(record("1", status=503)))
        await store.store(Sender("working", "b").send(record("1", at=NOON + 1)))
        await store.hear(said(reward("1", 1)))
        found = await tallies(store)
        assert (found["failing"].rewards.count, found["working"].rewards.count) == (0, 1)

    async def test_feedback_about_a_mirrored_request_belongs_to_the_live_answer(self, store: Store) -> None:
        await store.store(Sender("candidate", "a").send(record("1", mirrored=True)))
        assert await store.hear(said(reward("1", 1))) == Heard(1, unknown=1)
        await store.store(Sender("stable", "b").send(record("1")))
        assert {version: one.rewards.count for version, one in (await tallies(store)).items()} == {"stable": 1}

    @pytest.mark.parametrize("early", [True, False])
    async def test_feedback_about_an_id_that_was_used_twice_belongs_to_the_first(
        self, store: Store, early: bool
    ) -> None:
        if early:
            await store.hear(said(reward("1", 1)))
        await store.store(Sender("first", "a").send(record("1", at=NOON + 90), record("1", at=NOON)))
        await store.store(Sender("second", "b").send(record("1")))
        if not early:
            await store.hear(said(reward("1", 1)))
        found = await tallies(store, since=NOON + 60)
        assert {version: one.rewards.count for version, one in found.items()} == {"first": 1}


class ExposureCases:
    async def test_the_first_exposure_of_a_key_to_each_version_is_kept(self, store: Store) -> None:
        one, other = Sender("v1", "a"), Sender("v2", "b")
        await store.store(
            one.send(record("1", NOON + 5, key="u", share=500), record("2", NOON + 6, key="u", share=900))
        )
        await store.store(one.send(record("3", NOON + 7, key="u", share=900), record("4", NOON + 8, key="w")))
        await store.store(other.send(record("5", NOON + 9, key="u", share=9500)))
        page = await store.exposures(*OF, 0, 10)
        assert [(it.key, it.version, it.share, it.first_at - NOON) for it in page.exposures] == [
            ("u", "v1", 500, 5),
            ("w", "v1", None, 8),
            ("u", "v2", 9500, 9),
        ]

    async def test_a_record_that_comes_late_may_tell_of_an_earlier_exposure(self, store: Store) -> None:
        await store.store(Sender(replica="a").send(record("1", NOON + 5, key="u", share=900)))
        await store.store(Sender(replica="b").send(record("2", NOON + 1, key="u", share=500)))
        (only,) = (await store.exposures(*OF, 0, 10)).exposures
        assert (only.first_at, only.share) == (NOON + 1, 500)

    async def test_a_failed_answer_exposes_nobody(self, store: Store) -> None:
        await store.store(Sender().send(record("1", status=500, key="u"), record("2", status=404, key="w")))
        assert [it.key for it in (await store.exposures(*OF, 0, 10)).exposures] == ["w"]

    async def test_pages_go_on_where_the_last_one_ended_and_miss_nothing_that_comes_later(self, store: Store) -> None:
        sender = Sender()
        await store.store(sender.send(*(record(str(n), key=f"u{n}") for n in range(5))))
        first = await store.exposures(*OF, 0, 3)
        second = await store.exposures(*OF, first.after, 3)
        nothing = await store.exposures(*OF, second.after, 3)
        await store.store(sender.send(record("9", key="a")))
        later = await store.exposures(*OF, nothing.after, 3)
        keys = [[it.key for it in page.exposures] for page in (first, second, nothing, later)]
        assert keys == [["u0", "u1", "u2"], ["u3", "u4"], [], ["a"]]


class MigrationCases:
    async def test_the_tables_are_those_that_the_code_names(self, store: Store, url: str) -> None:
        engine = create_async_engine(database_url(url))
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or not name.startswith("records_"),
        }
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda it: compare_metadata(MigrationContext.configure(it, opts=options), metadata)
            )
        await engine.dispose()
        assert differences == []

    async def test_tables_that_are_there_are_kept(self, store: Store, url: str) -> None:
        await store.store(Sender().send(record("1")))
        async with running(url) as again:
            assert (await tallies(again))["v1"].requests == 1

    async def test_tables_of_a_newer_release_are_refused(self, store: Store, url: str) -> None:
        engine = create_async_engine(database_url(url))
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = 'of-tomorrow'"))
        await engine.dispose()
        with pytest.raises(StoreTooNew, match=r"of-tomorrow.*TIDEGATE_MONITOR_DATABASE"):
            await Store(database_url(url), 1, Metrics()).run()


names = st.sampled_from([str(n) for n in range(8)])
moments = st.integers(-200, 400).map(lambda half: NOON + half / 2)
live = st.builds(
    record,
    names,
    moments,
    st.sampled_from([200, 200, 200, 404, 500, 503]),
    mirrored=st.sampled_from([False, False, True]),
    share=st.sampled_from([None, 500, 9500]),
    outputs=st.sampled_from([None, {"predict": ["a"]}, {"predict": [1], "other": ["a"]}, {}]),
)
batches = st.tuples(st.sampled_from(["v1", "v2"]), st.lists(live, max_size=4))
rewards = st.sampled_from([None, 0.0, 1.0, 0.25, -3.0])
items = st.tuples(names, st.sampled_from([None, "a", "b", 1]), rewards).filter(lambda it: it[1:] != (None, None))
feedback = st.lists(items, min_size=1, max_size=3)
histories = st.lists(st.one_of(batches, feedback), max_size=12)
periods = st.tuples(moments, st.one_of(st.none(), moments))


async def check_history(store: Store, history: list[object], asked: list[tuple[float, float | None]]) -> None:
    """Play batches and feedback into the store, which must answer as counting does."""
    taken: list[Batch] = []
    heard: list[Feedback] = []
    for place, event in enumerate(history):
        if isinstance(event, tuple):
            taken.append(Sender(event[0], f"replica-{place}").send(*event[1]))
            await store.store(taken[-1])
        else:
            entries = [{"request_id": name, "label": right, "reward": value} for name, right, value in event]
            heard.append(said(*entries, replace=True))
            await store.hear(heard[-1])
    for since, until in [(0.0, None), *asked]:
        assert await tallies(store, since, until) == counted(taken, heard, since, until)


quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
histories_and_periods = given(histories, st.lists(periods, min_size=1, max_size=5))
