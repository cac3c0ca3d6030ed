"""What a router pod's load does not notice: its processes killed, the API server gone, the pod replaced."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import repeat

from benchmarks.client import Load, burst, post, steady
from tests.integration.router.upstreams import Upstream, make_route
from tests.kube.router.router_kit import PATH, Objects, RouterPod, counted, ended, started, versions

Pods = Callable[..., RouterPod]
Gone = Callable[[], AbstractAsyncContextManager[None]]
Start = Callable[..., Awaitable[Upstream]]


@asynccontextmanager
async def load_on(pod: RouterPod) -> AsyncIterator[Load]:
    """Steady keep-alive load; every request that was begun must have been answered 200."""
    async with steady(pod.port, repeat(post(PATH, b"{}")), connections=4, pace=0.002) as load:
        await more(pod, load)
        yield load
        await more(pod, load)
    assert load.tally.failed == 0, load.tally.failures


async def more(pod: RouterPod, load: Load) -> None:
    """Wait for more answers."""
    goal = load.tally.answered + 100

    async def there() -> bool:
        return load.tally.answered >= goal

    await pod.until(there, "100 more answers")


async def test_a_killed_router_process_costs_nothing_and_its_successor_changes_nothing(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    await started(pod, routes, make_route("m", (await upstream("one"), 10_000)))
    before = await routes.get("m")
    async with load_on(pod) as load:
        run, _ = await counted(pod)
        await ended(pod.router, signal.SIGKILL)
        assert (await pod.get("/healthz"))[0] == 0
        await more(pod, load)
        pod.start_router()
        await pod.ready()
    assert load.tally.sent >= 300
    # Envoy has counted on, and its run has the same name for the new process.
    again, requests = await counted(pod)
    assert again == run
    assert requests == {"one": load.tally.sent}
    assert await routes.get("m") == before
    assert await routes.replace(make_route("m", (await upstream("two"), 10_000))) == 2
    await routes.acknowledged("m", pod.name, 2)
    assert await versions(pod) == {"two"}


async def test_a_killed_envoy_makes_the_pod_unready_until_it_has_its_configuration_again(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    await started(pod, routes, make_route("m", (await upstream("one"), 10_000)))
    assert await versions(pod, requests=20) == {"one"}
    run, _ = await counted(pod)
    await ended(pod.envoy, signal.SIGKILL)
    status, reason = await pod.get("/readyz")
    assert (status, reason.startswith("Envoy is not ready: ")) == (503, True)
    assert (await pod.get("/healthz"))[0] == 200
    # What changes meanwhile is known to the next Envoy from its first moment.
    await routes.replace(make_route("m", (await upstream("two"), 10_000)))
    pod.start_envoy()
    await pod.ready()
    await routes.acknowledged("m", pod.name, 2)
    assert await versions(pod, requests=20) == {"two"}
    again, requests = await counted(pod)
    assert again != run
    assert requests == {"two": 20}


async def test_traffic_goes_on_without_the_api_server_and_the_router_finds_back_to_it(
    api_server_gone: Gone, pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    one, two = await upstream("one"), await upstream("two")
    await started(pod, routes, make_route("m", (one, 10_000)))
    async with load_on(pod) as load:
        async with api_server_gone():
            await pod.logged("cannot be followed; the routes stay as they are")
            assert await pod.is_ready()
            # A router that starts now has only what it remembers, and Envoy that only from the router.
            await ended(pod.router, signal.SIGKILL)
            pod.start_router()
            await pod.ready()
            await more(pod, load)
        assert await routes.replace(make_route("m", (two, 10_000))) == 2
        await routes.acknowledged("m", pod.name, 2)
        await more(pod, load)
    assert load.tally.versions["two"]


async def test_an_acknowledgement_that_could_not_be_written_is_written_when_the_api_server_is_back(
    api_server_gone: Gone, pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    await routes.create(make_route("m", (await upstream("one"), 10_000)))
    pod.bootstrap()
    pod.start_router()
    await pod.reason("Envoy does not run the routes yet")
    async with api_server_gone():
        pod.start_envoy()
        await pod.ready()
        await pod.logged("the status of modelroutes cannot be written; rollouts wait for it")
    await routes.acknowledged("m", pod.name, 1)


async def test_a_pod_is_replaced_without_losing_a_request(pods: Pods, routes: Objects, upstream: Start) -> None:
    async def takes_a_while(replica: Upstream) -> bytes:
        await asyncio.sleep(0.02)
        return replica.reply()

    await routes.create(make_route("m", (await upstream("one", answer=takes_a_while), 10_000)))
    old, new = pods("router-old"), pods("router-new")
    old.start()
    await old.ready()
    async with load_on(old) as load:
        new.start()
        await new.ready()
        # The pod is deleted: its router gets SIGTERM, Envoy's preStop hook runs. New connections still come.
        assert old.router is not None
        old.router.send_signal(signal.SIGTERM)
        hook = old.drain(seconds=30, notice=2)
        await old.reason("the router is stopping")
        await more(old, load)
        # Now everybody has noticed: who connects again does so elsewhere.
        load.port = new.port
        assert await ended(hook) == 0
        assert await versions(old) == set()  # nobody is let in any more
        assert await counted(old)  # and the operator still gets the last counts
        assert await ended(old.envoy, signal.SIGTERM) == 0
        assert await ended(old.router) == 0
        await more(new, load)
    assert load.tally.versions.keys() == {"one"}


async def test_a_draining_pod_tells_clients_to_close_and_answers_what_is_under_way(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    release = asyncio.Event()

    async def waits(replica: Upstream) -> bytes:
        await release.wait()
        return replica.reply()

    slow = await upstream("slow", answer=waits)
    await started(
        pod,
        routes,
        make_route("m", (slow, 10_000), timeout_seconds=60.0),
        make_route("fast", (await upstream("fast"), 10_000)),
    )
    asked = asyncio.create_task(burst(pod.port, [post(PATH, b"{}")], connections=1))

    async def arrived() -> bool:
        return bool(slow.heads)

    await pod.until(arrived, "the arrival of the request")
    hook = pod.drain(seconds=60, notice=1)
    await pod.reason("Envoy is not ready: /ready: 503 DRAINING")
    head = await pod.head(post("/v2/models/fast/infer", b"{}"))
    assert head.startswith("HTTP/1.1 200 ")
    assert "\r\nconnection: close\r\n" in head

    async def refused() -> bool:
        return not await versions(pod, "/v2/models/fast/infer")

    await pod.until(refused, "the end of new connections")
    assert hook.poll() is None
    release.set()
    tally, _ = await asked
    assert tally.failed == 0
    assert await ended(hook) == 0
