"""The profile beside a model: read if it can be, and sent once, before the first records."""

import json
import logging
import os

import pytest
from collectorkit import INFER, Monitor, free_port, infer, listening, serving, until

from serving.records import read_profile
from serving.records.profile import LARGEST
from serving.spec import ModelSource

PROFILE = {"features": {"schema": 1, "rows": 2}, "predictions": {"rows": 3}}
BASELINES = "/internal/v1/baselines"


@pytest.fixture
def monitor():
    with listening() as monitor:
        yield monitor


def source(path):
    return ModelSource(path.as_uri(), "sklearn")


def paths(monitor):
    return [path.rpartition("/")[2] for path, _, _ in monitor.posts]


def test_the_profile_is_sent_once_and_before_the_first_batch(monitor, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    with serving(monitor.url, profile=PROFILE, block_records=1, batch_records=1, token_file=token) as (server, client):
        for number in range(1, 4):
            client.post(INFER, json=infer([1, 2]))
            until(lambda number=number: server.stats().recorded == number)
    path, headers, body = monitor.posts[0]
    assert (path, headers["authorization"]) == (BASELINES, "Bearer secret")
    assert body == {"namespace": "team", "model": "sum", "version": "v7", **PROFILE}
    assert paths(monitor) == ["baselines", "records", "records", "records"]


def test_the_profile_is_sent_without_any_request(monitor):
    with serving(monitor.url, profile=PROFILE):
        monitor.wait_for(lambda: monitor.posts)
    assert paths(monitor) == ["baselines"]


@pytest.mark.parametrize("status", [200, 201])
def test_a_profile_that_the_monitor_has_is_done_with(monitor, caplog, status):
    monitor.statuses = [status]
    with serving(monitor.url, profile=PROFILE) as (server, client):
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 1)
    assert paths(monitor) == ["baselines", "records"]
    assert caplog.records == []


def test_the_profile_waits_for_a_monitor_that_is_not_ready(monitor):
    monitor.statuses = [503, 429]
    with serving(monitor.url, profile=PROFILE) as (server, client):
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 1)
    assert paths(monitor) == ["baselines", "baselines", "baselines", "records"]


def test_the_profile_waits_for_a_monitor_that_is_not_there_and_no_request_waits_for_it():
    port = free_port()
    with serving(f"http://127.0.0.1:{port}", profile=PROFILE) as (server, client):
        assert client.post(INFER, json=infer([1, 2])).status_code == 200
        monitor = Monitor(port)
        try:
            until(lambda: server.stats().recorded == 1)
        finally:
            monitor.shutdown()
            monitor.server_close()
    assert paths(monitor) == ["baselines", "records"]


@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_a_refused_profile_is_logged_once_and_costs_no_record(monitor, caplog, status):
    monitor.statuses = [status]
    with serving(monitor.url, profile=PROFILE, block_records=1, batch_records=1) as (server, client):
        for _ in range(2):
            client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 2)
        assert server.stats().dropped == 0
    assert paths(monitor) == ["baselines", "records", "records"]
    (line,) = (line for line in caplog.records if line.levelno >= logging.WARNING)
    assert "refused the model's profile" in line.message
    assert f"status {status}" in line.message


def test_a_profile_that_cannot_be_written_costs_no_record(monitor, caplog):
    with serving(monitor.url, profile={"features": object()}) as (server, client):
        client.post(INFER, json=infer([1, 2]))
        until(lambda: server.stats().recorded == 1)
    assert paths(monitor) == ["records"]
    assert "the model's profile could not be sent" in caplog.text


def test_a_profile_is_read_from_beside_the_file_or_the_folder_of_a_model(tmp_path, caplog):
    for name in ("iris 1.joblib", "folder"):
        (tmp_path / f"{name}.profile.json").write_text(json.dumps(PROFILE | {"made": "yesterday"}))
        assert read_profile(source(tmp_path / name)) == PROFILE
    assert caplog.records == []


def test_a_model_may_have_no_profile_and_a_profile_no_predictions(tmp_path, caplog):
    model = tmp_path / "iris.joblib"
    assert read_profile(source(model)) is None
    (tmp_path / "iris.joblib.profile.json").write_text('{"features": {}}')
    assert read_profile(source(model)) == {"features": {}, "predictions": None}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "line 1 column"),
        (b"", "line 1 column"),
        (b'{"features": NaN}', "line 1 column"),
        (b"[" * 100_000, "line 1 column"),
        (b"[]", "it must hold a JSON object"),
        (b'{"features": "' + b"x" * LARGEST + b'"}', "it is larger than 8 MiB"),
    ],
    ids=["cut off", "empty", "NaN", "deep", "a list", "large"],
)
def test_a_profile_that_is_none_is_left_out_and_the_log_says_why(tmp_path, caplog, content, reason):
    path = tmp_path / "iris.joblib.profile.json"
    path.write_bytes(content)
    assert read_profile(source(tmp_path / "iris.joblib")) is None
    (line,) = caplog.records
    assert str(path) in line.message
    assert reason in line.message


def test_nothing_but_a_regular_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.profile.json")
    (tmp_path / "folder.profile.json").mkdir()
    for name in ("pipe", "folder"):
        assert read_profile(source(tmp_path / name)) is None


def test_a_profile_that_cannot_be_opened_is_left_out_and_the_log_says_why(tmp_path, caplog, monkeypatch):
    (tmp_path / "iris.profile.json").write_text("{}")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert read_profile(source(tmp_path / "iris")) is None
    assert "Permission denied" in caplog.text
