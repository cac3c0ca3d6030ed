"""Every single request reaches the version that `router.split` foretells, on a real Envoy."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from benchmarks.client import burst, post
from router.ir import Backend, Route
from router.split import choose, choose_without_sticky

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"


def weighted(route: Route, candidate: int) -> Route:
    first, second = route.backends
    weights = (replace(first, weight=candidate), replace(second, weight=10_000 - candidate))
    return replace(route, backends=weights)


async def versions(stack: Any, header: str, keys: list[str]) -> list[str]:
    tally, answers = await burst(stack.listen.port, [post(PATH, b"{}", {header: key}) for key in keys], 16)
    assert (tally.failed, tally.answered) == (0, len(keys)), tally.failures[:3]
    return [answer.version for answer in answers]


async def test_20000_keys_land_where_foretold_and_nobody_flips_back_while_the_weight_grows(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    base = make_route("m", (candidate, 500), (stable, 9_500), sticky_header="x-user-id")
    keys = [f"user-{number}" for number in range(20_000)]
    reached: set[str] = set()
    for weight in (500, 2_500, 5_000):
        route = weighted(base, weight)
        await stack.publish(route)
        got = await versions(stack, "x-user-id", keys)
        assert got == [choose(route, key) for key in keys]
        now = {key for key, version in zip(keys, got, strict=True) if version == "candidate"}
        assert reached <= now
        assert abs(len(now) / len(keys) - weight / 10_000) < 0.015
        reached = now


async def test_without_a_sticky_header_the_request_id_decides(stack: Any, upstream: Start, make_route: Any) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    route = make_route("m", (candidate, 2_500), (stable, 7_500))
    await stack.publish(route)
    keys = [f"request-{number}" for number in range(2_000)]
    assert await versions(stack, "x-request-id", keys) == [choose(route, key) for key in keys]


async def test_a_sticky_route_falls_back_to_the_request_id(stack: Any, upstream: Start, make_route: Any) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    route = make_route("m", (candidate, 5_000), (stable, 5_000), sticky_header="x-user-id")
    await stack.publish(route)
    keys = [f"request-{number}" for number in range(500)]
    assert await versions(stack, "x-request-id", keys) == [choose_without_sticky(route, key) for key in keys]


async def test_three_versions_and_odd_values_are_foretold_too(stack: Any, upstream: Start, make_route: Any) -> None:
    a, b, c = await upstream("a"), await upstream("b"), await upstream("c")
    route = make_route("m", (a, 3_333), (b, 1), (c, 6_666), sticky_header="x-user-id")
    await stack.publish(route)
    keys = [
        "x",
        "a b",
        "$1",
        "\\1",
        "^",
        "100%",
        "ümlaut",
        "k" * 2_000,
        *(f"{number}@example.com" for number in range(500)),
    ]
    assert await versions(stack, "x-user-id", keys) == [choose(route, key) for key in keys]


async def test_a_generated_request_id_is_in_the_answer_and_decided(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    route = make_route("m", (candidate, 5_000), (stable, 5_000))
    await stack.publish(route)
    for _ in range(20):
        answer = await stack.ask(PATH)
        assert answer.version == choose(route, answer.headers["x-request-id"])


async def test_a_weight_change_takes_effect_within_a_second(stack: Any, upstream: Start, make_route: Any) -> None:
    candidate, stable = await upstream("candidate"), await upstream("stable")
    route = make_route("m", (candidate, 0), (stable, 10_000))
    await stack.publish(route)
    began = time.monotonic()
    await stack.router.publish([weighted(route, 10_000)])
    while (await stack.ask(PATH)).version != "candidate":
        assert time.monotonic() - began < 1.0
    assert time.monotonic() - began < 1.0


def test_without_weights_nobody_is_chosen(make_route: Any) -> None:
    assert choose(Route(make_route("m").key, "m", backends=(Backend("a", 0),)), "key") is None
