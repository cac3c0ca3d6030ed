"""What a store makes of the two halves of a pair, whatever the database: fixtures as in `storecases`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from monitorkit import NOON, OF, Sender, label, record, reward, said
from sqlalchemy import select
from storecases import measured

from monitor.store.entries import Batch
from monitor.store.metrics import Metrics
from monitor.store.schema import MICROSECONDS, feedback, pairs
from monitor.store.service import Store


async def stored(store: Store, *names: str) -> list[tuple[Any, ...]]:
    """The pairs of the model, these columns of them."""
    query = select(*(pairs.c[name] for name in names)).where(pairs.c.namespace == OF[0], pairs.c.model == OF[1])
    async with store.reading() as connection:
        return sorted(tuple(row) for row in await connection.execute(query))


async def answers(store: Store) -> dict[str, object]:
    async with store.reading() as connection:
        rows = await connection.execute(select(feedback.c.request_id, feedback.c.answer))
        return {row.request_id: row.answer for row in rows}


def live(name: str, *rows: object, at: float = NOON, **more: object) -> dict[str, object]:
    return record(name, at, rows=len(rows), outputs={"predict": list(rows)}, **more)


def copy(name: str, *rows: object, at: float = NOON, **more: object) -> dict[str, object]:
    return live(name, *rows, at=at, mirrored=True, **more)


class PairCases:
    async def test_the_halves_of_a_pair_find_each_other_in_either_order(self, store: Store, metrics: Metrics) -> None:
        stable, candidate = Sender("v1", "a"), Sender("v2", "b")
        await store.store(stable.send(live("1", "rose", at=NOON + 1)))
        await store.store(candidate.send(copy("1", "tulip", at=NOON + 2), copy("2", 5.0)))
        await store.store(stable.send(live("2", 4)))
        assert await stored(
            store, "request_id", "at", "stable", "candidate", "one", "other", "agree", "difference", "relative"
        ) == [
            ("1", int((NOON + 1) * MICROSECONDS), "v1", "v2", ["rose"], ["tulip"], False, None, None),
            ("2", int(NOON * MICROSECONDS), "v1", "v2", [4], [5.0], False, 1.0, 0.2),
        ]
        assert measured(metrics, "pairs_total") == 2

    async def test_halves_in_one_transaction_find_each_other(self, store: Store) -> None:
        batches = [Sender("v2", "b").send(copy("1", 1)), Sender("v1", "a").send(live("1", 1))]
        await asyncio.gather(*map(store.store, batches))
        assert await stored(store, "request_id", "agree") == [("1", True)]

    async def test_every_candidate_makes_a_pair_of_its_own(self, store: Store) -> None:
        await store.store(Sender("v2", "b").send(copy("1", 1)))
        await store.store(Sender("v1", "a").send(live("1", 1)))
        await store.store(Sender("v3", "c").send(copy("1", 2)))
        assert await stored(store, "stable", "candidate", "agree") == [("v1", "v2", True), ("v1", "v3", False)]

    async def test_a_pair_is_stored_once_whatever_comes_again(self, store: Store, metrics: Metrics) -> None:
        stable, candidate = Sender("v1", "a"), Sender("v2", "b")
        await store.store(stable.send(live("1", "first")))
        await store.store(candidate.send(copy("1", "copy")))
        await store.store(stable.send(live("1", "second"), live("1", "third")))
        await store.store(candidate.send(copy("1", "copy again")))
        assert await stored(store, "one", "other") == [(["first"], ["copy"])]
        assert measured(metrics, "pairs_total") == 1

    async def test_a_failure_and_an_answer_without_outputs_are_no_half(self, store: Store) -> None:
        await store.store(Sender("v1", "a").send(live("1", 1), live("2", 1), record("3"), live("4", 1, status=503)))
        await store.store(
            Sender("v2", "b").send(
                copy("1", 1, status=500), record("2", mirrored=True), copy("3", 1), copy("4", 1), live("1", 1)
            )
        )
        assert await stored(store, "request_id") == []

    async def test_pairs_of_models_are_kept_apart(self, store: Store) -> None:
        await store.store(Sender("v1", "a", model="wine").send(live("1", 1)))
        await store.store(Sender("v1", "b", namespace="other").send(live("1", 1)))
        await store.store(Sender("v2", "c").send(copy("1", 1)))
        assert await stored(store, "request_id") == []

    async def test_an_id_used_again_long_after_is_another_request(self, store: Store) -> None:
        await store.store(Sender("v1", "a").send(live("1", 1)))
        await store.store(Sender("v2", "b").send(copy("1", 1, at=NOON + 3_600)))
        assert await stored(store, "request_id") == []


class AnswerCases:
    async def test_feedback_keeps_the_answer_that_it_is_about(self, store: Store) -> None:
        await store.hear(said(label("early", 1.5), reward("early-reward", 1)))
        await store.store(Sender().send(live("early", 2.5, 9), live("early-reward", "x"), live("late", [1, 2])))
        await store.hear(said(label("late", [1, 2]), reward("unknown", 1)))
        assert await answers(store) == {"early": 2.5, "early-reward": "x", "late": [1, 2], "unknown": None}

    async def test_a_replaced_label_leaves_the_answer(self, store: Store) -> None:
        await store.store(Sender().send(live("1", "a")))
        await store.hear(said(label("1", "b")))
        await store.hear(said(label("1", "a"), replace=True))
        assert await answers(store) == {"1": "a"}

    async def test_without_a_recorded_output_there_is_no_answer(self, store: Store) -> None:
        await store.store(Sender().send(record("1")))
        await store.hear(said(label("1", "b")))
        assert await answers(store) == {"1": None}


halves = st.tuples(
    st.sampled_from(["v1", "v2", "v3"]),
    st.lists(
        st.builds(
            live,
            st.sampled_from("abcd"),
            st.sampled_from([0, 1, "x"]),
            mirrored=st.booleans(),
            status=st.sampled_from([200, 200, 404, 503]),
        ),
        max_size=4,
    ),
)
sent_halves = given(st.lists(halves, max_size=10))


async def check_pairs(store: Store, sent: Sequence[tuple[str, list[dict[str, Any]]]]) -> None:
    """Send these batches; the pairs must be those that going through everything finds, as each id first became one."""
    batches: list[Batch] = []
    expected: dict[tuple[str, str, str], tuple[list[Any], list[Any]]] = {}
    for place, (version, records) in enumerate(sent):
        batches.append(Sender(version, f"replica-{place}").send(*records))
        await store.store(batches[-1])
        every = [(batch.version, it) for batch in batches for it in batch.records if it.status < 500]
        for name in "abcd":
            answer = next(((of, it) for of, it in every if it.id == name and not it.mirrored), None)
            for of, it in every:
                if answer and it.id == name and it.mirrored and of != answer[0]:
                    assert answer[1].outputs is not None
                    assert it.outputs is not None
                    expected.setdefault((name, answer[0], of), (answer[1].outputs["predict"], it.outputs["predict"]))
    assert {
        (name, stable, candidate): (one, other)
        for name, stable, candidate, one, other in await stored(
            store, "request_id", "stable", "candidate", "one", "other"
        )
    } == expected
