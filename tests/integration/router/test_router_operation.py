"""The router at work: changes under load, refused configurations, restarts, lost replicas, mirrors."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.client import post, steady
from router import lastgood
from router.config import ListenConfig, RouterPaths
from router.envoy import EXECUTABLE_VARIABLE, SHARED_MEMORY, EnvoyNotFound, EnvoyProcess, EnvoyStartFailed, find_envoy
from router.ir import Mirror, Retry, RouteKey, RouteStatus
from router.service import Router

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"
REFUSED_TIMEOUT = 1.5e11
"""Nearly 5,000 years: a valid duration in protobuf, and out of range for Envoy."""


async def reached(stack: Any, load: Any, requests: int) -> None:
    """Wait until the load has had so many more answers."""
    goal = load.tally.answered + requests
    await stack.until(lambda: load.tally.answered >= goal, f"{requests} more answers")


async def test_no_request_fails_while_weights_endpoints_and_versions_change(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    one, two, three = await upstream("one"), await upstream("two"), await upstream("three")
    another = await upstream("one")
    # Not a single retry may be needed.
    fields = {"retry": Retry(attempts=0)}
    await stack.publish(make_route("m", (one, 10_000), **fields))
    async with steady(stack.listen.port, repeat(post(PATH, b"{}")), 8) as load:
        for published in (
            make_route("m", (two, 0), (one, 10_000), **fields),
            make_route("m", (two, 2_500), (one, 7_500), **fields),
            make_route("m", (two, 2_500), ((one, another), 7_500), **fields),
            make_route("m", (two, 10_000), (another, 0), mirror=Mirror("one", 5_000), **fields),
            make_route("m", (two, 10_000), **fields),
            # A new version takes everything at once, and the one that had it goes in the same publication.
            make_route("m", (three, 10_000), **fields),
            make_route("m", (one, 5_000), (three, 5_000), **fields),
        ):
            await stack.publish(published)
            await reached(stack, load, 200)
    assert load.tally.failed == 0, load.tally.failures
    assert load.tally.versions.keys() == {"one", "two", "three"}


async def test_a_killed_replica_of_two_costs_no_request(stack: Any, upstream: Start, make_route: Any) -> None:
    async def takes_a_while(replica: Any) -> bytes:
        await asyncio.sleep(0.01)
        reply: bytes = replica.reply()
        return reply

    first, second = await upstream("v", answer=takes_a_while), await upstream("v", answer=takes_a_while)
    await stack.publish(make_route("m", ((first, second), 10_000)))
    async with steady(stack.listen.port, repeat(post(PATH, b"{}")), 16) as load:
        await reached(stack, load, 200)
        await first.kill()
        await reached(stack, load, 1_000)
    assert load.tally.failed == 0, load.tally.failures


async def test_a_replica_that_drains_gets_no_more_requests(stack: Any, upstream: Start, make_route: Any) -> None:
    first, second = await upstream("v"), await upstream("v")
    await stack.publish(make_route("m", ((first, second), 10_000)))
    first.ready = False
    await stack.envoy.admin.until("cluster.live/default/m/v.membership_healthy", 1)
    first.heads.clear()
    for _ in range(20):
        assert (await stack.ask(PATH)).status == 200
    assert not first.heads


async def test_a_request_under_way_on_a_removed_endpoint_is_finished(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    release = asyncio.Event()

    async def waits(replica: Any) -> bytes:
        await release.wait()
        reply: bytes = replica.reply()
        return reply

    old, new = await upstream("old", answer=waits), await upstream("new")
    await stack.publish(make_route("m", (old, 10_000), retry=Retry(attempts=0)))
    asked = asyncio.create_task(stack.ask(PATH))
    await stack.until(lambda: bool(old.heads), "the arrival of the request")
    await stack.publish(make_route("m", (new, 10_000), retry=Retry(attempts=0)))
    assert (await stack.ask(PATH)).version == "new"
    release.set()
    answer = await asked
    assert (answer.status, answer.version) == (200, "old")


async def test_mirrored_requests_are_marked_copies_of_inference_requests(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    stable, shadow = await upstream("stable"), await upstream("shadow")
    await stack.publish(make_route("m", (shadow, 0), (stable, 10_000), mirror=Mirror("shadow", 10_000)))
    for path in (PATH, "/v1/models/m:predict", "/api/v1/models/m/predict"):
        assert (await stack.ask(path, headers={"x-request-id": path, "host": "x.test"})).version == "stable"
    for path in ("/v2/models/m", "/v2/models/m/ready", "/v1/models/m", PATH):
        assert (await stack.ask(path, None)).version == "stable"
    await stack.until(lambda: len(shadow.heads) >= 3, "the arrival of the copies")
    assert len(shadow.heads) == 3
    for head in shadow.heads:
        assert head.startswith("POST ")
        assert "tidegate-mirror: 1\r\n" in head
        assert f"x-request-id: {head.split()[1]}\r\n" in head
        assert "host: x.test\r\n" in head
    assert not [head for head in stable.heads if "tidegate-mirror" in head]


async def test_a_share_of_the_requests_is_mirrored(stack: Any, upstream: Start, make_route: Any) -> None:
    stable, shadow = await upstream("stable"), await upstream("shadow")
    await stack.publish(make_route("m", (shadow, 0), (stable, 10_000), mirror=Mirror("shadow", 2_500, 1_000)))
    async with steady(stack.listen.port, repeat(post(PATH, b"{}"), 2_000), 4) as load:
        await reached(stack, load, 2_000)
    assert load.tally.failed == 0
    # Envoy throws a die for each request: 500 of 2,000 expected, standard deviation 19.
    assert 380 < len(shadow.heads) < 620


async def test_a_refused_route_is_reported_and_the_others_go_on(stack: Any, upstream: Start, make_route: Any) -> None:
    one, two = await upstream("one"), await upstream("two")
    good, other = make_route("m", (one, 10_000)), make_route("other", (one, 10_000))
    await stack.publish(good, other)
    bad = make_route("bad", (two, 10_000), timeout_seconds=REFUSED_TIMEOUT)
    worse = make_route("worse", (two, 10_000), timeout_seconds=REFUSED_TIMEOUT)
    changed = make_route("other", (two, 10_000))
    await stack.router.publish([good, bad, worse, changed])
    await stack.acknowledged(changed.key)
    await stack.until(lambda: stack.router.status(worse.key).rejected is not None, "the refusal")
    for key in (bad.key, worse.key):
        status = stack.router.status(key)
        assert not status.acknowledged
        assert status.rejected.startswith("Envoy refused it: ")
        assert "Duration out-of-range" in status.rejected
    assert stack.router.status(good.key) == RouteStatus(acknowledged=True)
    assert (await stack.ask("/v2/models/other/infer")).version == "two"
    assert (await stack.ask(PATH)).version == "one"
    assert (await stack.ask("/v2/models/worse/infer")).status == 404
    # Other content is a new try, and what is still refused stays so.
    repaired = replace(bad, timeout_seconds=5.0)
    await stack.router.publish([good, repaired, worse, changed])
    await stack.acknowledged(repaired.key)
    assert (await stack.ask("/v2/models/bad/infer")).version == "two"
    assert stack.router.status(worse.key).rejected is not None


async def test_a_route_that_is_refused_keeps_what_was_acknowledged_last(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    one, two = await upstream("one"), await upstream("two")
    good = make_route("m", (one, 10_000))
    await stack.publish(good)
    bad = make_route("m", (two, 10_000), timeout_seconds=REFUSED_TIMEOUT)
    await stack.router.publish([bad])
    await stack.until(lambda: stack.router.status(bad.key).rejected is not None, "the refusal")
    assert (await stack.ask(PATH)).version == "one"
    await stack.publish(good)
    assert stack.router.status(good.key) == RouteStatus(acknowledged=True)


async def test_a_route_that_cannot_be_translated_is_reported_and_the_others_go_on(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    one = await upstream("one")
    bad = make_route("bad", (one, 10_000))
    named = replace(bad.backends[0].endpoints[0], host="localhost")
    bad = replace(bad, backends=(replace(bad.backends[0], endpoints=(named,)),))
    good = make_route("m", (one, 10_000))
    await stack.router.publish([bad, good])
    await stack.acknowledged(good.key)
    status = stack.router.status(bad.key)
    assert not status.acknowledged
    assert "'localhost' does not appear to be an IPv4 or IPv6 address" in status.rejected


async def test_a_retired_cluster_is_gone_once_nothing_names_it(stack: Any, upstream: Start, make_route: Any) -> None:
    one, two = await upstream("one"), await upstream("two")
    await stack.publish(make_route("m", (one, 10_000)))
    await stack.publish(make_route("m", (two, 10_000)))
    names: set[str] = set()

    async def active() -> set[str]:
        dump = json.loads(await stack.envoy.admin.get("/clusters?format=json"))
        return {cluster["name"] for cluster in dump["cluster_statuses"]} - {"ads"}

    async with asyncio.timeout(10):
        while names != {"live/default/m/two"}:
            names = await active()
            await asyncio.sleep(0.01)


async def test_a_deleted_route_is_acknowledged_when_envoy_has_none(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    route = make_route("m", (await upstream("one"), 10_000))
    await stack.publish(route)
    await stack.router.publish([])
    assert not stack.router.status(route.key).acknowledged
    await stack.acknowledged(route.key)
    assert (await stack.ask(PATH)).status == 404


async def test_changes_tell_of_every_status_that_changed(stack: Any, upstream: Start, make_route: Any) -> None:
    route = make_route("m", (await upstream("one"), 10_000))
    seen: list[RouteKey | None] = []

    async def listen() -> None:
        async for key in stack.router.changes():
            seen.append(key)
            if key is not None and stack.router.status(key).acknowledged:
                return

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await stack.router.publish([route])
    await asyncio.wait_for(listening, 10)
    assert seen[0] is None
    assert seen[-1] == route.key


async def test_a_restarted_router_serves_what_was_acknowledged_last(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    route = make_route("m", (await upstream("one"), 10_000))
    await stack.publish(route)
    async with steady(stack.listen.port, repeat(post(PATH, b"{}")), 4) as load:
        await stack.router.stop()
        assert stack.router.status(route.key) == RouteStatus(acknowledged=False)
        await reached(stack, load, 100)
        stack.router = Router(stack.paths, stack.listen)
        await stack.router.start()
        await stack.acknowledged(route.key)
        await reached(stack, load, 100)
        # An Envoy without any memory gets the same.
        assert load.tally.failed == 0, load.tally.failures
    await stack.kill_envoy()
    await stack.acknowledged(route.key)
    assert (await stack.ask(PATH)).version == "one"


async def test_no_request_fails_when_the_router_restarts_with_other_routes(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    one, two = await upstream("one"), await upstream("two")
    await stack.publish(make_route("m", (one, 10_000)))
    async with steady(stack.listen.port, repeat(post(PATH, b"{}")), 4) as load:
        await stack.router.stop()
        stack.router = Router(stack.paths, stack.listen)
        await stack.router.start()
        await stack.publish(make_route("m", (two, 10_000)))
        await reached(stack, load, 200)
    assert load.tally.failed == 0, load.tally.failures
    assert load.tally.versions["two"]


@pytest.mark.parametrize("content", ["", "{", '{"format": 9}', '{"format":1,"acknowledged":[{}],"sent":[]}', "[]"])
async def test_a_corrupt_file_of_last_good_routes_is_ignored_with_a_clear_log(
    tmp_path: Any, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    paths = RouterPaths(tmp_path)
    paths.last_good.write_text(content)
    router = Router(paths, ListenConfig())
    await router.start()
    await router.stop()
    assert f"{paths.last_good} cannot be used" in caplog.text


async def test_a_router_that_stops_while_routes_are_written_leaves_the_newest(
    tmp_path: Any, make_route: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release, slow_one_ended = threading.Event(), threading.Event(), threading.Event()

    def slow_at_first(path: Any, acknowledged: Any, sent: Any) -> None:
        slow = not begun.is_set()
        begun.set()
        if slow:
            release.wait(10)
        lastgood.save(path, acknowledged, sent)
        if slow:
            slow_one_ended.set()

    paths = RouterPaths(tmp_path)
    router = Router(paths, ListenConfig())
    await router.start()
    monkeypatch.setattr("router.service.lastgood", SimpleNamespace(save=slow_at_first))
    await router.publish([make_route("old")])
    await asyncio.to_thread(begun.wait, 10)
    await router.publish([make_route("new")])
    asyncio.get_running_loop().call_later(0.2, release.set)
    await router.stop()
    await asyncio.to_thread(slow_one_ended.wait, 10)
    assert lastgood.load(paths.last_good) == ([], [make_route("new")])


async def test_envoy_is_started_again_and_gets_its_routes(stack: Any, upstream: Start, make_route: Any) -> None:
    route = make_route("m", (await upstream("one"), 10_000))
    await stack.publish(route)
    began = time.monotonic()
    await stack.kill_envoy()
    await stack.acknowledged(route.key)
    assert (await stack.ask(PATH)).version == "one"
    assert time.monotonic() - began < 5


async def test_stopping_envoy_finishes_what_is_under_way_and_leaves_nothing_behind(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    async def takes_a_while(replica: Any) -> bytes:
        await asyncio.sleep(0.5)
        reply: bytes = replica.reply()
        return reply

    replica = await upstream("one", answer=takes_a_while)
    await stack.publish(make_route("m", (replica, 10_000)))
    asked = asyncio.create_task(stack.ask(PATH))
    await stack.until(lambda: bool(replica.heads), "the arrival of the request")
    memory = SHARED_MEMORY / f"envoy_shared_memory_{int(stack.paths.base_id.read_text())}0"
    assert memory.exists()
    await stack.envoy.stop()
    assert (await asked).status == 200
    assert stack.envoy.pid is None
    assert not memory.exists()


async def test_a_port_in_use_is_named(tmp_path: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        envoy = EnvoyProcess(RouterPaths(tmp_path), ListenConfig(port=port))
        with pytest.raises(EnvoyStartFailed, match=f"port {port} of 127.0.0.1 is already in use; stop what uses it"):
            await envoy.start()
    assert envoy.pid is None


async def test_a_second_envoy_cannot_share_the_port_of_the_first(stack: Any, tmp_path: Any) -> None:
    with pytest.raises(EnvoyStartFailed, match="already in use"):
        await EnvoyProcess(RouterPaths(tmp_path), stack.listen).start()


async def test_a_folder_whose_sockets_have_too_long_names_is_refused(tmp_path: Any) -> None:
    envoy = EnvoyProcess(RouterPaths(tmp_path / ("x" * 100)), ListenConfig(port=1))
    with pytest.raises(EnvoyStartFailed, match="longer than the 107 bytes"):
        await envoy.start()


async def test_an_envoy_that_ends_while_it_starts_is_reported_with_its_last_words(
    tmp_path: Any, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "envoy"
    broken.write_text("#!/bin/sh\necho this is why\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setenv(EXECUTABLE_VARIABLE, str(broken))
    envoy = EnvoyProcess(RouterPaths(tmp_path), ListenConfig(port=free_port))
    await envoy.start()
    with pytest.raises(EnvoyStartFailed, match=r"ended while it started.*this is why"):
        await envoy.ready()
    await envoy.stop()


def test_envoy_is_found_in_its_package() -> None:
    assert find_envoy({}).name == "envoy"


def test_a_named_envoy_that_is_none_is_refused(tmp_path: Any) -> None:
    with pytest.raises(EnvoyNotFound, match=f"{EXECUTABLE_VARIABLE} names .* correct or unset it"):
        find_envoy({EXECUTABLE_VARIABLE: str(tmp_path)})
