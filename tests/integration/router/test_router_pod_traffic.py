"""The counters of a pod: what one run of Envoy has counted, whoever asks and however often."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import Any

from benchmarks.client import post, steady
from router.ir import BackendKey
from router.pod.traffic import PodTraffic

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"


async def test_readers_at_the_same_time_see_one_count(stack: Any, upstream: Start, make_route: Any) -> None:
    route = make_route("m", (await upstream("v"), 10_000))
    await stack.publish(route)
    traffic = PodTraffic(stack.paths, stack.router.published)
    key = BackendKey(route.key, "v", mirrored=False)
    async with steady(stack.listen.port, repeat(post(PATH, b"{}")), 4) as load:
        before = 0
        for _ in range(5):
            readings = await asyncio.gather(*(traffic.read() for _ in range(4)))
            counts = [reading.counters[key].requests for reading in readings if reading is not None]
            assert len(counts) == 4
            assert counts == sorted(counts)
            assert before <= counts[0]
            before = counts[-1]
    last = await traffic.read()
    assert last is not None
    assert last.counters[key].requests == load.tally.sent


async def test_another_run_of_envoy_has_another_name_and_counts_from_zero(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    route = make_route("m", (await upstream("v"), 10_000))
    key = BackendKey(route.key, "v", mirrored=False)
    await stack.publish(route)
    traffic = PodTraffic(stack.paths, stack.router.published)
    assert (await stack.ask(PATH)).status == 200
    first = await traffic.read()
    await stack.kill_envoy()
    second = await traffic.read()
    assert first is not None
    assert second is not None
    assert first.started != second.started
    assert (first.counters[key].requests, second.counters[key].requests) == (1, 0)


async def test_another_process_of_the_router_reads_the_same_run(stack: Any, upstream: Start, make_route: Any) -> None:
    route = make_route("m", (await upstream("v"), 10_000))
    await stack.publish(route)
    assert (await stack.ask(PATH)).status == 200
    one, other = [await PodTraffic(stack.paths, stack.router.published).read() for _ in range(2)]
    assert one is not None
    assert other is not None
    assert one.started == other.started
    key = BackendKey(route.key, "v", mirrored=False)
    assert (one.counters[key].requests, other.counters[key].requests) == (1, 1)


async def test_without_an_envoy_there_is_nothing_to_read(stack: Any) -> None:
    await stack.envoy.stop()
    assert await PodTraffic(stack.paths, stack.router.published).read() is None
