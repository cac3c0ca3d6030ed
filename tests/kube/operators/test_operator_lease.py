"""Of several operators one works: it holds the Lease, and stops before anybody else may begin."""

import asyncio
import time

import pytest

from operators.kube.client import LEASES, Patch
from operators.kube.lease import DURATION_SECONDS, GIVE_UP_SECONDS, Lease, LeaseLost
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import Objects

NAME = "operator"
PATIENCE = 60.0


def lease_of(objects: Objects, holder: str) -> Lease:
    return Lease(objects.api, objects.namespace, NAME, holder)


async def acquired(lease: Lease) -> float:
    """Seconds until the lease was held."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        await lease.acquire()
    assert lease.held
    return time.monotonic() - began


async def lost(lease: Lease) -> LeaseLost:
    """Keep the lease until it is lost."""
    with pytest.raises(LeaseLost) as reason:
        async with asyncio.timeout(PATIENCE):
            await lease.keep()
    assert not lease.held
    return reason.value


async def test_the_first_holds_it_and_a_released_one_is_taken_at_once(objects: Objects) -> None:
    first, second = lease_of(objects, "a"), lease_of(objects, "b")
    assert await acquired(first) < DURATION_SECONDS
    assert await objects.holder() == "a"
    waiting = asyncio.ensure_future(acquired(second))
    keeping = asyncio.ensure_future(first.keep())
    await asyncio.sleep(3)
    assert not waiting.done()
    keeping.cancel()
    began = time.monotonic()
    await first.release()
    await waiting
    assert time.monotonic() - began < DURATION_SECONDS / 2
    assert (await objects.holder(), first.held, second.held) == ("b", False, True)


async def test_one_that_is_renewed_is_not_taken_and_one_that_is_not_is(objects: Objects) -> None:
    first, second = lease_of(objects, "a"), lease_of(objects, "b")
    await acquired(first)
    waiting = asyncio.ensure_future(acquired(second))
    keeping = asyncio.ensure_future(first.keep())
    await asyncio.sleep(DURATION_SECONDS + 2)
    assert not waiting.done()
    keeping.cancel()
    began = time.monotonic()
    await waiting
    assert time.monotonic() - began > DURATION_SECONDS - 3
    assert await objects.holder() == "b"


async def test_a_process_that_comes_back_under_its_name_goes_on_at_once(objects: Objects) -> None:
    await acquired(lease_of(objects, "a"))
    assert await acquired(lease_of(objects, "a")) < DURATION_SECONDS / 2


async def test_a_holder_whose_lease_was_taken_stops(objects: Objects) -> None:
    first = lease_of(objects, "a")
    await acquired(first)
    await lease_of(objects, "b").seize(60)
    assert "b holds it" in str(await lost(first))
    await first.release()
    assert await objects.holder() == "b", "what is not held is not released"


async def test_a_holder_whose_lease_was_deleted_stops(objects: Objects, api_server: ApiServer) -> None:
    first = lease_of(objects, "a")
    await acquired(first)
    api_server.kubectl("-n", objects.namespace, "delete", "lease", NAME)
    assert "nobody holds it" in str(await lost(first))


async def test_a_label_on_the_lease_disturbs_nobody(objects: Objects) -> None:
    first = lease_of(objects, "a")
    await acquired(first)
    keeping = asyncio.ensure_future(first.keep())
    content = {"metadata": {"labels": {"a": "b"}}}
    labelled = await objects.api.patch(LEASES, objects.namespace, NAME, Patch.MERGE, content)
    await asyncio.sleep(5)
    assert not keeping.done()
    keeping.cancel()
    found = await objects.api.get(LEASES, objects.namespace, NAME)
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["spec"]["renewTime"] > labelled["spec"]["renewTime"]


async def test_a_holder_that_cannot_renew_stops_before_anybody_else_may_begin(
    objects: Objects, api_server: ApiServer
) -> None:
    first = lease_of(objects, "a")
    await acquired(first)
    api_server.kill()
    try:
        began = time.monotonic()
        assert f"{GIVE_UP_SECONDS:g} seconds" in str(await lost(first))
        assert time.monotonic() - began < DURATION_SECONDS
        waiting = asyncio.ensure_future(acquired(lease_of(objects, "b")))
        await asyncio.sleep(1)
        assert not waiting.done()
    finally:
        api_server.start()
    await waiting
    assert await objects.holder() == "b"


async def test_the_number_of_changes_and_the_time_of_the_last_are_kept(objects: Objects) -> None:
    first = lease_of(objects, "a")
    await acquired(first)
    await first.release()
    await acquired(lease_of(objects, "b"))
    spec = (await objects.api.get(LEASES, objects.namespace, NAME))["spec"]
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (1, DURATION_SECONDS)
    assert spec["acquireTime"] <= spec["renewTime"]
