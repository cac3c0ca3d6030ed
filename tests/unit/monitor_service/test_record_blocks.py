"""Blocks of records, as the monitor reads them: what fits is taken apart, what does not is refused with its place."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitorkit import NOON, Sender, record
from pydantic import ValidationError

from monitor.store.entries import LARGEST_BATCH, Batch, Record

AT = round(NOON * 1e6)


def read(*blocks: dict[str, Any]) -> list[Record]:
    return Batch.model_validate(Sender().document() | {"blocks": list(blocks)}).records


def block(count: int = 2, **columns: Any) -> dict[str, Any]:
    return {"id": [f"r{n}" for n in range(count)], "at": [AT] * count, "us": [1_500] * count} | columns


def test_a_column_that_is_left_out_stands_for_what_is_usual() -> None:
    assert read(block(1)) == [Record("r0", NOON, 200, 1.5, False, 1, None, None, None, None)]


def test_every_column_belongs_to_its_records() -> None:
    columns = {
        "status": [200, 404],
        "mirrored": [True, False],
        "rows": [1, 3],
        "key": [None, "u"],
        "share": [500, None],
        "inputs": {"a": [1, 2, 3, 4], "b": ["w", "x", "y", "z"]},
        "outputs": {"predict": [10, 20, 30, 40]},
    }
    assert read(block(2, **columns)) == [
        Record("r0", NOON, 200, 1.5, True, 1, None, 500, {"a": [1], "b": ["w"]}, {"predict": [10]}),
        Record(
            "r1", NOON, 404, 1.5, False, 3, "u", None, {"a": [2, 3, 4], "b": ["x", "y", "z"]}, {"predict": [20, 30, 40]}
        ),
    ]


def test_records_without_values_leave_those_of_the_others_where_they_belong() -> None:
    records = read(block(4, rows=[9, 1, 0, 5], kept=[0, 1, 0, 2], inputs={"a": [1, 2, 3]}))
    assert [one.inputs for one in records] == [None, {"a": [1]}, None, {"a": [2, 3]}]
    assert [one.outputs for one in records] == [None] * 4


def test_blocks_follow_each_other() -> None:
    assert [one.id for one in read(block(2), block(0), block(1, id=["last"]))] == ["r0", "r1", "last"]


def test_long_ids_and_keys_are_kept_by_their_hashes() -> None:
    one, other, plain = read(block(3, id=["i" * 300, "é" * 200, "é" * 128], key=["k" * 300, None, "k" * 256]))
    assert one.id.startswith("xxh128:")
    assert other.id.startswith("xxh128:")
    assert one.key is not None
    assert one.key.startswith("xxh128:")
    assert (plain.id, plain.key) == ("é" * 128, "k" * 256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at": [AT]}, "at has 1 entries for 2 records"),
        ({"us": [1, 2, 3]}, "us has 3 entries for 2 records"),
        ({"status": []}, "status has 0 entries for 2 records"),
        ({"mirrored": [True]}, "mirrored has 1 entries for 2 records"),
        ({"rows": [1]}, "rows has 1 entries for 2 records"),
        ({"kept": [1]}, "kept has 1 entries for 2 records"),
        ({"key": ["k"]}, "key has 1 entries for 2 records"),
        ({"share": [1]}, "share has 1 entries for 2 records"),
        ({"inputs": {"a": [1, 2], "b": [1]}}, "the column b of inputs has 1 entries for 2 rows"),
        ({"outputs": {"a": [1, 2, 3]}}, "the column a of outputs has 3 entries for 2 rows"),
        ({"kept": [1, 0], "inputs": {"a": [1, 2]}}, "the column a of inputs has 2 entries for 1 rows"),
        ({"kept": [2, 1]}, "kept has more rows than were asked for"),
        ({"rows": [2**31 - 1] * 2, "inputs": {"a": []}}, "the column a of inputs has 0 entries for 4294967294 rows"),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(block(), block() | change)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": ["a", ""]}, ("id", 1)),
        ({"id": ["a", "b\x00"]}, ("id", 1)),
        ({"id": ["a", "\ud800"]}, ("id", 1)),
        ({"id": ["a", None]}, ("id", 1)),
        ({"id": "ab"}, ("id",)),
        ({"at": [AT, -1]}, ("at", 1)),
        ({"at": [AT, float("nan")]}, ("at", 1)),
        ({"at": [AT, 10**18]}, ("at", 1)),
        ({"at": [AT, 0.5]}, ("at", 1)),
        ({"at": None}, ("at",)),
        ({"us": [1, float("inf")]}, ("us", 1)),
        ({"us": [1, -1]}, ("us", 1)),
        ({"us": [1, 10**400]}, ("us", 1)),
        ({"status": [200, 600]}, ("status", 1)),
        ({"status": [200, None]}, ("status", 1)),
        ({"mirrored": [False, 2]}, ("mirrored", 1)),
        ({"rows": [1, -1]}, ("rows", 1)),
        ({"rows": [1, 2**31]}, ("rows", 1)),
        ({"kept": [1, -1]}, ("kept", 1)),
        ({"key": ["u", ""]}, ("key", 1)),
        ({"key": ["u", "\x00"]}, ("key", 1)),
        ({"share": [0, 10_001]}, ("share", 1)),
        ({"share": [0, -1]}, ("share", 1)),
        ({"inputs": [1, 2]}, ("inputs",)),
        ({"inputs": {"a": 1}}, ("inputs", "a")),
        ({"outputs": {"a": None}}, ("outputs", "a")),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_the_path_to_it(
    change: dict[str, Any], place: tuple[object, ...]
) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(block() | change)
    assert refusal.value.errors()[0]["loc"] == ("blocks", 0, *place)


@pytest.mark.parametrize("blocks", [None, {}, [None], [[]], [{}], "blocks"])
def test_what_are_no_blocks_is_refused(blocks: object) -> None:
    with pytest.raises(ValidationError):
        Batch.model_validate(Sender().document() | {"blocks": blocks})


def test_records_one_by_one_are_refused() -> None:
    document = Sender().document()
    del document["blocks"]
    with pytest.raises(ValidationError, match="blocks"):
        Batch.model_validate(document | {"records": [record("1")]})


def test_a_batch_has_a_limit_however_it_is_divided_into_blocks() -> None:
    half = LARGEST_BATCH // 2
    assert len(read(block(half), block(half))) == LARGEST_BATCH
    for blocks in ([block(half), block(half), block(1)], [block(LARGEST_BATCH + 1)], [block(0)] * (LARGEST_BATCH + 1)):
        with pytest.raises(ValidationError, match="at most"):
            read(*blocks)


values = st.lists(
    st.one_of(st.none(), st.integers(-(2**63), 2**64 - 1), st.text(), st.floats(allow_nan=False)), max_size=3
)
records = st.lists(values, max_size=6)


@settings(deadline=None)
@given(records)
def test_whatever_was_put_together_comes_apart_again(kept: list[list[object]]) -> None:
    counts = [len(each) for each in kept]
    columns = {"a": [one for each in kept for one in each]}
    (given, without) = (
        read(block(len(kept), rows=counts, inputs=columns)),
        read(block(len(kept), rows=counts)),
    )
    assert [one.inputs for one in given] == [{"a": each} if each else None for each in kept]
    assert [one.inputs for one in without] == [None] * len(kept)
