"""Taking leave of clients before Envoy ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.admin import AdminUnavailable, EnvoyAdmin
from router.pod.drain import DrainTimeout, drain, gone

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"


async def test_an_idle_envoy_is_drained_when_the_notice_is_over(stack: Any, make_route: Any) -> None:
    await stack.publish(make_route("m"))
    began = asyncio.get_running_loop().time()
    await drain(stack.envoy.admin, seconds=20, notice_seconds=0.5)
    assert asyncio.get_running_loop().time() - began >= 0.5
    with pytest.raises(ConnectionRefusedError):
        await stack.ask(PATH)


async def test_a_drain_gives_up_on_a_request_that_does_not_end(stack: Any, upstream: Start, make_route: Any) -> None:
    release = asyncio.Event()

    async def waits(replica: Any) -> bytes:
        await release.wait()
        reply: bytes = replica.reply()
        return reply

    replica = await upstream("v", answer=waits)
    await stack.publish(make_route("m", (replica, 10_000), timeout_seconds=60.0))
    asked = asyncio.create_task(stack.ask(PATH))
    await stack.until(lambda: bool(replica.heads), "the arrival of the request")
    with pytest.raises(DrainTimeout, match=r"requests were still under way after 0\.5 s and will be cut off"):
        await drain(stack.envoy.admin, seconds=0.5, notice_seconds=0)
    release.set()
    assert (await asked).status == 200


async def test_without_an_envoy_there_is_nothing_to_drain(tmp_path: Any) -> None:
    admin = EnvoyAdmin(tmp_path / "admin.sock")
    with pytest.raises(AdminUnavailable):
        await drain(admin, seconds=5)
    await gone(admin)


async def test_the_end_of_envoy_is_noticed(stack: Any) -> None:
    waiting = asyncio.create_task(gone(stack.envoy.admin, poll_seconds=0.01))
    _, pending = await asyncio.wait([waiting], timeout=0.2)
    assert pending
    await stack.envoy.stop()
    await asyncio.wait_for(waiting, 15)
