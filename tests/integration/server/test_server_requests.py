"""A real iris model behind a real socket: every path and protocol, good requests and bad ones."""

import re
import socket

import httpx
import orjson
import pytest
from serverkit import IRIS, SETOSA, is_unharmed, read_all, tensor

INFER = "/v2/models/iris/infer"
PREDICT = "/v1/models/iris:predict"
NAMED = "/api/v1/models/iris/predict"


def test_v2_answers_labels_and_probabilities(iris):
    request = {"id": "42", **tensor([SETOSA, [6.7, 3.0, 5.2, 2.3]])}
    answer = iris.post(INFER, json={**request, "outputs": [{"name": "predict"}, {"name": "predict_proba"}]}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "iris", "v1")
    labels, probabilities = answer["outputs"]
    assert labels == {"name": "predict", "shape": [2], "datatype": "INT64", "data": [0, 2]}
    assert (probabilities["shape"], probabilities["datatype"]) == ([2, 3], "FP64")
    assert sum(probabilities["data"]) == pytest.approx(2)


def test_the_three_protocols_agree(iris):
    named = dict(zip(IRIS, SETOSA, strict=True))
    assert iris.post(INFER, json=tensor([SETOSA])).json()["outputs"][0]["data"] == [0]
    assert iris.post(PREDICT, json={"instances": [SETOSA]}).json() == {"predictions": [0]}
    assert iris.post(PREDICT, json={"instances": [named]}).json() == {"predictions": [0]}
    single = iris.post(NAMED, json=named).json()
    assert (single["prediction"], single["model_version"]) == (0, "v1")
    assert single["probabilities"]["0"] > 0.9
    assert iris.post(NAMED, json={"instances": [named]}).json()["predictions"] == [0]


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v2/health/ready", "/v2/models/iris/ready", "/v2", "/v1/models/iris"]
)
def test_health_and_server_answer(iris, path):
    answer = iris.get(path)
    assert answer.status_code == 200
    assert answer.headers["tidegate-version"] == "v1"
    assert iris.head(path).content == b""


def test_the_metadata_is_enough_to_make_a_request(iris):
    metadata = iris.get("/v2/models/iris").json()
    assert metadata["versions"] == ["v1"]
    assert metadata["platform"].startswith("sklearn")
    inputs = [
        {"name": field["name"], "shape": [1], "datatype": field["datatype"], "data": [value]}
        for field, value in zip(metadata["inputs"], SETOSA, strict=True)
    ]
    request = {"inputs": inputs, "outputs": [{"name": output["name"]} for output in metadata["outputs"]]}
    answer = iris.post(INFER, json=request).json()
    assert [output["datatype"] for output in answer["outputs"]] == [out["datatype"] for out in metadata["outputs"]]


def test_a_request_id_is_echoed_or_made(iris):
    assert iris.get("/v2", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert re.fullmatch("[0-9a-f]{32}", iris.get("/v2").headers["x-request-id"])
    refused = iris.get("/nowhere", headers={"x-request-id": "abc-2"})
    assert (refused.headers["x-request-id"], refused.json()["request_id"]) == ("abc-2", "abc-2")


def test_a_path_may_be_written_in_other_ways(iris):
    for path in (f"{INFER}?a=b", f"{INFER}/", "/v2/models/%69ris/infer"):
        assert iris.post(path, json=tensor([SETOSA])).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("GET", "/v2/models/other", 404, "unknown_model"),
        ("POST", "/v2/models/other/infer", 404, "unknown_model"),
        ("POST", "/v1/models/other:predict", 404, "unknown_model"),
        ("POST", "/api/v1/models/other/predict", 404, "unknown_model"),
        ("GET", "/v2/models/iris/nothing", 404, "not_found"),
        ("GET", INFER, 405, "method_not_allowed"),
        ("PUT", PREDICT, 405, "method_not_allowed"),
        ("DELETE", NAMED, 405, "method_not_allowed"),
        ("POST", "/v2/health/ready", 405, "method_not_allowed"),
    ],
)
def test_unknown_paths_and_wrong_methods_are_told_apart(iris, method, path, status, code):
    answer = iris.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"error", "code", "request_id"}
    assert ("allow" in answer.headers) == (status == 405)


BAD = [
    (INFER, b"this is not JSON", 400, "invalid_json"),
    (INFER, b"", 400, "invalid_json"),
    (INFER, b"[" * 500_000, 400, "invalid_json"),
    (INFER, b"[]", 400, "invalid_request"),
    (INFER, orjson.dumps(tensor([[1, 2]])), 400, "invalid_shape"),
    (INFER, orjson.dumps(tensor([["a", "b", "c", "d"]])), 400, "invalid_datatype"),
    (INFER, orjson.dumps(tensor([[None] * 4])), 400, "invalid_datatype"),
    (INFER, b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[NaN,1,2,3]}]}', 400, "not_finite"),
    (INFER, b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1e999,1,2,3]}]}', 400, "not_finite"),
    (
        INFER,
        orjson.dumps({"inputs": [{**tensor([[1]])["inputs"][0], "shape": [0, 4], "data": []}]}),
        400,
        "empty_batch",
    ),
    (INFER, orjson.dumps({"inputs": tensor([SETOSA])["inputs"] * 2}), 400, "duplicate_input"),
    (INFER, orjson.dumps({**tensor([SETOSA]), "outputs": [{"name": "explain"}]}), 400, "unknown_output"),
    (PREDICT, orjson.dumps({"instances": []}), 400, "empty_batch"),
    (PREDICT, orjson.dumps({"instances": [SETOSA, SETOSA[:3]]}), 400, "invalid_shape"),
    (PREDICT, b'{"instances":[[Infinity,1,2,3]]}', 400, "not_finite"),
    (PREDICT, b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}", 400, "invalid_shape"),
    (PREDICT, orjson.dumps({"instances": [[1]] * 100_000}), 413, "too_many_rows"),
    (NAMED, orjson.dumps({"sepal_length": 5.1}), 400, "missing_input"),
    (NAMED, orjson.dumps({**dict.fromkeys(IRIS, 1), "color": "red"}), 400, "unknown_input"),
    (NAMED, b'{"a":1e309}', 400, "not_finite"),
    (INFER, b'{"inputs":[' + b" " * (1 << 20) + b"]}", 413, "body_too_large"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD)
def test_a_bad_body_gets_its_error_and_harms_nobody(iris, path, body, status, code):
    answer = iris.post(path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert is_unharmed(iris, INFER)


def test_a_chunked_body_is_read_and_limited(iris):
    pieces = [b'{"instances":[[5.1,3.5,', b"1.4,0.2]]}"]
    assert iris.post(PREDICT, content=iter(pieces)).json() == {"predictions": [0]}
    answer = iris.post(PREDICT, content=iter([b" " * 60_000] * 20))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("headers", [{"x": "y" * 70_000}, {f"x-{number}": "y" for number in range(200)}])
def test_a_header_bomb_is_refused(iris, headers):
    answer = iris.get("/v2", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")
    assert is_unharmed(iris, INFER)


def test_a_body_announced_as_too_large_is_refused_before_it_comes(iris_server):
    with socket.create_connection(("127.0.0.1", iris_server.port), timeout=5) as client:
        client.sendall(b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_half_a_request_and_then_a_disconnect_is_harmless(iris, iris_server):
    with socket.create_connection(("127.0.0.1", iris_server.port)) as client:
        client.sendall(b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    assert is_unharmed(iris, INFER)


def test_pipelined_requests_are_answered_in_order(iris_server):
    requests = b""
    for label, row in enumerate([SETOSA, [5.9, 3.0, 4.2, 1.5], [6.7, 3.0, 5.2, 2.3]] * 30):
        body = orjson.dumps({"instances": [row]})
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nx-request-id: r{label}\r\ncontent-length: {len(body)}\r\n"
        requests += (head + ("connection: close\r\n" if label == 89 else "") + "\r\n").encode() + body
        requests += b"" if label == 89 else b"GET /v2 HTTP/1.1\r\nx-request-id: between\r\n\r\n"
    with socket.create_connection(("127.0.0.1", iris_server.port), timeout=10) as client:
        client.sendall(requests)
        answers = read_all(client)
    assert re.findall(rb"x-request-id: (r\d+)", answers) == [f"r{number}".encode() for number in range(90)]
    assert re.findall(rb'"predictions":\[(\d)\]', answers) == [b"0", b"1", b"2"] * 30


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(iris_server):
    body = orjson.dumps({"instances": [SETOSA]})
    with socket.create_connection(("127.0.0.1", iris_server.port), timeout=5) as client:
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\n"
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_all(client).endswith(b'{"predictions":[0]}')


def test_one_connection_is_kept_for_many_requests(iris, iris_server):
    before = iris_server.stats().requests
    with httpx.Client(base_url=iris.base_url, limits=httpx.Limits(max_connections=1)) as client:
        assert all(client.post(PREDICT, json={"instances": [SETOSA]}).status_code == 200 for _ in range(20))
        assert iris_server.stats().requests == before + 20
