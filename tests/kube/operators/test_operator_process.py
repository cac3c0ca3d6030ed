"""`python -m operators.kube` beside a real API server, without a Ray cluster: rollouts wait, and say so."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from operators.kube.client import ROLLOUTS, ROUTES, NotFound, Object
from operators.kube.store import FINALIZER
from router.ir import Backend, RouteKey
from router.modelroute import spec_of
from tests.kube.apiserver import ApiServer
from tests.kube.definitions import CRDS, install
from tests.kube.operators.operator_kit import LATE_MAXIMUM, Objects, Operator, a_route, condition, endpoints, until

Operators = Callable[..., Operator]


async def waiting_for_ray(objects: Objects, name: str) -> Object:
    """Wait until a rollout waits for Ray; the rollout."""

    async def so() -> Object | None:
        found = await objects.rollout(name)
        return found if condition(found, "Ready").get("reason") == "RayUnreachable" else None

    found: Object = await until(so, f"a decision about {name}")
    return found


async def leads(objects: Objects, name: str, seconds: float = 90.0) -> None:
    async def so() -> bool:
        return await objects.holder() == name

    await until(so, f"the lead of {name}", seconds)


async def answers(operator: Operator, path: str, status: int) -> str:
    """Wait for an answer of its HTTP API with this status; its body."""

    async def so() -> tuple[int, str] | None:
        found = await asyncio.to_thread(operator.get, path)
        return found if found[0] == status else None

    found: tuple[int, str] = await until(so, f"{status} of {path}")
    return found[1]


async def ended(operator: Operator) -> int:
    """Wait for its end; the exit code."""
    assert operator.process is not None
    return await asyncio.to_thread(operator.process.wait, 90)


@pytest.fixture
async def operator(objects: Objects, operators: Operators) -> Operator:
    """One at work: it has decided about the rollout `iris`, which waits for Ray."""
    found = operators("operator-a")
    found.start()
    await objects.apply("iris")
    await waiting_for_ray(objects, "iris")
    return found


async def test_a_rollout_is_decided_about_when_it_is_made_and_when_it_is_changed(
    objects: Objects, operator: Operator
) -> None:
    assert await objects.holder() == "operator-a"
    changed = await objects.apply("iris", progressDeadlineSeconds=30)

    async def observed() -> bool:
        found = await objects.rollout("iris")
        return bool(found["status"]["observedGeneration"] == changed["metadata"]["generation"])

    await until(observed, "a decision about the change")


@pytest.mark.parametrize("watched", ["{0},{0}-other", ""], ids=["several", "all"])
async def test_rollouts_of_several_namespaces_or_of_all_are_followed(
    objects: Objects, operators: Operators, api_server: ApiServer, watched: str
) -> None:
    other = Objects(objects.api, f"{objects.namespace}-other")
    api_server.kubectl("create", "namespace", other.namespace)
    operator = operators("operator-a", environment={"TIDEGATE_WATCH_NAMESPACES": watched.format(objects.namespace)})
    operator.start()
    try:
        await leads(objects, "operator-a")
        await other.apply("one")
        await waiting_for_ray(other, "one")
        await objects.apply("two")
        await waiting_for_ray(objects, "two")
    finally:
        await other.clear()


async def test_at_rest_nothing_is_written_and_little_is_done(objects: Objects, operator: Operator) -> None:
    for number in range(4):
        await objects.apply(f"iris-{number}")
        await waiting_for_ray(objects, f"iris-{number}")
    await objects.apply("bad", analysis={"checks": [LATE_MAXIMUM]})
    await asyncio.sleep(2)
    assert operator.process is not None
    process = psutil.Process(operator.process.pid)
    before, spent, began = (
        await objects.api.objects(ROLLOUTS, (objects.namespace,)),
        sum(process.cpu_times()[:2]),
        time.monotonic(),
    )

    await asyncio.sleep(20)

    share = (sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - began)
    after = await objects.api.objects(ROLLOUTS, (objects.namespace,))
    assert [one["metadata"]["resourceVersion"] for one in after] == [
        one["metadata"]["resourceVersion"] for one in before
    ]
    assert process.memory_info().rss < 150e6
    assert share < 0.05, "2 % on a machine of its own"


async def test_a_manifest_that_makes_no_sense_is_told_so_and_the_others_go_on(
    objects: Objects, operators: Operators
) -> None:
    await objects.apply("bad", analysis={"checks": [LATE_MAXIMUM]})
    operator = operators("operator-a")
    operator.start()
    await objects.apply("iris")
    await waiting_for_ray(objects, "iris")
    assert condition(await objects.rollout("bad"), "Accepted")["reason"] == "Invalid"

    await objects.apply("bad", analysis={"checks": []})
    await waiting_for_ray(objects, "bad")
    assert condition(await objects.rollout("bad"), "Accepted")["status"] == "True"

    await objects.apply("bad", analysis={"checks": [LATE_MAXIMUM]})

    async def told() -> bool:
        return condition(await objects.rollout("bad"), "Accepted")["reason"] == "Invalid"

    await until(told, "the condition")
    await objects.delete("bad")

    async def gone() -> bool:
        return "bad" not in {
            one["metadata"]["name"] for one in await objects.api.objects(ROLLOUTS, (objects.namespace,))
        }

    await until(gone, "the end of the rollout")


async def test_another_operator_takes_over_within_15_seconds_of_a_kill(objects: Objects, operators: Operators) -> None:
    first, second = operators("operator-a"), operators("operator-b")
    first.start()
    await leads(objects, "operator-a")
    second.start()
    await answers(second, "/readyz", 200)
    assert (first.metric("tidegate_operator_leader"), second.metric("tidegate_operator_leader")) == (1.0, 0.0)
    await asyncio.sleep(2)

    began = time.monotonic()
    first.end(signal.SIGKILL)
    await objects.apply("iris")
    await waiting_for_ray(objects, "iris")

    # The decision itself waits until Ray counts as unreachable, which takes three attempts.
    assert time.monotonic() - began < 15 + 5
    assert second.metric("tidegate_operator_leader") == 1.0


async def test_a_stopped_operator_hands_over_at_once(objects: Objects, operators: Operators) -> None:
    first, second = operators("operator-a"), operators("operator-b")
    first.start()
    await leads(objects, "operator-a")
    second.start()
    await answers(second, "/readyz", 200)
    assert await asyncio.to_thread(first.end, signal.SIGTERM) == 0
    await leads(objects, "operator-b", 8)
    assert await asyncio.to_thread(second.end, signal.SIGINT) == 0


async def test_health_readiness_and_metrics_are_told(objects: Objects, operator: Operator) -> None:
    await answers(operator, "/readyz", 200)
    assert operator.get("/healthz") == (200, "ok\n")
    rollout = f'name="iris",namespace="{objects.namespace}"'
    assert operator.metric(f'tidegate_rollout_phase{{{rollout},phase="Pending"}}') == 1.0
    assert operator.metric("tidegate_operator_queue_depth") == 0.0
    decided = operator.metric("tidegate_operator_reconcile_seconds_count")
    assert decided is not None
    assert decided >= 1.0

    await objects.delete("iris")

    async def gone() -> bool:
        return operator.metric(f'tidegate_rollout_phase{{{rollout},phase="Pending"}}') is None

    await until(gone, "the end of the rollout's metrics")


async def test_an_operator_without_an_api_server_waits_unready(
    objects: Objects, operators: Operators, api_server: ApiServer
) -> None:
    operator = operators("operator-a")
    api_server.kill()
    try:
        operator.start()
        assert "the API server has not answered" in await answers(operator, "/readyz", 503)
        assert operator.get("/healthz")[0] == 200
    finally:
        api_server.start()
    await answers(operator, "/readyz", 200)


async def test_the_operator_goes_on_when_the_api_server_was_away(
    objects: Objects, operator: Operator, api_server: ApiServer
) -> None:
    api_server.kill()
    try:
        # It may not go on as the leader without the lease: it ends, and its container starts it again.
        assert await ended(operator) == 1
        assert operator.said("has lost the lease") == 1
        operator.start()
        await asyncio.sleep(3)
    finally:
        api_server.start()
    await objects.apply("late")
    await waiting_for_ray(objects, "late")
    assert operator.process is not None
    assert operator.process.poll() is None


async def test_a_short_absence_of_the_api_server_is_survived(
    objects: Objects, operator: Operator, api_server: ApiServer
) -> None:
    api_server.kill()
    api_server.start()
    await objects.rollout("iris")  # with a connection of its own: the one before is cut off
    await objects.apply("late")
    await waiting_for_ray(objects, "late")


async def test_the_operator_goes_on_when_the_definitions_were_installed_again(
    objects: Objects, operator: Operator, api_server: ApiServer
) -> None:
    let_go_of_all(api_server)
    api_server.kubectl("delete", "-f", str(CRDS), "--timeout=60s")
    await asyncio.sleep(5)  # so that the watches have ended
    install(api_server)

    async def made() -> Object | None:
        try:
            return await objects.apply("again")
        except NotFound:  # the API server serves it a moment after it says so
            return None

    await until(made, "a rollout")
    await waiting_for_ray(objects, "again")
    await objects.apply("later")
    await waiting_for_ray(objects, "later")
    assert operator.process is not None
    assert operator.process.poll() is None


def let_go_of_all(api_server: ApiServer) -> None:
    """Take the finalizers from what other tests have left: a definition waits for all of its objects."""
    objects = '{range .items[*]}{.metadata.namespace} {.metadata.name}{"\\n"}{end}'
    for line in api_server.kubectl("get", "mr", "-A", "-o", f"jsonpath={objects}").stdout.splitlines():
        namespace, name = line.split()
        nothing = '{"metadata":{"finalizers":null}}'
        api_server.kubectl("-n", namespace, "patch", "mr", name, "--type=merge", "-p", nothing)


async def test_after_a_restart_without_ray_the_routes_stay_as_they_are(objects: Objects, operators: Operators) -> None:

    made = await objects.apply("iris")
    version = {"id": "abcdefabcd", "model": {"uri": "file:///m", "runtime": "sklearn"}, "serving": {}}
    await objects.patch("iris", {"status": {"stable": version, "stableReady": 1, "phase": "Healthy"}}, "status")
    key = RouteKey(objects.namespace, "iris")
    route = a_route(key, backends=(Backend("abcdefabcd", 10_000, endpoints(7001)),))
    content = {
        "apiVersion": ROUTES.version,
        "kind": "ModelRoute",
        "metadata": {
            "name": "iris",
            "labels": {"app.kubernetes.io/managed-by": "tidegate"},
            "ownerReferences": [
                {
                    "apiVersion": ROLLOUTS.version,
                    "kind": "ModelRollout",
                    "name": "iris",
                    "uid": made["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": spec_of(route),
    }
    before = await objects.api.create(ROUTES, objects.namespace, content)
    operator = operators("operator-a")
    operator.start()
    await waiting_for_ray(objects, "iris")
    await asyncio.sleep(3)
    after = await objects.route("iris")
    assert after is not None
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])


async def test_release_takes_the_finalizers_and_stops_the_operator_that_would_put_them_back(
    objects: Objects, operators: Operators
) -> None:
    operator = operators("operator-a")
    operator.start()
    for name in ("one", "two"):
        await objects.apply(name)
        await waiting_for_ray(objects, name)
        await objects.patch(name, {"metadata": {"finalizers": ["example.com/other", FINALIZER]}})

    done = await asyncio.to_thread(operator.run, "release")

    assert (done.returncode, done.stderr.count(": released")) == (0, 2), done.stderr
    for name in ("one", "two"):
        assert (await objects.rollout(name))["metadata"]["finalizers"] == ["example.com/other"]
        await objects.patch(name, {"metadata": {"finalizers": None}})
    assert await ended(operator) == 1
    assert operator.said("uninstall holds it") == 1


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TIDEGATE_RAY_URL", "", "TIDEGATE_RAY_URL is not set"),
        ("TIDEGATE_HTTP_PORT", "http", "TIDEGATE_HTTP_PORT is 'http'"),
        ("TIDEGATE_RAY_TOKEN_FILE", "/nowhere/token", "/nowhere/token"),
        ("TIDEGATE_PROMETHEUS_URL", "prometheus:9090", "TIDEGATE_PROMETHEUS_URL must be"),
        ("TIDEGATE_WEB_METRIC_HOSTS", "http://scores", "TIDEGATE_WEB_METRIC_HOSTS has 'http://scores'"),
        ("KUBECONFIG", "/nowhere/kubeconfig", "let KUBECONFIG name the file of a cluster"),
    ],
)
def test_an_operator_that_cannot_run_says_why(operators: Operators, variable: str, value: str, words: str) -> None:
    done = operators("operator-a", environment={variable: value}).run()
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_stays_secret(operators: Operators, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("very-secret\n")
    operator = operators("operator-a", environment={"TIDEGATE_RAY_TOKEN_FILE": str(tmp_path / "token")})
    operator.start()
    deadline = time.monotonic() + 60
    while not operator.said("Ray Serve cannot be reached"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not operator.said("very-secret")
    assert "very-secret" not in operator.get("/metrics")[1]


def test_the_help_names_every_variable(operators: Operators) -> None:
    text = operators("operator-a").run("--help").stdout
    for name in ("POD_NAME", "TIDEGATE_WATCH_NAMESPACES", "TIDEGATE_ROUTER_SELECTOR", "TIDEGATE_PROMETHEUS_URL"):
        assert name in text
