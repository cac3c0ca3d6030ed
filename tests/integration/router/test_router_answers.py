"""What Envoy itself answers, and what it lets through."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.ir import Retry, Route
from router.split import choose

Start = Callable[..., Awaitable[Any]]


def check_error(answer: Any, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.error.keys() == {"error", "code", "request_id"}
    assert answer.error["code"] == code
    assert answer.error["error"]
    assert answer.error["request_id"] == answer.headers["x-request-id"]


async def test_every_path_of_a_model_reaches_it_and_no_other_path_does(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    await stack.publish(make_route("iris", (await upstream("v"), 10_000)))
    for path in ("/v2/models/iris/infer", "/v1/models/iris:predict", "/api/v1/models/iris/predict"):
        assert (await stack.ask(path)).version == "v"
    for path in ("/v2/models/iris", "/v2/models/iris/ready", "/v1/models/iris", "//v2//models/./iris"):
        assert (await stack.ask(path, None)).version == "v"
    for path in ("/v2/models/iris2/infer", "/v2/models/iri/infer", "/v2/models/Iris", "/v2/models/iris/x", "/", "/x"):
        check_error(await stack.ask(path), 404, "not_found")


async def test_the_fleet_health_paths_are_answered_by_envoy(stack: Any, make_route: Any) -> None:
    assert (await stack.ask("/v2/health/live", None)).error == {"live": True}
    check_error(await stack.ask("/v2/health/ready", None), 503, "starting")
    check_error(await stack.ask("/v2/models/m/infer"), 503, "starting")
    await stack.publish(make_route("m"))
    check = await stack.ask("/v2/health/ready", None)
    assert (check.status, check.error, check.headers["content-type"]) == (200, {"ready": True}, "application/json")
    assert (await stack.ask("/v2", None)).error["name"] == "tidegate"


async def test_a_model_without_weights_is_answered_503_with_retry_after(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    await stack.publish(make_route("m", (await upstream("v"), 0)))
    for path in ("/v2/models/m/infer", "/v1/models/m:predict", "/api/v1/models/m/predict", "/v2/models/m/ready"):
        answer = await stack.ask(path)
        check_error(answer, 503, "model_not_ready")
        assert answer.headers["retry-after"] == "1"


async def test_the_clients_request_id_is_kept(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("m", (replica, 10_000)))
    mine = {"x-request-id": "3f0f7b52-1111-4111-8111-0123456789ab"}
    assert (await stack.ask("/v2/models/m/infer", headers=mine)).headers["x-request-id"] == mine["x-request-id"]
    assert f"x-request-id: {mine['x-request-id']}" in replica.heads[0]
    check_error(await stack.ask("/v2/models/x/infer", headers=mine), 404, "not_found")


async def test_a_body_over_the_models_limit_is_answered_413(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("m", (replica, 10_000), max_body_bytes=100_000))
    assert (await stack.ask("/v2/models/m/infer", b"x" * 100_000)).status == 200
    check_error(await stack.ask("/v2/models/m/infer", b"x" * 100_001), 413, "body_too_large")
    assert len(replica.heads) == 1


async def test_a_slow_model_is_answered_504(stack: Any, upstream: Start, make_route: Any) -> None:
    async def never(replica: Any) -> None:
        await asyncio.sleep(5)

    route = make_route("m", (await upstream("v", answer=never), 10_000), timeout_seconds=0.1)
    await stack.publish(route)
    check_error(await stack.ask("/v2/models/m/infer"), 504, "timeout")


async def test_lost_replicas_are_answered_503(stack: Any, upstream: Start, make_route: Any) -> None:
    dead = await upstream("v")
    await dead.kill()
    await stack.publish(make_route("m", (dead, 10_000), retry=Retry(attempts=0)), make_route("empty", ((), 10_000)))
    check_error(await stack.ask("/v2/models/m/infer"), 503, "replica_lost")
    check_error(await stack.ask("/v2/models/empty/infer"), 503, "no_healthy_replica")


async def test_a_replicas_own_errors_pass_unchanged(stack: Any, upstream: Start, make_route: Any) -> None:
    async def full(replica: Any) -> bytes:
        reply: bytes = replica.reply("503 Full", b'{"code":"queue_full"}', "retry-after: 7\r\n")
        return reply

    replica = await upstream("v", answer=full)
    await stack.publish(make_route("m", (replica, 10_000), retry=Retry(attempts=1)))
    answer = await stack.ask("/v2/models/m/infer")
    assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, {"code": "queue_full"}, "7")
    assert len(replica.heads) == 2


@pytest.mark.parametrize(
    ("request_text", "status", "code"),
    [
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\na: " + b"y" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\n" + b"a: y\r\n" * 120 + b"\r\n", 431, "headers_too_large"),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\na_b: y\r\n\r\n", 400, "bad_request"),
        (b"GET /v2%2fmodels HTTP/1.1\r\nhost: x\r\n\r\n", 400, "bad_request"),
        (b"this is no HTTP\r\n\r\n", 400, "bad_request"),
        (b"GET /v2 HTTP/1.0\r\n\r\n", 426, "upgrade_required"),
        (b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", 404, "not_found"),
        (b"PUT /v2 HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed"),
    ],
    ids=["long header", "many headers", "underscore", "escaped slash", "garbage", "http 1.0", "connect", "method"],
)
async def test_what_is_no_request_gets_a_json_error(stack: Any, request_text: bytes, status: int, code: str) -> None:
    head, body = await raw(stack.listen.port, request_text)
    assert f" {status} ".encode() in head.split(b"\r\n")[0]
    assert b"content-type: application/json" in head
    error = json.loads(body)
    assert (error["code"], error["error"] != "") == (code, True)
    assert f"\r\nx-request-id: {error['request_id']}\r\n".encode() in head
    assert (await stack.ask("/v2", None)).status == 200


async def test_a_client_that_does_not_finish_its_request_gets_408(
    start_stack: Any, upstream: Start, make_route: Any
) -> None:
    async with start_stack(request_timeout_seconds=0.3) as stack:
        replica = await upstream("v")
        await stack.publish(make_route("m", (replica, 10_000)))
        begun = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{}"
        head, body = await raw(stack.listen.port, begun)
        assert b" 408 " in head.split(b"\r\n")[0]
        assert b'"code":"request_timeout"' in body
        assert replica.heads == []


async def test_a_client_that_dribbles_a_body_is_given_up_although_it_is_never_idle(
    start_stack: Any, upstream: Start, make_route: Any
) -> None:
    async with start_stack(request_timeout_seconds=0.5) as stack:
        await stack.publish(make_route("m", (await upstream("v"), 10_000)))
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.listen.port)
        writer.write(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(10):
            while not (await asyncio.wait([answer], timeout=0.05))[0]:
                writer.write(b" ")
        assert answer.result() == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()


async def raw(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await reader.readexactly(length)
    finally:
        writer.close()


async def test_clients_cannot_steer_envoy_by_its_own_headers(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("m", (replica, 10_000)))
    forged = {
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-retry-on": "5xx",
        "x-envoy-max-retries": "9",
        "x-envoy-internal": "true",
        "tidegate-mirror": "1",
    }
    answer = await stack.ask("/v2/models/m/infer", headers=forged)
    assert answer.status == 200
    assert not [name for name in forged if f"{name}:" in replica.heads[0]]
    assert not [name for name in answer.headers if name.startswith("x-envoy")]
    assert answer.headers["server"] == "tidegate"


async def test_http2_without_tls_is_understood(stack: Any) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with socket.create_connection(("127.0.0.1", stack.listen.port), timeout=10) as client:
        client.sendall(preface)
        frame = client.recv(9)
    assert frame[3] == 4  # SETTINGS (RFC 9113, section 6.5)


async def test_models_answer_on_their_hosts_only(stack: Any, upstream: Start, make_route: Any) -> None:
    everywhere, one, wild = await upstream("everywhere"), await upstream("one"), await upstream("wild")
    await stack.publish(
        make_route("all", (everywhere, 10_000)),
        make_route("one", (one, 10_000), hosts=("one.example.com",)),
        make_route("wild", (wild, 10_000), hosts=("*.example.com",)),
    )

    async def version(model: str, host: str) -> str:
        return str((await stack.ask(f"/v2/models/{model}/infer", headers={"host": host})).version)

    assert await version("all", "one.example.com:8080") == "everywhere"
    assert await version("one", "one.example.com") == "one"
    assert await version("wild", "one.example.com") == "wild"
    assert await version("one", "two.example.com") == ""
    assert await version("wild", "two.example.com") == "wild"
    assert await version("wild", "elsewhere.test") == ""


async def test_bodies_up_to_the_limit_can_be_retried(stack: Any, upstream: Start, make_route: Any) -> None:
    async def first_fails(replica: Any) -> bytes | None:
        return None if len(replica.heads) == 1 else replica.reply()

    replica = await upstream("v", answer=first_fails)
    route: Route = make_route("m", (replica, 10_000), max_body_bytes=2_000_000)
    await stack.publish(route)
    assert (await stack.ask("/v2/models/m/infer", b"x" * 1_900_000)).status == 200
    assert len(replica.heads) == 2


async def test_behind_a_proxy_the_ids_and_hosts_that_it_passes_on_decide(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    new, old = await upstream("new"), await upstream("old")
    by_user = make_route("m", (new, 5_000), (old, 5_000), hosts=("models.test",), sticky_header="x-user")
    by_request = make_route("n", (new, 5_000), (old, 5_000), hosts=("models.test",))
    await stack.publish(by_user, by_request)
    for number in range(20):
        passed_on = {
            "host": "models.test:8880",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-proto": "https",
            "x-request-id": f"{number:08x}-1111-4111-8111-0123456789ab",
            "x-user": f"user-{number}",
        }
        answer = await stack.ask("/v2/models/m/infer", headers=passed_on)
        assert answer.version == choose(by_user, passed_on["x-user"])
        assert answer.headers["x-request-id"] == passed_on["x-request-id"]
        answer = await stack.ask("/v2/models/n/infer", headers=passed_on)
        assert answer.version == choose(by_request, passed_on["x-request-id"])
    for head in (*new.heads, *old.heads):
        assert "\r\nx-forwarded-for: 203.0.113.7," in head  # and the proxy's own address
