"""What no client should send, through Envoy to a real replica: each gets its error, and nobody else notices."""

import asyncio
import json
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPResponse

import httpx
import psutil
import pytest
import yaml
from processes import replicas_of, runs
from sklearn.datasets import load_iris

from benchmarks.client import cycle_rows, steady

NAME = "bad-requests"
INFER, PREDICT, NAMED = f"/v2/models/{NAME}/infer", f"/v1/models/{NAME}:predict", f"/api/v1/models/{NAME}/predict"
COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SETOSA = (5.1, 3.5, 1.4, 0.2)
RECORD = dict(zip(COLUMNS, SETOSA, strict=True))
GOOD = json.dumps({"instances": [SETOSA]}).encode()
LARGEST_BODY = 10 << 20
MANY = 100_000


def tensor(shape: object = (1, 4), data: object = SETOSA, datatype: str = "FP64", name: str = "input") -> dict:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def v2(*inputs: dict) -> bytes:
    """A v2 request; Python's JSON writes NaN and Infinity as many clients do, although they are no JSON."""
    return json.dumps({"inputs": inputs}).encode()


def v1(*instances: object) -> bytes:
    return json.dumps({"instances": instances}).encode()


def named(**changes: object) -> bytes:
    return json.dumps(RECORD | changes).encode()


def columns(*names: str) -> bytes:
    return v2(*(tensor([1], [1.0], name=name) for name in names))


NAN, INFINITY = float("nan"), float("inf")
BAD_BODIES = [
    *(
        (path, body, 400, "invalid_json")
        for path in (INFER, PREDICT, NAMED)
        for body in (b"", b"not JSON", b"[" * 9_000)
    ),
    *((path, b"[1]", 400, "invalid_request") for path in (INFER, PREDICT, NAMED)),
    (INFER, v2(tensor((1, 3), SETOSA[:3])), 400, "invalid_shape"),
    (INFER, v2(tensor((2, 4))), 400, "invalid_shape"),
    (INFER, v2(tensor("1x4")), 400, "invalid_shape"),
    (INFER, v2(tensor((1, 1, 4))), 400, "invalid_shape"),
    (PREDICT, v1(SETOSA[:3]), 400, "invalid_shape"),
    (PREDICT, v1(SETOSA, 1.0), 400, "invalid_shape"),
    (NAMED, named(sepal_length=[5.1]), 400, "invalid_shape"),
    (INFER, v2(tensor(datatype="COMPLEX")), 400, "invalid_datatype"),
    (INFER, v2(tensor(datatype="BYTES", data=["a"] * 4)), 400, "invalid_datatype"),
    (INFER, v2(tensor(data=["5.1"] * 4)), 400, "invalid_datatype"),
    (PREDICT, v1(["5.1"] * 4), 400, "invalid_datatype"),
    (PREDICT, v1([None] * 4), 400, "invalid_datatype"),
    (NAMED, named(petal_width=True), 400, "invalid_datatype"),
    *((INFER, v2(tensor(data=[value, 1, 1, 1])), 400, "not_finite") for value in (NAN, INFINITY, -INFINITY)),
    *((PREDICT, v1([value, 1, 1, 1]), 400, "not_finite") for value in (NAN, INFINITY)),
    *((NAMED, named(petal_width=value), 400, "not_finite") for value in (NAN, INFINITY)),
    (PREDICT, b'{"instances":[[1e999,1,1,1]]}', 400, "not_finite"),
    (INFER, b"{}", 400, "missing_input"),
    (INFER, v2(), 400, "missing_input"),
    (INFER, columns(*COLUMNS[:3]), 400, "missing_input"),
    (PREDICT, b"{}", 400, "missing_input"),
    (PREDICT, v1({"sepal_length": 5.1}), 400, "missing_input"),
    (NAMED, b"{}", 400, "missing_input"),
    (INFER, columns(*COLUMNS, "colour"), 400, "unknown_input"),
    (INFER, v2(tensor(), tensor()), 400, "duplicate_input"),
    (PREDICT, v1(RECORD | {"colour": 1}), 400, "unknown_input"),
    (NAMED, named(colour=1), 400, "unknown_input"),
    (INFER, v2(tensor((0, 4), [])), 400, "empty_batch"),
    (PREDICT, v1(), 400, "empty_batch"),
    (NAMED, v1(), 400, "empty_batch"),
    (INFER, v2(tensor((MANY, 4), SETOSA * MANY)), 413, "too_many_rows"),
    (PREDICT, v1(*[SETOSA] * MANY), 413, "too_many_rows"),
    (NAMED, v1(*[RECORD] * MANY), 413, "too_many_rows"),
    *((path, b" " * (LARGEST_BODY + 1), 413, "body_too_large") for path in (INFER, PREDICT, NAMED)),
]

BAD_HEADS = [
    ("POST", "/v2/models/nobody/infer", {}, 404, "not_found"),
    ("POST", "/v1/models/nobody:predict", {}, 404, "not_found"),
    ("POST", "/api/v1/models/nobody/predict", {}, 404, "not_found"),
    ("GET", "/v2/models/nobody", {}, 404, "not_found"),
    ("GET", INFER, {}, 405, "method_not_allowed"),
    ("PUT", PREDICT, {}, 405, "method_not_allowed"),
    ("DELETE", NAMED, {}, 405, "method_not_allowed"),
    ("POST", f"/v2/models/{NAME}", {}, 405, "method_not_allowed"),
    ("DELETE", "/v2/health/ready", {}, 405, "method_not_allowed"),
    *(
        ("POST", path, {f"x-{n}": "1" for n in range(200)}, 431, "headers_too_large")
        for path in (INFER, PREDICT, NAMED)
    ),
    *(("POST", path, {"x-huge": "1" * 40_000}, 431, "headers_too_large") for path in (INFER, PREDICT, NAMED)),
    ("POST", PREDICT, {"content-encoding": "gzip"}, 415, "unsupported_encoding"),
    ("POST", PREDICT, {"expect": "a-miracle"}, 417, "expectation_failed"),
    ("GET", INFER, {"connection": "upgrade", "upgrade": "websocket"}, 403, "forbidden"),
]

REQUEST_IDS = {
    "long": (b"k" * 300, "k" * 300),
    "of words": (b'two "words"', 'two "words"'),
    "UTF-8": ("ümlaut".encode(), "ümlaut"),
    "no UTF-8": (b"\xff\xfe", "ÿþ"),
    "in part UTF-8": ("ü".encode() + b"\xff", "Ã¼ÿ"),
}
HEAD = f"POST {PREDICT} HTTP/1.1\r\nhost: tidegate.test\r\n".encode()
WHOLE = HEAD + b"content-length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
NO_HTTP = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS\r\n\r\n", 400, "bad_request"),
    (HEAD + b"no colon\r\n\r\n", 400, "bad_request"),
    (HEAD + b"content-length: -1\r\n\r\n", 400, "bad_request"),
    (HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "bad_request"),
    (HEAD + b"transfer-encoding: chunked\r\n\r\nno length\r\n", 400, "bad_request"),
    (b"CONNECT tidegate.test:80 HTTP/1.1\r\nhost: tidegate.test\r\n\r\n", 404, "not_found"),
    (b"GET /v2 HTTP/1.0\r\n\r\n", 426, "upgrade_required"),
]


def ids(cases: Sequence[tuple]) -> list[str]:
    """The expected code and the path: the bodies, which pytest would take for names, may have megabytes."""
    return [" ".join([case[-1], *(part for part in case if part in (INFER, PREDICT, NAMED))]) for case in cases]


@pytest.fixture(scope="module")
def replica(stack) -> Iterator[psutil.Process]:
    """The one replica of a model that is there for these tests, and outlives them all."""
    path = stack.manifest(NAME, "iris-1", traffic={"limits": {"maxBodyBytes": LARGEST_BODY}})
    manifest = yaml.safe_load(path.read_text())
    manifest["spec"]["model"]["inputs"] = [{"name": column} for column in COLUMNS]
    path.write_text(yaml.safe_dump(manifest))
    stack.cli("apply", "-f", str(path))
    stack.until(NAME, lambda status: status.get("phase") == "Healthy")
    (process,) = replicas_of(stack.process.pid, NAME)
    yield process
    assert replicas_of(stack.process.pid, NAME) == [process], "the replica was replaced meanwhile"
    stack.cli("delete", NAME)


@pytest.fixture(scope="module")
def slow_clients(stack, replica) -> Iterator[dict[str, "Future[tuple[float, httpx.Response]]"]]:
    """Clients that begin before the first test and dawdle during all of them."""
    beginnings = {
        "half a head, byte by byte": (HEAD + b"x-slow: ", b"a"),
        "half a body, then nothing": (HEAD + b"content-length: 1000\r\n\r\n{", b""),
    }
    with ThreadPoolExecutor(len(beginnings)) as pool:
        yield {name: pool.submit(dawdle, stack.port, *parts) for name, parts in beginnings.items()}


@pytest.fixture(autouse=True)
def nobody_is_harmed(stack, replica, slow_clients) -> Iterator[None]:
    """After each test a good request on a connection of its own is answered, by the same process as ever."""
    yield
    answer = httpx.post(f"http://127.0.0.1:{stack.port}{PREDICT}", content=GOOD)
    assert (answer.status_code, answer.json()) == (200, {"predictions": [0]})
    assert answer.headers["tidegate-version"] == stack.status(NAME)["stable"]["id"]
    assert runs(replica)


@pytest.fixture
def client(stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=30) as client:
        yield client


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD_BODIES, ids=ids(BAD_BODIES))
def test_a_body_that_does_not_fit_is_refused_with_its_reason(client, path, body, status, code) -> None:
    check_error(client.post(path, content=body), status, code)


@pytest.mark.parametrize("path", [INFER, PREDICT, NAMED])
def test_a_chunked_body_is_refused_once_it_has_grown_too_large(client, path) -> None:
    check_error(client.post(path, content=iter([b" " * 65_536] * (LARGEST_BODY // 65_536 + 1))), 413, "body_too_large")


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), BAD_HEADS, ids=ids(BAD_HEADS))
def test_a_head_that_cannot_be_served_is_refused_with_its_reason(client, method, path, headers, status, code) -> None:
    answer = client.request(method, path, headers=headers, content=GOOD if method == "POST" else None)
    check_error(answer, status, code)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(("given", "text"), REQUEST_IDS.values(), ids=REQUEST_IDS)
@pytest.mark.parametrize(("path", "body"), [(PREDICT, GOOD), (PREDICT, b"not JSON"), ("/v1/models/nobody", b"")])
def test_the_clients_request_id_is_in_the_answer_whatever_it_is_and_whoever_answers(
    stack, path, body, given, text
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: tidegate.test\r\ncontent-length: {len(body)}\r\n".encode()
    with connected(stack.port) as connection:
        connection.sendall(head + b"x-request-id: " + given + b"\r\n\r\n" + body)
        answer = read_answer(connection)
    assert dict(answer.headers.raw)[b"x-request-id"] == given
    if answer.status_code != 200:
        assert answer.json()["request_id"] == text


@pytest.mark.parametrize(("sent", "status", "code"), NO_HTTP, ids=ids(NO_HTTP))
def test_what_is_no_request_is_answered_in_json_all_the_same(stack, sent, status, code) -> None:
    with connected(stack.port) as connection:
        connection.sendall(sent)
        check_error(read_answer(connection), status, code)


def test_garbage_behind_good_requests_is_refused_after_their_answers(stack) -> None:
    with connected(stack.port) as connection:
        connection.sendall(WHOLE * 3 + b"\x00\xff garbage\r\n\r\n")
        received = b""
        while data := connection.recv(65_536):
            received += data
    assert received.count(b"HTTP/1.1 200 OK\r\n") == received.count(b'{"predictions":[0]}') == 3
    last = received.rpartition(b"HTTP/1.1 ")[2]
    assert last.startswith(b"400 ")
    assert json.loads(last.partition(b"\r\n\r\n")[2])["code"] == "bad_request"


@pytest.mark.parametrize("path", [INFER, PREDICT, NAMED])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_leave_in_the_middle_of_a_request_cost_nothing(stack, path, reset) -> None:
    whole = WHOLE.replace(PREDICT.encode(), path.encode())
    for sent in range(1, len(whole) + 1, 7):
        with connected(stack.port) as connection:
            connection.sendall(whole[:sent])
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_slow_clients_are_given_up_while_everybody_else_is_served(stack, slow_clients) -> None:
    rows = load_iris(return_X_y=True)[0]
    async with steady(stack.port, cycle_rows(INFER, rows), connections=4, pace=0.01) as load:
        for name, waiting in slow_clients.items():
            seconds, answer = await asyncio.wrap_future(waiting)
            check_error(answer, 408, "request_timeout")
            assert 5 < seconds < 40, name
    assert load.tally.sent > 0
    assert load.tally.failed == 0, load.tally.failures


def check_error(answer: httpx.Response, status: int, code: str) -> None:
    """Every error has the same form, whoever noticed it, and one id in its head and in its body."""
    error = answer.json()
    assert (answer.status_code, error["code"]) == (status, code), error
    assert answer.headers["content-type"] == "application/json"
    assert error.keys() - {"details"} == {"error", "code", "request_id"}
    assert error["error"]
    assert error["request_id"] == answer.headers["x-request-id"]


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def read_answer(connection: socket.socket) -> httpx.Response:
    with HTTPResponse(connection) as answer:
        answer.begin()
        headers = httpx.Headers([(name.encode(), value.encode("latin-1")) for name, value in answer.getheaders()])
        return httpx.Response(answer.status, headers=headers, content=answer.read())


def dawdle(port: int, beginning: bytes, drop: bytes) -> tuple[float, httpx.Response]:
    """Begin a request and go on with a `drop` a second until the answer comes; how long that took, and the answer."""
    began = time.monotonic()
    with connected(port) as connection:
        connection.sendall(beginning)
        while not select.select([connection], [], [], 1)[0]:
            with suppress(ConnectionError):  # refused just now: the answer is on its way
                connection.sendall(drop)
        return time.monotonic() - began, read_answer(connection)
