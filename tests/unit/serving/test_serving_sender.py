"""How records reach a monitor that is slow, away, strict, or asks for a token."""

import logging

import pytest
from collectorkit import INFER, Monitor, free_port, infer, listening, records_of, serving, until


@pytest.fixture
def monitor():
    with listening() as monitor:
        yield monitor


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
