"""What a record says about a request that was answered."""

import json
import socket
import time

import pytest
from collectorkit import INFER, Sum, ids, infer, listening, serving


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


def test_no_record_says_a_later_time_than_that_at_which_the_client_had_its_answer(monitor):
    had = {}
    with serving(monitor.url) as (_, client):
        for name in ids(200):
            client.post(INFER, json=infer([1, 2]), headers={"x-request-id": name})
            had[name] = time.time() * 1e6
    assert {record["id"] for record in monitor.records} == had.keys()
    assert all(record["at"] <= had[record["id"]] + 100 for record in monitor.records)  # two clocks are compared


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
