"""Records of answered requests, from a real server over real sockets to a monitor that may be slow, wrong or gone."""

import json
import logging
import socket
import threading
import time

import httpx
import numpy as np
import pytest
import xxhash
from collectorkit import INFER, Monitor, Sum, free_port, infer, listening, records_of, serving, until

from serving.exchange import Exchange
from serving.records import BadRecordsConfig, Recorder, RecordsConfig
from serving.server import ModelServer, ServerConfig


@pytest.fixture
def monitor():
    with listening() as monitor:
        yield monitor


def test_a_record_says_who_asked_what_and_what_came_back(monitor):
    before = time.time()
    with serving(monitor.url) as (_, client):
        headers = {"x-request-id": "r-1", "tidegate-key": "user 7", "tidegate-share": "2500"}
        assert client.post(INFER, json=infer([1, 2], [3, 4]), headers=headers).status_code == 200
    (path, sent, body), (record,) = monitor.posts[0], monitor.records
    assert (path, sent["content-type"]) == ("/internal/v1/records", "application/json")
    assert "authorization" not in sent
    assert {name: body[name] for name in ("namespace", "model", "version", "batch", "dropped")} == {
        "namespace": "team",
        "model": "sum",
        "version": "v7",
        "batch": 1,
        "dropped": 0,
    }
    assert before * 1e6 - 1 <= record.pop("at") <= time.time() * 1e6
    assert 0 < record.pop("us") < 60e6
    assert record == {
        "id": "r-1",
        "status": 200,
        "mirrored": False,
        "rows": 2,
        "key": "user 7",
        "share": 2500,
        "inputs": {"a": [1, 3], "b": [2, 4]},
        "outputs": {"predict": [3, 7]},
    }


def test_every_protocol_is_recorded_and_nothing_but_inference(monitor):
    with serving(monitor.url) as (_, client):
        client.get("/v2/health/ready")
        client.get("/v2/models/sum")
        client.get("/nowhere")
        client.post(f"{INFER}?trace=1", json=infer([1, 2]))
        client.post("/v1/models/sum:predict", json={"instances": [[1, 2]]})
        client.post("/api/v1/models/sum/predict", json={"a": 1, "b": 2})
    assert [record["inputs"] for record in monitor.records] == [{"a": [1], "b": [2]}] * 3
    assert [record["outputs"] for record in monitor.records] == [{"predict": [3]}] * 3


def test_failures_are_recorded_with_as_much_as_is_known(monitor):
    with serving(monitor.url) as (server, client):
        client.post(INFER, content=b"{")
        client.post(INFER, json=infer([-1, 0]))
        client.get(INFER)
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(f"POST {INFER} HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 413")
    outcomes = [(record["status"], record["rows"], record.get("inputs")) for record in monitor.records]
    assert sorted(outcomes, key=str) == [
        (400, 0, None),
        (405, 0, None),
        (413, 0, None),
        (500, 1, {"a": [-1], "b": [0]}),
    ]
    assert not any("outputs" in record for record in monitor.records)


def test_columns_without_names_are_called_by_their_positions(monitor):
    with serving(monitor.url, Sum(features=())) as (_, client):
        client.post(INFER, json=infer([1, 2]))
    assert monitor.records[0]["inputs"] == {"0": [1], "1": [2]}


def test_of_many_rows_the_first_are_kept_and_all_are_counted(monitor):
    with serving(monitor.url, max_rows=2) as (_, client):
        client.post(INFER, json=infer([1, 2], [3, 4], [5, 6]))
    (record,) = monitor.records
    assert (record["rows"], record["inputs"], record["outputs"]) == (
        3,
        {"a": [1, 3], "b": [2, 4]},
        {"predict": [3, 7]},
    )


def test_values_that_json_has_no_number_for_are_null(monitor):
    with serving(monitor.url) as (_, client):
        client.post(INFER, json=infer([1.7e308, 1.7e308]))
    assert monitor.records[0]["outputs"] == {"predict": [None]}


def ids(count):
    return [f"{number:08x}-0000-4000-8000-000000000000" for number in range(count)]


def test_the_live_and_the_mirrored_half_of_a_pair_are_sampled_alike(monitor):
    with serving(monitor.url, sample=3_000) as (_, client):
        for number in ids(200):
            client.post(INFER, json=infer([1, 2]), headers={"x-request-id": number})
            client.post(INFER, json=infer([1, 2]), headers={"x-request-id": number, "tidegate-mirror": "1"})
    halves = [
        {record["id"] for record in monitor.records if "inputs" in record and record["mirrored"] is mirrored}
        for mirrored in (False, True)
    ]
    assert halves[0] == halves[1]
    assert 30 < len(halves[0]) < 90
    assert len(monitor.records) == 400


def test_what_is_sampled_does_not_depend_on_which_version_the_same_id_was_sent_to():
    recorder = make_recorder(sample=1_000)
    first = [number for number in ids(20_000) if xxhash.xxh64_intdigest(number.encode()) % 10_000 < 1_000]
    for number in first:
        recorder.add(answered(number.encode()), 200)
    recorder.close()
    sampled = sum("inputs" in record for record in taken(recorder))
    assert sampled / len(first) == pytest.approx(0.1, abs=0.03)


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


def test_a_monitor_that_is_not_there_slows_no_request_and_hears_later_what_was_lost():
    port = free_port()
    with serving(f"http://127.0.0.1:{port}", max_records=50, block_records=5, batch_records=10) as (server, client):
        for _ in range(200):
            assert client.post(INFER, json=infer([1, 2])).status_code == 200
        until(lambda: server.stats().dropped >= 130)
        stats = server.stats()
        assert (stats.requests, stats.recorded) == (200, 0)
        assert stats.dropped <= 150
        monitor = Monitor(port)
        try:
            until(lambda: server.stats().recorded + server.stats().dropped == 200)
            client.post(INFER, json=infer([1, 2]))
            until(lambda: server.stats().recorded + server.stats().dropped == 201)
            stats = server.stats()
        finally:
            monitor.shutdown()
            monitor.server_close()
    assert monitor.batches[-1]["dropped"] == stats.dropped
    assert len(monitor.records) == 201 - stats.dropped


def test_a_monitor_that_does_not_answer_slows_no_request(monitor):
    monitor.gate.clear()
    with serving(monitor.url, block_records=1, batch_records=1, close_seconds=0.2) as (server, client):
        for _ in range(20):
            assert client.post(INFER, json=infer([1, 2])).status_code == 200
        assert server.stats().recorded == 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_batch_is_sent_again_under_its_number_until_it_is_taken(monitor, status):
    monitor.statuses = [status, status]
    with serving(monitor.url, block_records=1, batch_records=1) as (server, client):
        for number in "abc":
            client.post(INFER, json=infer([1, 2]), headers={"x-request-id": number})
        until(lambda: server.stats().recorded == 3)
        assert server.stats().dropped == 0
    sent = [(body["batch"], [record["id"] for record in records_of(body["blocks"])]) for body in monitor.batches]
    assert sent == [(1, ["a"]), (1, ["a"]), (1, ["a"]), (2, ["b"]), (3, ["c"])]
    assert len({body["replica"] for body in monitor.batches}) == 1


@pytest.mark.parametrize("status", [400, 413, 500, 302])
def test_a_refused_batch_is_dropped_and_logged_once(monitor, caplog, status):
    monitor.statuses = [status, status]
    with serving(monitor.url, block_records=1, batch_records=1) as (server, client):
        for _ in range(3):
            client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 1)
        assert server.stats().dropped == 2
    assert [body["dropped"] for body in monitor.batches] == [0, 1, 2]
    assert [f"status {status}" in line.message for line in caplog.records if line.levelno >= logging.WARNING] == [True]


def test_a_connection_that_the_monitor_closed_is_opened_again_without_a_word(monitor, caplog):
    monitor.closes = True
    with serving(monitor.url, block_records=1, batch_records=1) as (server, client):
        for number in range(1, 4):
            client.post(INFER, json=infer([1, 2]))
            until(lambda number=number: server.stats().recorded == number)
    assert [body["batch"] for body in monitor.batches] == [1, 2, 3]
    assert caplog.records == []


def test_each_server_has_an_identity_of_its_own(monitor):
    for _ in range(2):
        with serving(monitor.url) as (_, client):
            client.post(INFER, json=infer([1, 2]))
    assert [body["batch"] for body in monitor.batches] == [1, 1]
    assert len({body["replica"] for body in monitor.batches}) == 2


def test_what_waits_when_the_server_ends_is_sent(monitor):
    with serving(monitor.url, batch_seconds=600) as (server, client):
        for _ in range(30):
            client.post(INFER, json=infer([1, 2]))
        assert server.drain(30)
        server.stop()
        assert (server.stats().recorded, server.stats().dropped) == (30, 0)
    assert len(monitor.records) == 30


def test_the_end_waits_for_no_monitor_beyond_its_time_and_counts_what_is_lost():
    with serving(f"http://127.0.0.1:{free_port()}", close_seconds=0.3) as (server, client):
        for _ in range(5):
            client.post(INFER, json=infer([1, 2]))
        server.stop()
        until(lambda: server.stats().dropped == 5)
        assert server.stats().recorded == 0


def test_a_token_is_sent_may_be_exchanged_and_is_never_logged(monitor, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"
    file.write_text("first-secret\n")
    monitor.statuses = [200, 401]
    with serving(monitor.url, token_file=file, block_records=1, batch_records=1) as (server, client):
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 1)
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().dropped == 1)
        file.write_text("other-secret")
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 2)
    sent = [headers["authorization"] for _, headers, _ in monitor.posts]
    assert sent == ["Bearer first-secret", "Bearer first-secret", "Bearer other-secret"]
    assert "status 401" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"a secret\x00", b"two\nsecret lines", b"secret \xff"])
def test_records_wait_for_a_token_that_can_be_read(monitor, tmp_path, caplog, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with serving(monitor.url, token_file=file) as (server, client):
        client.post(INFER, json=infer([1, 2]))
        until(lambda: str(file) in caplog.text)
        file.write_text("good")
        until(lambda: server.stats().recorded == 1)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"x" * 10_000, "xxh128:"),
        ("Zoë".encode(), "Zoë"),
        (b"\xff\xfe", "ÿþ"),
        (b'a"b\\c\td', 'a"b\\c\ufffdd'),
        ("a\x85b".encode(), "a\ufffdb"),
    ],
    ids=["long", "UTF-8", "no UTF-8", "quotes and a tab", "a control character"],
)
def test_hostile_headers_harm_nobody(monitor, value, text):
    with serving(monitor.url) as (server, client):
        body = json.dumps(infer([1, 2])).encode()
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(
                f"POST {INFER} HTTP/1.1\r\ncontent-length: {len(body)}\r\n".encode()
                + b"".join(b"%b: %b\r\n" % (name, value) for name in (b"x-request-id", b"tidegate-key"))
                + b"tidegate-share: %b\r\ntidegate-mirror: %b\r\n\r\n%b" % (value, value, body)
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
        client.post(INFER, json=infer([1, 2]), headers={"tidegate-share": "10001", "tidegate-key": ""})
    first, second = monitor.records
    assert (first["id"], first["key"]) == (first["key"], first["id"])
    assert first["id"].startswith(text)
    assert len(first["id"]) < 50
    assert not first["mirrored"]
    assert not {"share", "key"} & {*second, *(first.keys() - {"key"})}


def test_without_a_url_nothing_happens_at_all():
    before = threading.active_count()
    assert RecordsConfig.from_environment({}) is None
    assert RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "", "TIDEGATE_RECORDS_SAMPLE": "x"}) is None
    server = ModelServer(ServerConfig(model="sum", version="v7"), Sum())
    url = f"http://127.0.0.1:{server.start()}{INFER}"
    try:
        assert httpx.post(url, json=infer([1, 2]), headers={"tidegate-key": "k"}).status_code == 200
        assert "tidegate-records" not in {thread.name for thread in threading.enumerate()}
        assert (server.stats().recorded, server.stats().dropped) == (0, 0)
    finally:
        server.stop()
    until(lambda: threading.active_count() <= before)


def test_the_environment_says_where_records_go(tmp_path):
    config = RecordsConfig.from_environment(
        {
            "TIDEGATE_RECORDS_URL": "https://monitor.test:8090/base/",
            "TIDEGATE_RECORDS_TOKEN_FILE": str(tmp_path),
            "TIDEGATE_RECORDS_SAMPLE": "12.5",
        }
    )
    assert config == RecordsConfig("https://monitor.test:8090/base/", tmp_path, 1_250)


def test_the_rate_up_to_which_all_values_are_kept_may_be_set_and_is_500_else():
    told = {"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_SAMPLE": ""}
    usual, slow = (RecordsConfig.from_environment(told | more) for more in ({}, {"TIDEGATE_RECORDS_RATE": "20.5"}))
    assert (usual.sample, usual.rate) == (None, 500)
    assert (slow.sample, slow.rate) == (None, 20.5)


@pytest.mark.parametrize(
    "url",
    ["monitor:8090", "ftp://monitor", "http://", "http://monitor:port", "http://[::1", "http://a b", "http://u:p@host"],
)
def test_a_url_that_nothing_can_be_sent_to_is_refused(url):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_URL"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": url})


@pytest.mark.parametrize("sample", ["all", "-1", "101", "nan"])
def test_a_sample_that_is_no_percentage_is_refused(sample):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_SAMPLE"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_SAMPLE": sample})


@pytest.mark.parametrize("rate", ["many", "-1", "0", "nan", "inf"])
def test_a_rate_that_is_no_positive_number_is_refused(rate):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_RATE"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_RATE": rate})
