"""What each way to succeed or fail adds to the counters, on a real Envoy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.ir import Mirror, Retry, Route, TrafficCounters

Start = Callable[..., Awaitable[Any]]
NO_RETRY = Retry(attempts=0)


def histogram(counters: TrafficCounters) -> dict[float, int]:
    bounds = (*counters.bucket_bounds, float("inf"))
    return {bound: count for bound, count in zip(bounds, counters.bucket_counts, strict=True) if count}


async def measured(stack: Any, route: Route, requests: int, mirrored: bool = False) -> TrafficCounters:
    """The counters of the route's first version after so many requests at once."""
    await stack.publish(route)
    await asyncio.gather(
        *(stack.ask(f"/v2/models/{route.model}/infer") for _ in range(requests)), return_exceptions=True
    )

    async def read() -> TrafficCounters:
        found = await stack.router.traffic()
        version = route.backends[0].version
        (counters,) = (value for key, value in found.items() if key.version == version and key.mirrored == mirrored)
        return counters

    counters = await read()
    for _ in range(200):
        again = await read()
        if again == counters and again.requests:
            return again
        counters = again
        await asyncio.sleep(0.01)
    return counters


async def closes(upstream: Any) -> None:
    return None


def slow(seconds: float) -> Callable[[Any], Awaitable[bytes]]:
    async def answer(upstream: Any) -> bytes:
        await asyncio.sleep(seconds)
        reply: bytes = upstream.reply()
        return reply

    return answer


def failing(status: str) -> Callable[[Any], Awaitable[bytes]]:
    async def answer(upstream: Any) -> bytes:
        reply: bytes = upstream.reply(status)
        return reply

    return answer


async def test_answers_count_with_the_time_that_they_took(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v", answer=slow(0.03))
    counters = await measured(stack, make_route("m", (replica, 10_000)), 4)
    assert (counters.requests, counters.errors) == (4, 0)
    assert sum(histogram(counters).values()) == 4
    assert min(histogram(counters)) > 28.0


async def test_one_reading_has_the_times_of_every_request_that_was_answered_before(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    """Otherwise a window of evidence would begin with what came long before it."""
    replica = await upstream("v")
    route = make_route("m", (replica, 10_000))
    await measured(stack, route, 1)
    for answered in (11, 21, 31):
        await asyncio.gather(*(stack.ask("/v2/models/m/infer") for _ in range(10)))
        (counters,) = (value for key, value in (await stack.router.traffic()).items() if not key.mirrored)
        assert (counters.requests, sum(histogram(counters).values())) == (answered, answered)


@pytest.mark.parametrize("retry", [NO_RETRY, Retry(attempts=2)])
async def test_an_answer_of_500_is_an_error_and_is_not_retried(
    stack: Any, upstream: Start, make_route: Any, retry: Retry
) -> None:
    replica = await upstream("v", answer=failing("500 Oops"))
    counters = await measured(stack, make_route("m", (replica, 10_000), retry=retry), 3)
    assert (counters.requests, counters.errors, len(replica.heads)) == (3, 3, 3)


async def test_a_timeout_is_an_error_that_took_longer_than_every_bound(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v", answer=slow(2))
    route = make_route("m", (replica, 10_000), retry=NO_RETRY, timeout_seconds=0.1)
    counters = await measured(stack, route, 3)
    assert (counters.requests, counters.errors, histogram(counters)) == (3, 3, {float("inf"): 3})


async def test_a_lost_connection_is_one_error_however_often_it_was_retried(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v", answer=closes)
    counters = await measured(stack, make_route("m", (replica, 10_000), retry=Retry(attempts=2)), 2)
    assert (counters.requests, counters.errors, len(replica.heads)) == (2, 2, 6)


async def test_a_refused_connection_is_an_error(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    await replica.kill()
    counters = await measured(stack, make_route("m", (replica, 10_000), retry=NO_RETRY), 3)
    assert (counters.requests, counters.errors) == (3, 3)


async def test_a_version_without_endpoints_fails_and_is_counted(stack: Any, make_route: Any) -> None:
    counters = await measured(stack, make_route("m", ((), 10_000)), 2)
    assert (counters.requests, counters.errors) == (2, 2)


async def test_an_attempt_that_was_retried_with_success_is_no_error(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    async def every_other(replica: Any) -> bytes:
        reply: bytes = replica.reply("503 Full" if len(replica.heads) % 2 else "200 OK")
        return reply

    replica = await upstream("v", answer=every_other)
    route = make_route("m", (replica, 10_000), retry=Retry(attempts=2))
    counters = TrafficCounters()
    for requests in (1, 2, 3):
        counters = await measured(stack, route, 1)
        assert (counters.requests, counters.errors) == (requests, 0)
    assert len(replica.heads) == 6


async def test_an_answer_that_breaks_off_counts_by_its_status(stack: Any, upstream: Start, make_route: Any) -> None:
    async def half(replica: Any) -> None:
        for writer in replica.writers:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
            await writer.drain()

    replica = await upstream("v", answer=half)
    counters = await measured(stack, make_route("m", (replica, 10_000), retry=NO_RETRY), 2)
    assert (counters.requests, counters.errors, histogram(counters)) == (2, 0, {})


async def test_a_copy_that_was_shed_says_nothing_about_the_version(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    stable, shadow = await upstream("stable"), await upstream("shadow", answer=slow(0.3))
    route = make_route("m", (shadow, 0), (stable, 10_000), mirror=Mirror("shadow", 10_000, max_concurrency=2))
    counters = await measured(stack, route, 10, mirrored=True)
    assert 2 <= len(shadow.heads) < 10
    assert (counters.requests, counters.errors) == (len(shadow.heads), 0)
    assert len(stable.heads) == 10


async def test_totals_go_on_growing_over_a_restart_of_envoy(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    route = make_route("m", (replica, 10_000))
    assert (await measured(stack, route, 3)).requests == 3
    await stack.kill_envoy()
    assert (await measured(stack, route, 2)).requests == 5


async def test_without_an_envoy_there_is_no_reading(stack: Any) -> None:
    await stack.envoy.stop()
    assert await stack.router.traffic() is None
