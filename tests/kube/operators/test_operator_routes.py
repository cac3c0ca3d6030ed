"""Routes as ModelRoutes: who has acknowledged what, and how one is taken back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from operators.clock import SystemClock
from operators.kube.client import PODS, ROUTES, NotFound, Object, Patch
from operators.kube.pods import RouterPods
from operators.kube.routes import Routes
from operators.kube.store import KubeStore
from operators.kube.traffic import FleetTraffic
from operators.kube.watch import watch
from router.ir import Backend, Mirror, Route, RouteKey
from router.modelroute import spec_of
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import SELECTOR, Objects, a_route, endpoints, until


@asynccontextmanager
async def running(objects: Objects, *namespaces: str) -> AsyncIterator[Routes]:
    """The port with its watches, as the process that leads has it; cancelled at the end, as a killed one ends."""
    watched = namespaces or (objects.namespace,)
    store = KubeStore(objects.api, watched, SystemClock())
    await store.list()
    async with httpx.AsyncClient() as client:
        pods = RouterPods(objects.api, objects.namespace, SELECTOR)
        routes = Routes(objects.api, watched, pods, FleetTraffic(client, 9), store.uid)
        await routes.load()
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                routes.run(),
                watch(objects.api, ROUTES, watched, routes.seen),
                watch(objects.api, PODS, (objects.namespace,), routes.pod_seen, SELECTOR),
            )
        ]
        try:
            yield routes
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def route(objects: Objects) -> Route:
    """A route whose rollout exists."""
    await objects.apply("iris")
    return a_route(RouteKey(objects.namespace, "iris"))


@pytest.fixture
async def routes(objects: Objects, route: Route) -> AsyncIterator[Routes]:
    async with running(objects) as port:
        yield port


async def acknowledged(routes: Routes, key: RouteKey, wanted: bool = True) -> None:
    async def so() -> bool:
        return routes.status(key).acknowledged is wanted

    await until(so, f"acknowledged={wanted} of {key}")


async def spec_is(objects: Objects, route: Route) -> Object:
    """Wait until the object says what the route does; the object."""

    async def so() -> Object | None:
        found = await objects.route(route.key.name)
        return found if found is not None and found["spec"] == spec_of(route) else None

    found: Object = await until(so, f"modelroute {route.key.name} with {spec_of(route)}")
    return found


async def gone(objects: Objects, name: str) -> None:
    async def so() -> bool:
        return await objects.route(name) is None

    await until(so, f"the end of modelroute {name}")


async def test_a_published_route_is_an_object_that_goes_with_its_rollout(
    objects: Objects, route: Route, routes: Routes
) -> None:
    await routes.publish([route])
    assert routes.published() == {route.key: route}
    metadata = (await spec_is(objects, route))["metadata"]
    rollout = await objects.rollout("iris")
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("ModelRollout", "iris", rollout["metadata"]["uid"])
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "tidegate"}
    assert "finalizers" not in metadata


async def test_a_route_counts_once_every_live_router_has_acknowledged_its_newest_generation(
    objects: Objects, route: Route, routes: Routes
) -> None:
    await routes.publish([route])
    await spec_is(objects, route)
    assert not routes.status(route.key).acknowledged, "there is no router"

    await objects.pod("router-a")
    await objects.pod("router-b", ready=False)
    await objects.acknowledge("iris", "router-a")
    await acknowledged(routes, route.key)

    await objects.pod("router-b")
    await acknowledged(routes, route.key, wanted=False)
    await objects.acknowledge("iris", "router-b")
    await acknowledged(routes, route.key)

    changed = replace(route, timeout_seconds=7.0)
    await routes.publish([changed])
    assert not routes.status(route.key).acknowledged, "nobody can have heard of it yet"
    await spec_is(objects, changed)
    await objects.acknowledge("iris", "router-a")
    await objects.acknowledge("iris", "router-b", generation=1)
    await asyncio.sleep(0.3)  # for a port that is content with one of two
    assert not routes.status(route.key).acknowledged
    await objects.acknowledge("iris", "router-b")
    await acknowledged(routes, route.key)


async def test_a_router_that_is_going_counts_while_its_containers_run(
    objects: Objects, route: Route, routes: Routes
) -> None:
    await objects.pod("router-a")
    await objects.pod("router-b")
    await routes.publish([route])
    await spec_is(objects, route)
    await objects.acknowledge("iris", "router-a")
    await objects.acknowledge("iris", "router-b", generation=0)
    await objects.terminate("router-b")
    await objects.pod("router-b", ready=False)
    await asyncio.sleep(0.5)  # for a port that leaves it out
    assert not routes.status(route.key).acknowledged

    ended = {"name": "router", "image": "none", "imageID": "", "ready": False, "restartCount": 0}
    ended["state"] = {"terminated": {"exitCode": 0}}
    content = {"status": {"containerStatuses": [ended]}}
    await objects.api.patch(PODS, objects.namespace, "router-b", Patch.MERGE, content, subresource="status")

    await acknowledged(routes, route.key)


async def test_what_a_pod_said_that_is_gone_is_removed_and_nothing_else(
    objects: Objects, route: Route, routes: Routes, api_server: ApiServer
) -> None:
    await objects.pod("router-a")
    await objects.pod("router-b")
    await objects.pod("router-c", ready=False)
    await routes.publish([route])
    await spec_is(objects, route)
    for name in ("router-a", "router-b", "router-c"):
        await objects.acknowledge("iris", name)
    await acknowledged(routes, route.key)

    api_server.kubectl("-n", objects.namespace, "delete", "pod", "router-b", "--force", "--grace-period=0")

    async def pruned() -> bool:
        found = await objects.route("iris")
        return found is not None and found["status"]["routers"].keys() == {"router-a", "router-c"}

    await until(pruned, "the end of router-b's entry")
    assert routes.status(route.key).acknowledged


async def test_a_refusal_is_told_with_the_name_of_the_router(objects: Objects, route: Route, routes: Routes) -> None:
    await objects.pod("router-a")
    await routes.publish([route])
    await spec_is(objects, route)
    await objects.acknowledge("iris", "router-a")
    await acknowledged(routes, route.key)
    changed = replace(route, timeout_seconds=7.0)
    await routes.publish([changed])
    await spec_is(objects, changed)
    await objects.acknowledge("iris", "router-a", generation=1, rejected="Envoy refused it: no")

    async def told() -> bool:
        return routes.status(route.key).rejected is not None

    await until(told, "the refusal")
    status = routes.status(route.key)
    assert (status.acknowledged, status.rejected) == (False, "router-a: Envoy refused it: no")


async def test_a_route_is_taken_back_in_two_steps(objects: Objects, route: Route, routes: Routes) -> None:
    candidate = Backend("v2", 0, endpoints(7002))
    shadowed = replace(route, backends=(candidate, *route.backends), mirror=Mirror("v2", 100))
    await objects.pod("router-a")
    await routes.publish([shadowed])
    await spec_is(objects, shadowed)
    await objects.acknowledge("iris", "router-a")
    await acknowledged(routes, route.key)

    await routes.publish([])
    assert routes.published() == {}
    assert not routes.status(route.key).acknowledged
    emptied = await spec_is(objects, replace(shadowed, backends=(), mirror=None))
    await asyncio.sleep(0.5)  # for a port that does not wait
    assert await objects.route("iris") is not None
    await objects.acknowledge("iris", "router-a", emptied["metadata"]["generation"])

    await gone(objects, "iris")
    await acknowledged(routes, route.key)


async def test_a_route_is_taken_back_at_once_where_no_router_lives(
    objects: Objects, route: Route, routes: Routes
) -> None:
    await routes.publish([route])
    await spec_is(objects, route)
    await routes.publish([])
    await gone(objects, "iris")
    await acknowledged(routes, route.key)


async def test_a_route_that_comes_back_before_it_was_gone_is_the_same_object(
    objects: Objects, route: Route, routes: Routes
) -> None:
    await objects.pod("router-a")
    await routes.publish([route])
    before = await spec_is(objects, route)
    await routes.publish([])
    await spec_is(objects, replace(route, backends=()))
    await routes.publish([route])
    after = await spec_is(objects, route)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_what_a_route_loses_is_lost_by_the_object(objects: Objects, route: Route, routes: Routes) -> None:
    rich = replace(route, sticky_header="x-user", mirror=Mirror("v1", 500))
    await routes.publish([rich])
    await spec_is(objects, rich)
    await routes.publish([route])
    await spec_is(objects, route)


async def test_a_successor_knows_what_was_published_and_touches_nothing_before_it_publishes(
    objects: Objects, route: Route
) -> None:
    async with running(objects) as port:
        await port.publish([route])
        before = await spec_is(objects, route)
    await objects.pod("router-a")

    async with running(objects) as successor:
        assert successor.published() == {route.key: route}
        await objects.acknowledge("iris", "router-a")
        await acknowledged(successor, route.key)
        await successor.publish([route])
        await asyncio.sleep(0.3)  # for a port that writes what is there already
        after = await objects.route("iris")
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_successor_takes_back_what_nobody_wants_any_more(objects: Objects, route: Route) -> None:
    async with running(objects) as port:
        await port.publish([route])
        await spec_is(objects, route)
    async with running(objects) as successor:
        await successor.publish([])
        await gone(objects, "iris")


async def test_what_somebody_does_to_an_object_is_undone(objects: Objects, route: Route, routes: Routes) -> None:
    await routes.publish([route])
    await spec_is(objects, route)
    content = {"spec": {"backends": []}, "metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
    await objects.api.patch(ROUTES, objects.namespace, "iris", Patch.MERGE, content)
    found = await spec_is(objects, route)
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "tidegate"}

    await objects.api.delete(ROUTES, objects.namespace, "iris", found["metadata"]["uid"])

    async def back() -> bool:
        again = await objects.route("iris")
        return again is not None and again["metadata"]["uid"] != found["metadata"]["uid"]

    await until(back, "a new object")


async def test_a_rollout_that_was_made_again_owns_its_route(objects: Objects, route: Route) -> None:
    async with running(objects) as port:
        await port.publish([route])
        await spec_is(objects, route)
    await objects.clear()
    rollout = await objects.apply("iris")

    async with running(objects) as successor:
        await successor.publish([route])

        async def owned() -> bool:
            found = await objects.route("iris")
            owners = [] if found is None else found["metadata"]["ownerReferences"]
            return [owner["uid"] for owner in owners] == [rollout["metadata"]["uid"]]

        await until(owned, "the new owner")


async def test_an_object_that_is_not_tidegates_is_left_alone(objects: Objects, route: Route, routes: Routes) -> None:
    own = replace(route, key=RouteKey(objects.namespace, "by-hand"), model="by-hand")
    content = {
        "apiVersion": ROUTES.version,
        "kind": "ModelRoute",
        "metadata": {"name": "by-hand"},
        "spec": spec_of(own),
    }
    made = await objects.api.create(ROUTES, objects.namespace, content)
    await routes.publish([route])
    await routes.publish([])
    await gone(objects, "iris")
    assert (await objects.route("by-hand")) == made
    assert own.key not in routes.published()


async def test_a_route_that_the_api_server_refuses_keeps_no_other_up(
    objects: Objects, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = a_route(RouteKey(objects.namespace, "another"), max_body_bytes=2)
    await objects.apply("another")
    patch, asked = objects.api.patch, []

    async def refusing(resource: Any, namespace: str, name: str, *arguments: Any, **options: Any) -> Object:
        if name == "another":
            asked.append(name)
            raise NotFound(404, "the namespace is being deleted")
        return await patch(resource, namespace, name, *arguments, **options)

    async with running(objects) as port:
        monkeypatch.setattr(objects.api, "patch", refusing)
        await port.publish([bad, route])
        await spec_is(objects, route)
        assert port.published().keys() == {bad.key, route.key}
        status = port.status(bad.key)
        assert (status.acknowledged, status.rejected) == (False, "the namespace is being deleted")
        assert len(asked) < 5
        monkeypatch.undo()
        await spec_is(objects, bad)


async def test_a_change_is_told_to_whoever_listens(objects: Objects, route: Route, routes: Routes) -> None:
    changes = routes.changes()
    assert await anext(changes) is None
    await routes.publish([route])
    async with asyncio.timeout(30):
        assert await anext(changes) == route.key
    await objects.pod("router-a")
    await objects.acknowledge("iris", "router-a")
    async with asyncio.timeout(30):
        assert await anext(changes) == route.key
    assert routes.status(route.key).acknowledged


async def test_the_port_goes_on_when_the_api_server_is_back(
    objects: Objects, route: Route, routes: Routes, api_server: ApiServer
) -> None:
    await objects.pod("router-a")
    await routes.publish([route])
    await spec_is(objects, route)
    changed = replace(route, timeout_seconds=7.0)
    api_server.kill()
    try:
        await routes.publish([changed])
        assert routes.published() == {route.key: changed}
        assert not routes.status(route.key).acknowledged
        await asyncio.sleep(2)  # so that it has noticed
    finally:
        api_server.start()
    await spec_is(objects, changed)
    await objects.acknowledge("iris", "router-a")
    await acknowledged(routes, route.key)
