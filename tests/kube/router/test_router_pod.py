"""A router pod beside a real API server: what it serves, what it acknowledges, what it tells."""

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.client import burst, post
from router.ir import Mirror
from tests.integration.router.upstreams import Upstream, make_route
from tests.kube.apiserver import ApiServer
from tests.kube.router.router_kit import PATH, Objects, RouterPod, counted, ended, objects, started, versions

Pods = Callable[..., RouterPod]
Start = Callable[..., Awaitable[Upstream]]


async def answers(pod: RouterPod, status: int, code: bytes, path: str = PATH) -> bool:
    """Whether Envoy itself answers so."""
    _, (answer,) = await burst(pod.port, [post(path, b"{}")], connections=1)
    return answer.status == status and code in answer.body


async def test_a_route_is_served_acknowledged_changed_and_taken_away(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    one, two = await upstream("one"), await upstream("two")
    await started(pod, routes, make_route("m", (one, 10_000)))
    assert await versions(pod) == {"one"}

    assert await routes.replace(make_route("m", (two, 10_000))) == 2
    await routes.acknowledged("m", pod.name, 2)
    assert await versions(pod) == {"two"}

    await routes.create(make_route("late", (one, 10_000)))
    await routes.acknowledged("late", pod.name, 1)
    assert await versions(pod, "/v2/models/late/infer") == {"one"}

    await routes.delete("late")

    await pod.until(lambda: answers(pod, 404, b"not_found", "/v2/models/late/infer"), "the end of the route")
    assert await versions(pod) == {"two"}


async def test_a_new_generation_with_the_same_traffic_is_acknowledged(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    route = make_route("m", (await upstream("one"), 10_000))
    await started(pod, routes, route)
    # A retry that is named and one that is not are different specs, and the same traffic.
    assert await routes.replace(route, timeoutSeconds=6) == 2
    assert await routes.replace(route) == 3
    await routes.acknowledged("m", pod.name, 3)
    assert await versions(pod) == {"one"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"model": "a"}, "model a on host * belongs to "),
        ({"backends": [{"version": "two", "weight": 9_000}]}, "must sum to 10000 basis points"),
        ({"timeoutSeconds": 1.5e11}, "Envoy refused it: "),
    ],
    ids=["taken", "unreadable", "refused by Envoy"],
)
async def test_a_route_that_cannot_be_served_is_rejected_and_the_others_go_on(
    pod: RouterPod, routes: Objects, upstream: Start, spec: dict[str, Any], message: str
) -> None:
    one, two = await upstream("one"), await upstream("two")
    await started(pod, routes, make_route("a", (one, 10_000)), make_route("m", (one, 10_000)))

    assert await routes.replace(make_route("m", (two, 10_000)), **spec) == 2
    await routes.acknowledged("m", pod.name, 1, rejected=message)
    assert await versions(pod) == {"one"}
    assert await routes.replace(make_route("a", (two, 10_000))) == 2
    await routes.acknowledged("a", pod.name, 2)
    assert await versions(pod, "/v2/models/a/infer") == {"two"}

    assert await routes.replace(make_route("m", (two, 10_000))) == 3
    await routes.acknowledged("m", pod.name, 3)
    assert await versions(pod) == {"two"}


async def test_each_router_writes_its_own_entry_and_only_when_it_changes(
    pods: Pods, routes: Objects, upstream: Start
) -> None:
    await routes.create(make_route("m", (await upstream("one"), 10_000)))
    first, second = pods("router-a"), pods("router-b")
    first.start()
    second.start()
    for pod in (first, second):
        await routes.acknowledged("m", pod.name, 1)
        await pod.ready()
    before = await routes.get("m")
    assert before["status"]["routers"].keys() == {"router-a", "router-b"}
    assert before["metadata"]["generation"] == 1

    # Another process of the same pod, and another route, write nothing about this one.
    await ended(first.router, signal.SIGKILL)
    first.start_router()
    await routes.create(make_route("n", (await upstream("one"), 10_000)))
    for pod in (first, second):
        await routes.acknowledged("n", pod.name, 1)
    assert (await routes.get("m"))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_an_entry_that_was_taken_away_is_written_again(pod: RouterPod, routes: Objects, upstream: Start) -> None:
    await started(pod, routes, make_route("m", (await upstream("one"), 10_000)))
    await routes.prune("m", pod.name)
    await routes.acknowledged("m", pod.name, 1)


async def test_a_route_that_is_made_anew_is_acknowledged_anew(pod: RouterPod, routes: Objects, upstream: Start) -> None:
    one, two = await upstream("one"), await upstream("two")
    await started(pod, routes, make_route("m", (one, 10_000)))
    await routes.replace(make_route("m", (two, 10_000)))
    await routes.acknowledged("m", pod.name, 2)
    await routes.delete("m")
    await routes.create(make_route("m", (one, 10_000)))
    await routes.acknowledged("m", pod.name, 1)
    assert await versions(pod) == {"one"}


async def test_the_router_is_ready_only_when_envoy_runs_all_routes(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    await routes.create(make_route("m", (await upstream("one"), 10_000)))
    pod.bootstrap()
    pod.start_router()

    await pod.reason("Envoy does not run the routes yet")
    assert await pod.get("/healthz") == (200, "ok\n")
    assert (await pod.get("/traffic")) == (503, "Envoy cannot be read\n")
    assert "tidegate_router_envoy_up 0.0" in (await pod.get("/metrics"))[1]
    assert await routes.said("m", pod.name) is None
    pod.start_envoy()
    await pod.ready()
    assert await versions(pod) == {"one"}


async def test_a_router_without_any_route_becomes_ready(pod: RouterPod, routes: Objects) -> None:
    pod.start()
    await pod.ready()
    assert await answers(pod, 404, b"not_found")


async def test_traffic_and_metrics_tell_what_each_version_answered(
    pod: RouterPod, routes: Objects, upstream: Start
) -> None:
    stable, shadow = await upstream("stable"), await upstream("shadow")
    await started(pod, routes, make_route("m", (shadow, 0), (stable, 10_000), mirror=Mirror("shadow", 10_000)))
    assert await versions(pod, requests=20) == {"stable"}

    async def all_counted() -> bool:
        return (await counted(pod))[1] == {"stable": 20, "shadow": 0}

    await pod.until(all_counted, "the count of 20 requests")
    told = json.loads((await pod.get("/traffic"))[1])
    (live,) = (it for it in told["backends"] if it["version"] == "stable" and not it["mirrored"])
    assert (live["namespace"], live["name"], live["errors"]) == (routes.namespace, "m", 0)
    assert len(live["counts"]) == len(live["bounds"]) + 1
    assert sum(live["counts"]) == 20

    text = (await pod.get("/metrics"))[1]
    labels = f'{{mirrored="false",model="m",namespace="{routes.namespace}",version="stable"}}'
    assert f"tidegate_requests_total{labels} 20.0" in text
    assert f"tidegate_errors_total{labels} 0.0" in text
    assert 'le="+Inf"' in text
    assert 'tidegate_router_routes{state="acknowledged"} 1.0' in text
    assert 'tidegate_router_answers_total{answer="ack",type="route"}' in text


@pytest.mark.parametrize("everywhere", [False, True])
async def test_several_namespaces_are_served_together(
    api_server: ApiServer, namespace: str, pods: Pods, routes: Objects, upstream: Start, everywhere: bool
) -> None:
    other = f"{namespace}-other"
    api_server.kubectl("create", "namespace", other)
    # Whoever follows all namespaces meets what other tests have left in theirs.
    here, there = f"{namespace}-m", f"{other}-m"
    async with objects(api_server.kubeconfig, other) as others:
        await routes.create(make_route(here, (await upstream("one"), 10_000)))
        await others.create(make_route(there, (await upstream("two"), 10_000)))
        pod = pods("router-a", "" if everywhere else f"{namespace}, {other}")
        pod.start()
        await pod.ready()
        await routes.acknowledged(here, pod.name, 1)
        await others.acknowledged(there, pod.name, 1)
        assert await versions(pod, f"/v2/models/{here}/infer") == {"one"}
        assert await versions(pod, f"/v2/models/{there}/infer") == {"two"}


class Account:
    """A service account of the namespace, which may do nothing yet."""

    def __init__(self, api_server: ApiServer, namespace: str, folder: Path) -> None:
        self._kubectl = lambda *arguments: api_server.kubectl("-n", namespace, *arguments)
        self._name = f"{namespace}:router"
        self.kubeconfig = folder / "limited"
        self._kubectl("create", "serviceaccount", "router")
        config = yaml.safe_load(Path(api_server.kubeconfig).read_text())
        token = self._kubectl("create", "token", "router").stdout.strip()
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def let(self, verbs: str, resource: str) -> None:
        """Give it rights in its namespace."""
        name = resource.replace("/", "-")
        self._kubectl("create", "role", name, f"--verb={verbs}", f"--resource={resource}")
        self._kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={self._name}")


@pytest.fixture
def account(api_server: ApiServer, namespace: str, tmp_path: Path) -> Account:
    return Account(api_server, namespace, tmp_path)


async def test_a_router_needs_to_list_watch_and_patch_the_status_only(
    account: Account, pods: Pods, routes: Objects, upstream: Start
) -> None:
    one, two = await upstream("one"), await upstream("two")
    await routes.create(make_route("m", (one, 10_000)))
    pod = pods("router-a", kubeconfig=str(account.kubeconfig))
    pod.start()
    await pod.logged("may not read or patch modelroutes.tidegate.dev there: see its Role")
    assert (await pod.get("/readyz"))[0] == 503
    account.let("list,watch", "modelroutes.tidegate.dev")
    await pod.ready()
    assert await versions(pod) == {"one"}
    await pod.logged("the status of modelroutes cannot be written; rollouts wait for it")
    account.let("patch", "modelroutes.tidegate.dev/status")
    await routes.acknowledged("m", pod.name, 1)
    await routes.replace(make_route("m", (two, 10_000)))
    await routes.acknowledged("m", pod.name, 2)
    assert await versions(pod) == {"two"}


async def test_nothing_is_published_before_every_namespace_was_listed(
    account: Account, pods: Pods, routes: Objects, upstream: Start
) -> None:
    account.let("list,watch", "modelroutes.tidegate.dev")
    await routes.create(make_route("m", (await upstream("one"), 10_000)))
    pod = pods("router-a", f"{routes.namespace},default", str(account.kubeconfig))
    pod.start()
    await pod.logged("the modelroutes of namespace default cannot be followed; the routes stay as they are")
    await pod.reason("the routes cannot be listed, the router's log says why; Envoy runs no earlier ones")
    await pod.until(lambda: answers(pod, 503, b"starting"), "Envoy's answer before there are routes")
