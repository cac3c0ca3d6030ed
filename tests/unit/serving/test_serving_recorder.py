"""What the server's thread keeps of answered requests, and in how much room."""

import json
import time

import numpy as np
import pytest
import xxhash
from collectorkit import INFER, ids, records_of

from serving.exchange import Exchange
from serving.records import Recorder, RecordsConfig


def make_recorder(**options):
    config = RecordsConfig("http://127.0.0.1:1", **({"batch_records": 10_000, "batch_bytes": 1 << 30} | options))
    return Recorder(config, ("a", "b"), frozenset({INFER.encode()}), lambda *_: None)


def taken(recorder):
    """The records of the next batch."""
    return records_of([json.loads(block.content) for block in recorder.take()])


def answered(request_id=b"r", rows=((1.0, 2.0),), outputs=None, size=0):
    exchange = Exchange(
        None,
        method=b"POST",
        url=INFER.encode(),
        request_id=request_id,
        body=bytes(size),
        closes=False,
        began=time.monotonic(),
    )
    exchange.rows = None if rows is None else np.array(rows)
    exchange.outputs = outputs and {name: np.array(values) for name, values in outputs.items()}
    return exchange


def test_the_queue_is_bounded_by_records():
    recorder = make_recorder(max_records=3, block_records=2)
    for _ in range(5):
        recorder.add(answered(), 200)
    recorder.close()
    assert (len(taken(recorder)), recorder.dropped) == (3, 2)
    recorder.add(answered(), 200)
    assert recorder.dropped == 2


def test_the_queue_is_bounded_by_bytes():
    recorder = make_recorder(max_bytes=5_000, block_records=4)
    for _ in range(100):
        recorder.add(answered(), 200)
    blocks = recorder.take()
    assert 4_000 < sum(len(block.content) for block in blocks) <= 5_000
    assert sum(block.records for block in blocks) + recorder.dropped == 100
    dropped = recorder.dropped
    for _ in range(4):
        recorder.add(answered(), 200)
    assert recorder.dropped == dropped


def test_large_requests_do_not_wait_for_others():
    recorder = make_recorder(block_bytes=1_000)
    for name, size in ((b"1", 400), (b"2", 400), (b"3", 400), (b"4", 1_000), (b"5", 400)):
        recorder.add(answered(name, size=size), 200)
    assert [[record["id"] for record in records_of([json.loads(block.content)])] for block in recorder.take()] == [
        ["1", "2", "3"],
        ["4"],
    ]


def test_a_batch_ends_with_the_block_that_fills_it():
    for limits in ({"batch_bytes": 1}, {"batch_records": 2}):
        recorder = make_recorder(block_records=2, **limits)
        for number in (b"1", b"2", b"3", b"4"):
            recorder.add(answered(number), 200)
        assert [[record["id"] for record in taken(recorder)] for _ in range(2)] == [["1", "2"], ["3", "4"]]


def test_records_of_all_kinds_keep_their_values_though_they_are_written_together():
    recorder = make_recorder(max_rows=2)
    exchanges = {
        "one": (answered(rows=[[1.0, 2.0]], outputs={"predict": [3]}), 200),
        "many": (answered(rows=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], outputs={"predict": [3, 7, 11]}), 200),
        "text": (answered(rows=[[5.0, 6.0]], outputs={"predict": ["rose"]}), 200),
        "two outputs": (answered(rows=[[7.0, 8.0]], outputs={"predict": [1.5], "proba": [[0.5, 0.5]]}), 200),
        "failed": (answered(rows=[[9.0, 0.0]]), 500),
        "unread": (answered(rows=None), 400),
        "large": (answered(rows=[[1.0, 1.0]], outputs={"predict": [2**62 + 1]}), 200),
    }
    for name, (exchange, status) in exchanges.items():
        exchange.request_id = name.encode()
        recorder.add(exchange, status)
    recorder.close()
    found = {
        record["id"]: (record["status"], record["rows"], record.get("inputs"), record.get("outputs"))
        for record in taken(recorder)
    }
    assert found == {
        "one": (200, 1, {"a": [1], "b": [2]}, {"predict": [3]}),
        "many": (200, 3, {"a": [1, 3], "b": [2, 4]}, {"predict": [3, 7]}),
        "text": (200, 1, {"a": [5], "b": [6]}, {"predict": ["rose"]}),
        "two outputs": (200, 1, {"a": [7], "b": [8]}, {"predict": [1.5], "proba": [[0.5, 0.5]]}),
        "failed": (500, 1, {"a": [9], "b": [0]}, None),
        "unread": (400, 0, None, None),
        "large": (200, 1, {"a": [1], "b": [1]}, {"predict": [2**62 + 1]}),
    }


def test_what_all_records_of_a_block_have_in_common_is_not_said():
    recorder = make_recorder()
    for _ in range(3):
        recorder.add(answered(outputs={"predict": [3]}), 200)
    recorder.close()
    (block,) = recorder.take()
    assert block.records == 3
    assert json.loads(block.content).keys() == {"id", "at", "us", "inputs", "outputs"}


def test_a_record_without_values_has_all_the_rest():
    recorder = make_recorder(sample=0)
    for place, (rows, status) in enumerate((([[1.0, 2.0]], 200), ([[1.0, 2.0], [3.0, 4.0]], 200), (None, 400))):
        exchange = answered(b"%d" % place, rows=rows, outputs={"predict": [3]})
        exchange.key, exchange.share = b"user 7", b"2500"
        recorder.add(exchange, status)
    recorder.close()
    records = taken(recorder)
    assert not any(record.keys() & {"inputs", "outputs"} for record in records)
    assert [(record["id"], record["status"], record["rows"]) for record in records] == [
        ("0", 200, 1),
        ("1", 200, 2),
        ("2", 400, 0),
    ]
    assert {(record["key"], record["share"], record["us"] >= 0, record["at"] > 0) for record in records} == {
        ("user 7", 2500, True, True)
    }


def test_above_the_rate_every_request_has_its_record_and_few_have_values():
    recorder = make_recorder(rate=0.1, rate_seconds=1_000.0, max_records=100_000)
    for number in ids(5_000):
        recorder.add(answered(number.encode(), outputs={"predict": [3]}), 200)
    recorder.close()
    records = taken(recorder)
    assert len(records) == 5_000
    assert 100 < sum("outputs" in record for record in records) < 800  # 100, and 100 * ln 50 on the way there


def test_what_is_sampled_does_not_depend_on_which_version_the_same_id_was_sent_to():
    recorder = make_recorder(sample=1_000)
    first = [number for number in ids(20_000) if xxhash.xxh64_intdigest(number.encode()) % 10_000 < 1_000]
    for number in first:
        recorder.add(answered(number.encode()), 200)
    recorder.close()
    sampled = sum("inputs" in record for record in taken(recorder))
    assert sampled / len(first) == pytest.approx(0.1, abs=0.03)


def test_what_envoy_says_of_some_requests_is_not_given_to_others():
    recorder = make_recorder()
    for place, mark in enumerate((None, ("key", b"u"), ("share", b"2500"), ("mirror", b"1"))):
        exchange = answered(b"%d" % place)
        if mark is not None:
            setattr(exchange, *mark)
        recorder.add(exchange, 200)
    recorder.close()
    found = [{name: record.get(name) for name in ("mirrored", "key", "share")} for record in taken(recorder)]
    nothing = {"mirrored": False, "key": None, "share": None}
    assert found == [nothing, nothing | {"key": "u"}, nothing | {"share": 2500}, nothing | {"mirrored": True}]


@pytest.mark.parametrize("odd", [b"x" * 300, b"a\nb", "Zoë".encode(), b"\xff", b"a\tb"])
def test_an_odd_id_changes_no_other(odd):
    recorder = make_recorder()
    for name in (b"before", odd, b"after"):
        recorder.add(answered(name), 200)
    recorder.close()
    names = [record["id"] for record in taken(recorder)]
    assert (names[0], len(names), names[2]) == ("before", 3, "after")


@pytest.mark.parametrize("bad", [object(), ["\ud800"], [1 << 80]], ids=["no array", "no text", "no number of JSON"])
def test_a_record_that_cannot_be_written_costs_no_other_and_one_line_in_the_log(caplog, bad):
    recorder = make_recorder()
    for name in (b"1", b"bad", b"2", b"bad", b"3"):
        exchange = answered(name, outputs={"predict": [1]})
        if name == b"bad":
            exchange.outputs = {"predict": bad if type(bad) is object else np.array(bad, object)}
        recorder.add(exchange, 200)
    recorder.close()
    assert [record["id"] for record in taken(recorder)] == ["1", "2", "3"]
    assert (recorder.dropped, len(caplog.records)) == (2, 1)


def test_tables_that_differ_in_width_do_not_disturb_each_other():
    recorder = Recorder(RecordsConfig("http://127.0.0.1:1"), (), frozenset({INFER.encode()}), lambda *_: None)
    for row in ([1.0], [1.0, 2.0]):
        recorder.add(answered(rows=[row]), 200)
    recorder.close()
    assert [record["inputs"] for record in taken(recorder)] == [{"0": [1]}, {"0": [1], "1": [2]}]
