"""Requests that are selected for a version by header or by what their body says, on a real Envoy."""

import asyncio
import http.client
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest

from benchmarks.client import burst, post, steady
from router.ir import Backend, Condition, Mirror, Route, Selection
from router.split import choose
from router.translate.routes import inference_paths, metadata_paths

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"
NL = Condition(feature=("user", "country"), values=("nl",))
NL_BODY = b'{"user":{"country":"nl"}}'


@pytest.fixture
async def selecting(stack: Any, upstream: Start, make_route: Any) -> Callable[..., Awaitable[Any]]:
    """Publishes a route whose candidate answers what fits a match, and nothing else."""
    candidate, stable = await upstream("candidate"), await upstream("stable")

    async def publish(*matches: tuple[Condition, ...], **fields: Any) -> Any:
        selection = Selection("candidate", matches)
        await stack.publish(make_route("m", (candidate, 0), (stable, 10_000), selection=selection, **fields))
        return stack

    publish.candidate, publish.stable = candidate, stable  # type: ignore[attr-defined]
    return publish


async def test_a_header_selects_on_every_path_whatever_the_weight(selecting: Any) -> None:
    stack = await selecting((Condition(header="x-preview", values=("1",)),))
    for path in inference_paths("m"):
        assert (await stack.ask(path, headers={"x-preview": "1"})).version == "candidate"
        assert (await stack.ask(path)).version == "stable"
    for path in metadata_paths("m"):
        assert (await stack.ask(path, None, {"x-preview": "1"})).version == "candidate"
        assert (await stack.ask(path, None)).version == "stable"


async def test_selected_requests_are_not_mirrored(selecting: Any, stack: Any) -> None:
    header = Condition(header="x-preview", values=("1",))
    await selecting((header,), (NL,), mirror=Mirror("candidate", 10_000))
    assert (await stack.ask(PATH, headers={"x-preview": "1"})).version == "candidate"
    assert (await stack.ask(PATH, NL_BODY)).version == "candidate"
    assert (await stack.ask(PATH, b'{"last":1}')).version == "stable"
    await stack.until(lambda: len(selecting.candidate.heads) >= 3, "the copy of the last request")
    assert [("tidegate-mirror" in head) for head in selecting.candidate.heads] == [False, False, True]


@pytest.mark.parametrize(
    ("condition", "fitting", "others"),
    [
        (Condition(header="x-a", values=("1", "b.c", "d e")), ["1", "b.c", "d e"], ["2", "11", "bxc", "", "B.C"]),
        (Condition(header="x-a", prefix="beta/"), ["beta/", "beta/2"], ["Beta/", "a beta/"]),
        (Condition(header="x-a"), ["", "anything"], []),
        (Condition(header="x-a", values=("", "1")), ["", "1"], ["2"]),
        (Condition(header="X-A", values=("1",)), ["1"], ["2"]),
    ],
)
async def test_conditions_on_headers(
    selecting: Any, condition: Condition, fitting: list[str], others: list[str]
) -> None:
    stack = await selecting((condition,))
    for value in fitting:
        assert (await stack.ask(PATH, headers={"x-a": value})).version == "candidate", value
    for value in others:
        assert (await stack.ask(PATH, headers={"x-a": value})).version == "stable", value
    assert (await stack.ask(PATH)).version == "stable"


async def test_a_long_list_of_values_is_matched(selecting: Any) -> None:
    users = tuple(f"user-{number}@example.com" for number in range(600))
    stack = await selecting((Condition(header="x-user-id", values=users),))
    assert (await stack.ask(PATH, headers={"x-user-id": users[-1]})).version == "candidate"
    assert (await stack.ask(PATH, headers={"x-user-id": "user-600@example.com"})).version == "stable"


async def test_a_request_fits_a_match_by_all_conditions_and_a_selection_by_any_match(selecting: Any) -> None:
    stack = await selecting(
        (Condition(header="x-a", values=("1",)), Condition(header="x-b")),
        (Condition(header="x-a", values=("2",)), NL, Condition(feature=("age",), low=18)),
    )
    adult, child = b'{"user":{"country":"nl"},"age":18}', b'{"user":{"country":"nl"},"age":17.9}'
    assert [
        (await stack.ask(PATH, body, headers)).version
        for body, headers in (
            (b"{}", {"x-a": "1", "x-b": ""}),
            (adult, {"x-a": "2"}),
            (b"{}", {"x-a": "1"}),
            (adult, {"x-a": "1"}),
            (child, {"x-a": "2"}),
            (NL_BODY, {"x-a": "2"}),
        )
    ] == ["candidate", "candidate", "stable", "stable", "stable", "stable"]


@pytest.mark.parametrize(
    ("condition", "fitting", "others"),
    [
        (Condition(feature=("f",), values=("a", "b")), ["a", "b"], ["c", "", "A", 1, None, True, ["a"], {"a": "b"}]),
        (Condition(feature=("f",), values=(1, 2.5)), [1, 1.0, 2.5], [2, "1", True, None, [1]]),
        (Condition(feature=("f",), values=(True,)), [True], [False, 1, "true"]),
        (Condition(feature=("f",), values=("x", 3, False)), ["x", 3, False], [True, 0, "3"]),
        (Condition(feature=("f",), values=("",)), [""], ["a", None, 0, False]),
        (Condition(feature=("f",), prefix="nl-"), ["nl-", "nl-NH"], ["nl", "NL-NH", 5]),
        (Condition(feature=("f",), low=18, high=65.5), [18, 18.0, 65.4], [17.99, 65.5, 66, "20", None]),
        (Condition(feature=("f",), low=18), [18, 1e308, 2**63 - 1], [17, -1e308]),
        (Condition(feature=("f",), high=0), [-1, -1e308, -0.001], [0, 1]),
        (Condition(feature=("f",)), ["a", 0, False, "a" * 8_000], [None, [], {}, {"f": 1}, "a" * 8_200, 2**63]),
        (Condition(feature=("f", "g", "h"), values=("1",)), [{"g": {"h": "1"}}], [{"g": "1"}, {"h": {"g": "1"}}, "1"]),
        (Condition(feature=("f", "a.b/c d[0]"), values=("1",)), [{"a.b/c d[0]": "1"}], [{"a": {"b": "1"}}]),
    ],
)
async def test_conditions_on_features(
    selecting: Any, condition: Condition, fitting: list[Any], others: list[Any]
) -> None:
    stack = await selecting((condition,))
    for value in fitting:
        assert (await stack.ask(PATH, json.dumps({"f": value}).encode())).version == "candidate", value
    for value in others:
        assert (await stack.ask(PATH, json.dumps({"f": value}).encode())).version == "stable", value
    assert (await stack.ask(PATH, b'{"other": 1}')).version == "stable"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nl",
        b"[]",
        b'[{"user":{"country":"nl"}}]',
        b'{"user":{"country":"nl"}} trailing',
        b'{"user":{"country":"nl"},"x":"\xff"}',
        b'{"user":{"country":"nl"},"x":18446744073709551616e999}',
        b'{"user":{"country":"nl"},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"user":{"country":"nl"},"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b"[" * 1_000_000,
    ],
    ids=lambda body: body[:40].decode("ascii", "replace"),
)
async def test_what_cannot_be_read_goes_by_weight_and_arrives_whole(selecting: Any, body: bytes) -> None:
    stack = await selecting((NL,))
    before = stack.envoy.pid
    answer = await stack.ask(PATH, body)
    assert (answer.status, answer.version) == (200, "stable")
    assert f"content-length: {len(body)}\r\n" in selecting.stable.heads[0]
    assert stack.envoy.pid == before


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain", "", "\xff"]
)
async def test_the_content_type_does_not_matter(selecting: Any, content_type: str) -> None:
    stack = await selecting((NL,))
    assert (await stack.ask(PATH, NL_BODY, {"content-type": content_type})).version == "candidate"


async def test_a_request_without_a_body_goes_by_weight(selecting: Any) -> None:
    stack = await selecting((NL,))
    for path in (*inference_paths("m"), *metadata_paths("m")):
        assert (await stack.ask(path, None)).version == "stable"


async def test_a_chunked_body_is_read(selecting: Any) -> None:
    stack = await selecting((NL,))

    def ask() -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", stack.listen.port, timeout=15)
        try:
            connection.request("POST", PATH, iter((NL_BODY[:9], NL_BODY[9:])), encode_chunked=True)
            return connection.getresponse().getheader("tidegate-version")
        finally:
            connection.close()

    assert await asyncio.to_thread(ask) == "candidate"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


@pytest.mark.parametrize("trailers", [b"", literal(b"x-trailer", b"1")])
async def test_a_body_in_several_http2_frames_is_read(selecting: Any, trailers: bytes) -> None:
    stack = await selecting((NL,))
    head = [(b":method", b"POST"), (b":path", PATH.encode()), (b":scheme", b"http"), (b":authority", b"x.test")]
    _, writer = await asyncio.open_connection("127.0.0.1", stack.listen.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
    writer.write(frame(1, 4, 1, b"".join(literal(*pair) for pair in head)))
    writer.write(frame(0, 0, 1, NL_BODY[:9]))
    await writer.drain()
    writer.write(frame(0, 0 if trailers else 1, 1, NL_BODY[9:]) + (frame(1, 5, 1, trailers) if trailers else b""))
    await writer.drain()
    heads, others = selecting.candidate.heads, selecting.stable.heads
    await stack.until(lambda: bool(heads or others), "the arrival of the request")
    assert (len(heads), len(others)) == (1, 0)
    writer.close()


async def test_the_body_limit_stays_the_routes_own(selecting: Any) -> None:
    stack = await selecting((NL,), max_body_bytes=10_000)

    def body(size: int) -> bytes:
        return NL_BODY[:-1] + b',"x":"' + b"a" * (size - len(NL_BODY) - 7) + b'"}'

    assert (len(body(10_000)), (await stack.ask(PATH, body(10_000))).version) == (10_000, "candidate")
    answer = await stack.ask(PATH, body(10_001))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


async def test_a_change_of_features_closes_no_connection_and_changes_no_listener(selecting: Any) -> None:
    stack = await selecting((NL,))
    connection = http.client.HTTPConnection("127.0.0.1", stack.listen.port, timeout=15)

    def ask(body: dict[str, Any]) -> tuple[str | None, str | None]:
        socket_before = connection.sock
        connection.request("POST", PATH, json.dumps(body))
        response = connection.getresponse()
        response.read()
        assert socket_before in (None, connection.sock)
        return response.getheader("tidegate-version"), response.getheader("connection")

    try:
        listeners = await stack.envoy.admin.get("/stats?filter=listener_manager.listener_")
        async with steady(stack.listen.port, repeat(post(PATH, b'{"k":-1}')), 2) as load:
            for number in range(5):
                await selecting((Condition(feature=(f"key-{number}",), values=(number,)),))
                assert await asyncio.to_thread(ask, {f"key-{number}": number}) == ("candidate", None)
                assert await asyncio.to_thread(ask, {f"key-{number}": number + 1}) == ("stable", None)
        assert await stack.envoy.admin.get("/stats?filter=listener_manager.listener_") == listeners
        assert load.tally.failed == 0
    finally:
        connection.close()


async def test_other_requests_are_drawn_as_foretold(stack: Any, upstream: Start, make_route: Any) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    selection = Selection("candidate", ((Condition(feature=("vip",), values=(True,)),),))
    route = make_route("m", (candidate, 2_500), (stable, 7_500), selection=selection, sticky_header="x-user-id")
    await stack.publish(route)
    users = [f"user-{number}" for number in range(1_000)]
    for body, expected in (
        (b'{"vip":false}', [choose(route, user) for user in users]),
        (b'{"vip":true}', ["candidate"] * len(users)),
    ):
        _, answers = await burst(stack.listen.port, [post(PATH, body, {"x-user-id": user}) for user in users])
        assert [answer.version for answer in answers] == expected


async def test_a_selection_without_endpoints_gives_way_to_the_weights(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    stable = await upstream("stable")
    found: Route = make_route("m", (stable, 10_000))
    selection = Selection("candidate", ((Condition(header="x-preview"),), (NL,)))
    await stack.publish(replace(found, backends=(Backend("candidate", 0), *found.backends), selection=selection))
    for body in (b"{}", NL_BODY):
        assert (await stack.ask(PATH, body, {"x-preview": "1"})).version == "stable"


async def test_a_selected_version_whose_replicas_are_lost_fails_until_its_selection_is_taken_back(
    selecting: Any,
) -> None:
    condition = Condition(header="x-preview")
    stack = await selecting((condition,))
    await selecting.candidate.kill()
    answer = await stack.ask(PATH, headers={"x-preview": "1"})
    assert (answer.status, answer.error["code"]) in ((503, "replica_lost"), (503, "no_healthy_replica"))
    assert (await stack.ask(PATH)).version == "stable"
    (route,) = stack.router.published().values()
    await stack.publish(replace(route, backends=(Backend("candidate", 0), route.backends[1])))
    assert (await stack.ask(PATH, headers={"x-preview": "1"})).version == "stable"
