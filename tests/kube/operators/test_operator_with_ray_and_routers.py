"""A rollout's life on a real API server, Ray Serve, router pod and Envoy, while the operator comes and goes."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sklearn.datasets import load_iris

from benchmarks.client import Load, cycle_rows, steady
from operators.kube.client import ROLLOUTS, Object, Patch
from operators.kube.store import FINALIZER
from operators.local.home import Home
from operators.local.ray import LocalRay, RayAddress
from serving.client import ServeClient
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import Objects, Operator, condition, until
from tests.kube.router.router_kit import RouterPod

MODELS = Path(__file__).parents[3] / "deployments" / "examples" / "models"
ROWS = load_iris(return_X_y=True)[0]
CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
SECONDS = 180.0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ray_head(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RayAddress]:
    """A Ray head with Ray Serve and nothing on it."""
    ray = LocalRay(Home(tmp_path_factory.mktemp("ray")))
    yield await ray.start()
    await ray.stop()


@dataclass(slots=True)
class Cluster:
    """A namespace with a router pod that serves, and an operator that is not started yet."""

    objects: Objects
    operator: Operator
    router: RouterPod

    async def apply(self, name: str, model: str, **spec: Any) -> Object:
        uri = {"uri": f"file://{MODELS / model}.joblib", "runtime": "sklearn"}
        return await self.objects.apply(name, model=uri, scaleDownDelaySeconds=1, **spec)

    async def reaches(self, name: str, reached: Callable[[Object], bool], what: str) -> Object:
        """Wait for a status; the status."""

        async def so() -> Object | None:
            status: Object = (await self.objects.rollout(name)).get("status") or {}
            return status if status and reached(status) else None

        try:
            found: Object = await until(so, what, SECONDS)
        except AssertionError as error:
            status = (await self.objects.rollout(name)).get("status")
            raise AssertionError(f"{error}: {status}\n{self.operator.log.read_text()[-3000:]}") from error
        return found

    async def first(self, name: str, **spec: Any) -> str:
        """Apply version 1 and wait until it serves; its id."""
        await self.apply(name, "iris-1", **spec)
        version: str = (await self.reaches(name, healthy, "a healthy rollout"))["stable"]["id"]
        return version

    @asynccontextmanager
    async def load(self, name: str) -> AsyncIterator[Load]:
        """Requests all the while; every one must be answered with 200."""
        path = f"/v2/models/{name}/infer"
        async with steady(self.router.port, cycle_rows(path, ROWS), connections=4, pace=0.02) as load:
            yield load
        assert load.tally.sent > 50
        assert load.tally.failed == 0, load.tally.failures


@pytest.fixture
async def cluster(
    objects: Objects,
    operators: Callable[..., Operator],
    api_server: ApiServer,
    namespace: str,
    ray_head: RayAddress,
    tmp_path: Path,
) -> AsyncIterator[Cluster]:
    router = RouterPod("router-a", str(api_server.kubeconfig), namespace)
    token = tmp_path / "token"
    token.write_text(ray_head.token)
    environment = {"TIDEGATE_RAY_TOKEN_FILE": str(token), "TIDEGATE_ROUTER_PORT": str(router.http_port)}
    operator = operators("operator-a", ray_url=ray_head.url, environment=environment)
    router.start()
    await router.ready()
    await objects.pod("router-a")
    yield Cluster(objects, operator, router)
    operator.remove()
    router.remove()
    async with ServeClient(ray_head.url, ray_head.token) as client:
        await client.put({"applications": []})  # what a killed operator left behind


def healthy(status: Object) -> bool:
    return bool(status.get("phase") == "Healthy")


def healthy_without(version: str) -> Callable[[Object], bool]:
    return lambda status: healthy(status) and status["stable"]["id"] != version


def halfway(status: Object) -> bool:
    return bool(status.get("weight") == 50 and status.get("phase") == "Paused" and "evidenceSince" in status)


async def gone(cluster: Cluster, name: str) -> None:
    async def so() -> bool:
        return name not in await cluster.objects.versions() and await cluster.objects.route(name) is None

    await until(so, f"the end of {name} and of its route", SECONDS)


async def test_a_canary_is_promoted_by_hand_and_deleted_and_loses_no_request(cluster: Cluster) -> None:
    cluster.operator.start()
    stable = await cluster.first("iris")
    assert (await cluster.objects.rollout("iris"))["metadata"]["finalizers"] == [FINALIZER]
    async with cluster.load("iris") as load:
        await cluster.apply("iris", "iris-2", strategy=CANARY)
        waiting = await cluster.reaches("iris", halfway, "a candidate at 50 %")
        assert f"`kubectl tidegate promote iris -n {cluster.objects.namespace}`" in waiting["message"]
        load.tally.versions.clear()
        await asyncio.sleep(1)
        assert len(load.tally.versions) == 2

        await cluster.objects.annotate("iris", promote="step")
        after = await cluster.reaches("iris", healthy_without(stable), "a promotion")
    annotations = (await cluster.objects.rollout("iris"))["metadata"]["annotations"]
    assert "tidegate.dev/promote" not in annotations
    assert annotations["tidegate.dev/answered"] == after["answered"]["token"]
    assert {"Started", "Promoted"} <= {event["reason"] for event in await cluster.objects.events()}
    assert condition(await cluster.objects.rollout("iris"), "RouterSynced")["status"] == "True"

    await cluster.objects.delete("iris")
    await gone(cluster, "iris")


async def test_checks_are_decided_on_what_the_router_pods_counted(cluster: Cluster) -> None:
    cluster.operator.start()
    check = {"name": "errors", "metric": "error-rate", "max": 0.05}
    steps = [{"setWeight": 50}, {"analysis": {"minSamples": 50}}]
    stable = await cluster.first("iris")
    async with cluster.load("iris"):
        await cluster.apply(
            "iris",
            "iris-2",
            strategy={"canary": {"steps": steps}},
            analysis={"interval": "1s", "checks": [check]},
        )
        await cluster.reaches("iris", healthy_without(stable), "a promotion")
    labels = f'check="errors",name="iris",namespace="{cluster.objects.namespace}",verdict="Pass"'
    passed = await asyncio.to_thread(cluster.operator.metric, f"tidegate_check_verdicts_total{{{labels}}}")
    assert passed is not None
    assert passed >= 1


async def test_an_operator_killed_again_and_again_finishes_its_rollouts_and_loses_no_request(cluster: Cluster) -> None:
    cluster.operator.start()
    stable = await cluster.first("iris")
    chance, kills = random.Random(4), 0

    async def leads_again() -> bool:
        return cluster.operator.said(" leads") > kills

    async def kill() -> None:
        nonlocal kills
        while True:
            await until(leads_again, "another life", SECONDS)
            await asyncio.sleep(chance.uniform(0.0, 0.5 + kills / 2))
            await asyncio.to_thread(cluster.operator.end, signal.SIGKILL)
            kills += 1
            cluster.operator.start()

    attempts = 0
    async with cluster.load("iris"):
        killing = asyncio.ensure_future(kill())
        while kills < 5:
            attempts += 1
            serving = {"env": {"ATTEMPT": str(attempts)}}
            await cluster.apply("iris", "iris-2", strategy=CANARY, serving=serving)
            await cluster.reaches("iris", halfway, "a candidate at 50 %")
            await cluster.objects.annotate("iris", promote="step")
            after = await cluster.reaches("iris", healthy_without(stable), "a promotion")
            stable = after["stable"]["id"]
        assert not killing.done()
        killing.cancel()
    promotions = await cluster.objects.events("Promoted")
    assert len(promotions) <= attempts + 1, "each version is promoted once"

    await cluster.objects.delete("iris")
    await gone(cluster, "iris")


async def test_a_rollout_deleted_while_it_progresses_leaves_nothing(cluster: Cluster, ray_head: RayAddress) -> None:
    cluster.operator.start()
    await cluster.first("iris")
    await cluster.apply("iris", "iris-2", strategy=CANARY)
    await cluster.reaches("iris", lambda status: "candidate" in status, "a candidate")
    await cluster.objects.delete("iris")
    await gone(cluster, "iris")
    async with ServeClient(ray_head.url, ray_head.token) as client:
        assert not (await client.details()).applications


async def test_traffic_goes_on_while_the_api_server_and_the_operator_are_away(
    cluster: Cluster, api_server: ApiServer
) -> None:
    cluster.operator.start()
    stable = await cluster.first("iris")
    async with cluster.load("iris"):
        api_server.kill()
        try:
            assert cluster.operator.process is not None
            assert await asyncio.to_thread(cluster.operator.process.wait, 60) == 1
            cluster.operator.start()
            await asyncio.sleep(5)
        finally:
            api_server.start()
        await cluster.objects.versions()
        await cluster.apply("iris", "iris-2")
        await cluster.reaches("iris", healthy_without(stable), "a new version")


async def test_a_manifest_that_stops_making_sense_goes_on_being_served(cluster: Cluster) -> None:
    cluster.operator.start()
    await cluster.first("iris")
    async with cluster.load("iris"):
        late = {"analysis": {"checks": [{"name": "late", "metric": "latency-p99", "max": 0.5}]}}
        await cluster.objects.api.patch(ROLLOUTS, cluster.objects.namespace, "iris", Patch.MERGE, {"spec": late})
        await cluster.reaches(
            "iris",
            lambda status: any(one["reason"] == "Invalid" for one in status["conditions"]),
            "a condition that says so",
        )
        await asyncio.to_thread(cluster.operator.end, signal.SIGKILL)
        cluster.operator.start()
        await asyncio.sleep(8)
