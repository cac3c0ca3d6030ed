"""Clients that are told apart by a cookie, which the router gives to those who have none, on a real Envoy."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import pytest

from benchmarks.client import burst, post
from router.ir import Cookie, Mirror, Route
from router.split import choose, choose_without_sticky
from router.translate.routes import inference_paths, metadata_paths

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"
COOKIE = Cookie("tidegate.m", 3_600)
CLIENTS = [f"client-{number}" for number in range(4_000)]


def weighted(route: Route, candidate: int) -> Route:
    first, second = route.backends
    return replace(route, backends=(replace(first, weight=candidate), replace(second, weight=10_000 - candidate)))


async def versions(stack: Any, headers: list[dict[str, str]], model: str = "m") -> list[str]:
    path = f"/v2/models/{model}/infer"
    tally, answers = await burst(stack.listen.port, [post(path, b"{}", found) for found in headers])
    assert (tally.failed, tally.answered) == (0, len(headers)), tally.failures[:3]
    return [answer.version for answer in answers]


@pytest.fixture
async def route(stack: Any, upstream: Start, make_route: Any) -> Route:
    """A published route of two versions, half and half."""
    candidate, stable = await upstream("candidate"), await upstream("stable")
    found: Route = make_route("m", (candidate, 5_000), (stable, 5_000), sticky_cookie=COOKIE)
    await stack.publish(found)
    return found


@pytest.mark.usefixtures("route")
async def test_the_first_answer_sets_the_cookie_and_later_ones_do_not(stack: Any) -> None:
    for path, body in (
        *((path, b"{}") for path in inference_paths("m")),
        *((path, None) for path in metadata_paths("m")),
    ):
        answer = await stack.ask(path, body)
        (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert (cookie.key, cookie.value) == ("tidegate.m", answer.headers["x-request-id"])
        assert (cookie["max-age"], cookie["path"], cookie["samesite"]) == ("3600", "/", "Lax")
        assert cookie["httponly"]
        assert "set-cookie" not in (await stack.ask(path, body, {"cookie": f"tidegate.m={cookie.value}"})).headers


async def test_the_version_of_the_first_request_stays_that_of_the_client(stack: Any, route: Route) -> None:
    seen = set()
    for _ in range(40):
        first = await stack.ask(PATH)
        cookie = first.headers["set-cookie"].split(";")[0]
        key = cookie.removeprefix("tidegate.m=")
        assert first.version == choose(route, key) == choose_without_sticky(route, key)
        # The request id of a later request is another, and means nothing.
        assert (await stack.ask(PATH, headers={"cookie": cookie})).version == first.version
        seen.add(first.version)
    assert seen == {"candidate", "stable"}


async def test_new_clients_are_shared_by_weight_and_nobody_goes_back_while_it_grows(stack: Any, route: Route) -> None:
    reached: set[str] = set()
    for weight in (500, 2_500, 5_000):
        current = weighted(route, weight)
        await stack.publish(current)
        expected = [choose(current, client) for client in CLIENTS]
        assert await versions(stack, [{"x-request-id": client} for client in CLIENTS]) == expected
        assert await versions(stack, [{"cookie": f"tidegate.m={client}"} for client in CLIENTS]) == expected
        now = {client for client, version in zip(CLIENTS, expected, strict=True) if version == "candidate"}
        assert reached <= now
        share = weight / 10_000
        # 3.29 standard deviations: the 99.9 % interval of a fair draw. The keys are fixed, so this is no gamble.
        assert abs(len(now) / len(CLIENTS) - share) < 3.29 * math.sqrt(share * (1 - share) / len(CLIENTS))
        reached = now


async def test_one_cookie_decides_differently_for_two_models(
    stack: Any, upstream: Start, make_route: Any, route: Route
) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    other = make_route("n", (candidate, 5_000), (stable, 5_000), sticky_cookie=COOKIE)
    await stack.publish(route, other)
    cookies = [{"cookie": f"tidegate.m={client}"} for client in CLIENTS]
    ours, theirs = await versions(stack, cookies), await versions(stack, cookies, "n")
    assert theirs == [choose(other, client) for client in CLIENTS]
    agreeing = sum(one == two for one, two in zip(ours, theirs, strict=True)) / len(CLIENTS)
    assert abs(agreeing - 0.5) < 0.05


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("tidegate.m={key}", "abc"),
        ("a=1; tidegate.m={key}", "abc"),
        ("tidegate.m={key}; a=1", "abc"),
        ("a=1;tidegate.m={key};b=2", "abc"),
        ("xtidegate.m=no; tidegate.m={key}; tidegate.mx=no", "abc"),
        ("tidegatexm=no; tidegate.m={key}", "abc"),
        ("a=tidegate.m=no; tidegate.m={key}", "abc"),
        ('tidegate.m="{key}"; a=1', "abc"),
        ("tidegate.m={key}; tidegate.m=second", "abc"),
        ("tidegate.m={key} ; a", "abc"),
        ("a=\xff\xe9; tidegate.m={key}; b=\xff", "abc"),
        ("tidegate.m={key}", "1=2:/%$1"),
        ("tidegate.m={key}", "k" * 4_000),
    ],
)
async def test_the_cookie_is_found_among_others(stack: Any, route: Route, header: str, key: str) -> None:
    seen = set()
    for number in range(8):
        found = f"{key}{number}"
        answer = await stack.ask(PATH, headers={"cookie": header.format(key=found)})
        assert answer.version == choose(route, found)
        assert "set-cookie" not in answer.headers
        seen.add(answer.version)
    assert seen == {"candidate", "stable"}


@pytest.mark.parametrize(
    "header",
    ["", "a=1", "tidegate.m=", 'tidegate.m=""', "tidegate.m", "atidegate.m=1", "tidegate.m=a b", "tidegate.m=\xff"],
)
async def test_without_a_usable_cookie_the_request_id_decides(stack: Any, route: Route, header: str) -> None:
    for number in range(8):
        answer = await stack.ask(PATH, headers={"cookie": header, "x-request-id": f"id-{number}"})
        assert answer.version == choose(route, f"id-{number}")
        assert answer.headers["set-cookie"].startswith(f"tidegate.m=id-{number};")


@pytest.mark.parametrize("request_id", ["a b", "a;domain=x", 'a"b', "a,b", "x" * 129, "\xff"])
async def test_a_request_id_that_no_cookie_can_have_is_not_given_out(stack: Any, route: Route, request_id: str) -> None:
    answer = await stack.ask(PATH, headers={"x-request-id": request_id})
    assert "set-cookie" not in answer.headers
    if request_id.isascii():
        assert answer.version == choose_without_sticky(route, request_id)


async def test_cookies_of_the_replica_are_kept(stack: Any, upstream: Start, make_route: Any) -> None:
    async def answer(upstream: Any) -> bytes:
        return bytes(upstream.reply(headers="set-cookie: own=1\r\n"))

    replica = await upstream("v", answer=answer)
    await stack.publish(make_route("m", (replica, 10_000), sticky_cookie=COOKIE))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.listen.port)
    writer.write(post(PATH, b"{}", {"x-request-id": "id"}))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert [line for line in head.split("\r\n") if line.startswith("set-cookie")] == [
        "set-cookie: own=1",
        "set-cookie: tidegate.m=id; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax",
    ]
    writer.close()


async def test_requests_with_and_without_a_cookie_are_mirrored(stack: Any, upstream: Start, make_route: Any) -> None:
    shadow, stable = await upstream("shadow"), await upstream("stable")
    mirror = Mirror("shadow", 10_000)
    await stack.publish(make_route("m", (shadow, 0), (stable, 10_000), mirror=mirror, sticky_cookie=COOKIE))
    for headers in ({"cookie": "tidegate.m=a"}, {}, {"x-request-id": "a b"}):
        assert (await stack.ask(PATH, headers=headers)).version == "stable"
    await stack.until(lambda: len(shadow.heads) == 3, "the arrival of the copies")
