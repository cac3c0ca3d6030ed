"""A rollout's life on a real cluster, in the order in which a user meets it; steady load runs through every change."""

import asyncio
import os
import re
import time
from typing import Any

from benchmarks.client import Load, burst, infer_body, post
from tests.e2e.cluster import CHART, RELEASE, Cluster, answers
from tests.e2e.rollouts import (
    ROWS,
    aside,
    first_version,
    healthy,
    healthy_with_another_than,
    kill,
    load_on,
    paused_at,
)

ERRORS = {"name": "errors", "metric": "error-rate", "versus": "stable", "margin": 0.05}
KILL_A_REPLICA = """
import os, pathlib, signal, sys
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit():
        try:
            title = (entry / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if "ServeReplica" in title and sys.argv[1] in title:
            os.kill(int(entry.name), signal.SIGKILL)
            print(entry.name)
            break
"""

ASK_RAY = """
import pathlib, urllib.error, urllib.request
right = pathlib.Path("/etc/tidegate/ray/token").read_text().strip()
for token in (None, "wrong", right):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = "http://tidegate-ray-head:8265/api/serve/applications/"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            print(answer.status, "iris" in answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code)
"""
"""Ask Ray's REST API without a token, with a wrong one, and with the operator's."""


async def test_from_helm_install_to_the_first_prediction_takes_less_than_four_minutes(cluster: Cluster) -> None:
    cluster.apply(cluster.rollout("iris", "iris-1"))
    await answers(cluster, "iris", 240)
    seconds = time.monotonic() - cluster.clock["installed"]
    print(f"from helm install to the first prediction: {seconds:.0f} s")
    assert seconds < 240


def test_helm_test_makes_a_prediction(cluster: Cluster) -> None:
    for component, replicas in (("operator", 2), ("router", 2)):
        cluster.kubectl("rollout", "status", f"deployment/{RELEASE}-{component}", "--timeout=120s")
        assert len(cluster.pods(component)) == replicas
    said = cluster.helm("test", RELEASE, "--logs")
    assert "Succeeded" in said
    assert "answers 200" in said


def test_kubectl_wait_and_get_say_where_a_rollout_stands(cluster: Cluster) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", "modelrollout/iris", "--timeout=60s")
    listed = cluster.kubectl("get", "mr")
    assert listed.splitlines()[0].split() == [
        "NAME",
        "PHASE",
        "STEP",
        "WEIGHT",
        "STABLE",
        "CANDIDATE",
        "VERDICT",
        "AGE",
    ]
    assert "Healthy" in listed
    assert "iris" in cluster.kubectl("get", "modelroutes")


async def test_a_new_version_gets_traffic_within_45_seconds_and_is_promoted_without_a_lost_request(
    cluster: Cluster,
) -> None:
    stable = await first_version(cluster, "walks")
    steps = [{"setWeight": 5}, {"pause": {"duration": "3s"}}, {"setWeight": 50}, {"pause": {}}]
    async with load_on(cluster, "walks") as load:
        applied = time.monotonic()
        manifest = cluster.rollout("walks", "iris-2", strategy={"canary": {"steps": steps}}, scaleDownDelaySeconds=2)
        await aside(cluster.apply, manifest)
        while set(load.tally.versions) == {stable}:
            await asyncio.sleep(0.05)
            assert time.monotonic() - applied < 45, await aside(cluster.story)
        print(f"from kubectl apply to the candidate's first request: {time.monotonic() - applied:.1f} s")
        await aside(cluster.until, "walks", paused_at(50))
        load.tally.versions.clear()
        await asyncio.sleep(5)
        counts = dict(load.tally.versions)
        share = 1 - counts[stable] / sum(counts.values())
        assert 0.4 < share < 0.6, counts
        await aside(cluster.kubectl, "annotate", "mr/walks", "tidegate.dev/promote=step")
        status = await aside(cluster.until, "walks", healthy_with_another_than(stable))
        await aside(cluster.until, "walks", lambda status: not status.get("retiring"))
        load.tally.versions.clear()
        await asyncio.sleep(1)
        assert set(load.tally.versions) == {status["stable"]["id"]}
    assert "tidegate.dev/promote" not in cluster.get("mr", "walks")["metadata"].get("annotations", {})
    cluster.kubectl("delete", "mr", "walks", "--timeout=120s")


async def test_a_bad_version_is_taken_back_by_itself_before_a_user_sees_it(cluster: Cluster) -> None:
    stable = await first_version(cluster, "fails")
    strategy = {"canary": {"steps": [{"setShadow": 100}, {"pause": {}}, {"setWeight": 50}]}}
    async with load_on(cluster, "fails") as load:
        analysis = {"interval": "1s", "checks": [ERRORS]}
        await aside(cluster.apply, cluster.rollout("fails", "iris-3", strategy=strategy, analysis=analysis))
        status = await aside(cluster.until, "fails", lambda status: status.get("phase") == "Degraded")
    assert set(load.tally.versions) == {stable}
    assert "errors" in status["message"]
    assert "Aborted" in cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=fails")
    cluster.kubectl("delete", "mr", "fails", "--timeout=120s")


async def test_killed_operators_routers_and_replicas_cost_no_request(cluster: Cluster) -> None:
    stable = await first_version(cluster, "survives", serving={"replicas": 2})
    cluster.until("survives", lambda status: status.get("stableReady") == 2)
    strategy = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
    async with load_on(cluster, "survives") as load:
        manifest = cluster.rollout("survives", "iris-2", serving={"replicas": 2}, strategy=strategy)
        await aside(cluster.apply, manifest)
        await aside(cluster.until, "survives", paused_at(50))
        for pod in await aside(cluster.pods, "operator"):
            await aside(kill, cluster, pod)
        await aside(kill_a_replica, cluster, "survives")
        router = (await aside(cluster.pods, "router"))[0]
        await aside(cluster.kubectl, "delete", "pod", router["metadata"]["name"], "--timeout=120s")
        await aside(cluster.kubectl, "rollout", "status", f"deployment/{RELEASE}-router", "--timeout=120s")
        await aside(cluster.until, "survives", lambda status: status.get("stableReady") == 2)
        await aside(cluster.kubectl, "annotate", "mr/survives", "tidegate.dev/promote=full")
        await aside(cluster.until, "survives", healthy_with_another_than(stable), 120)
    assert load.tally.sent > 1000
    cluster.kubectl("delete", "mr", "survives", "--timeout=120s")


def kill_a_replica(cluster: Cluster, name: str) -> None:
    """SIGKILL one replica's process, wherever it runs."""
    for pod in [*cluster.pods("ray-worker"), *cluster.pods("ray-head")]:
        if cluster.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", KILL_A_REPLICA, name).strip():
            return
    raise AssertionError(f"no replica of {name} was found")


async def test_restarting_all_routers_one_by_one_loses_no_request(cluster: Cluster) -> None:
    async with load_on(cluster, "iris"):
        await aside(cluster.kubectl, "rollout", "restart", f"deployment/{RELEASE}-router")
        await aside(cluster.kubectl, "rollout", "status", f"deployment/{RELEASE}-router", "--timeout=180s", seconds=200)


async def test_an_upgrade_and_its_rollback_lose_no_request_and_no_rollout(cluster: Cluster) -> None:
    before = cluster.get("mr", "iris")
    token = cluster.get("secret", "tidegate-ray-token")["data"]
    async with load_on(cluster, "iris"):
        for change in (
            ["upgrade", RELEASE, str(CHART), "--reuse-values", "--set", "router.podAnnotations.round=two"],
            ["rollback", RELEASE],
        ):
            await aside(cluster.helm, *change, "--wait", "--timeout", "5m")
            await aside(cluster.kubectl, "rollout", "status", f"deployment/{RELEASE}-router", "--timeout=180s")
    after = cluster.get("mr", "iris")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["stable"] == before["status"]["stable"]
    assert cluster.get("secret", "tidegate-ray-token")["data"] == token


def test_an_operator_at_rest_writes_nothing_and_costs_next_to_nothing(cluster: Cluster) -> None:
    cluster.until("iris", healthy)
    before = cluster.get("mr", "iris")["metadata"]["resourceVersion"], usage(cluster)
    time.sleep(20)  # what is measured is that nothing happens
    after = cluster.get("mr", "iris")["metadata"]["resourceVersion"], usage(cluster)
    assert after[0] == before[0]
    for pod, (cpu, memory) in after[1].items():
        share = (cpu - before[1][pod][0]) / 20
        print(f"{pod} at rest: {share:.2%} of a core, {memory / 1e6:.0f} MB")
        assert share < 0.02
        assert memory < 150e6


def usage(cluster: Cluster) -> dict[str, tuple[float, int]]:
    """CPU seconds so far and resident bytes of each operator."""
    read = (
        "print(open('/proc/1/stat').read().rpartition(')')[2].split()[11:13], open('/proc/1/statm').read().split()[1])"
    )
    found = {}
    for pod in cluster.pods("operator"):
        name = pod["metadata"]["name"]
        user, system, pages = re.findall(r"\d+", cluster.kubectl("exec", name, "--", "python", "-c", read))
        found[name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), int(pages) * os.sysconf("SC_PAGE_SIZE")
    return found


def test_the_parts_may_do_what_they_need_and_nothing_else(cluster: Cluster) -> None:
    def may(account: str, *what: str) -> bool:
        user = f"--as=system:serviceaccount:{cluster.namespace}:{RELEASE}-{account}"
        return cluster.kubectl("auth", "can-i", *what, user, check=False).strip().endswith("yes")

    assert may("operator", "patch", "modelrollouts", "--subresource=status")
    assert may("operator", "create", "modelroutes")
    assert may("router", "patch", "modelroutes", "--subresource=status")
    for account in ("operator", "router", "ray"):
        assert not may(account, "get", "secrets")
        assert not may(account, "create", "pods")
        assert not may(account, "get", "nodes")
        assert not may(account, "delete", "modelrollouts")
    assert not may("router", "patch", "modelroutes")
    assert not may("router", "get", "modelrollouts")
    assert not may("ray", "get", "modelroutes")


def test_ray_answers_nobody_without_the_token_that_the_operator_has(cluster: Cluster) -> None:
    cluster.until("iris", healthy)
    operator = cluster.pods("operator")[0]["metadata"]["name"]
    assert cluster.kubectl("exec", operator, "--", "python", "-c", ASK_RAY).split() == ["401", "403", "200", "True"]
    worker = cluster.pods("ray-worker")[0]["metadata"]["name"]
    ask = ["ray", "health-check", "--address", f"{RELEASE}-ray-head:6379"]
    cluster.kubectl("exec", worker, "--", *ask)
    refused = cluster.kubectl("exec", worker, "--", "env", "RAY_AUTH_MODE=disabled", *ask, check=False)
    assert "InvalidAuthToken" in refused


async def test_blue_green_previews_switches_at_once_and_goes_back_at_once(cluster: Cluster) -> None:
    strategy = {"blueGreen": {"previewMatch": [{"header": "x-preview", "exact": "1"}], "autoPromote": False}}
    stable = await first_version(cluster, "switches", strategy=strategy)
    async with load_on(cluster, "switches") as load:
        await aside(cluster.apply, cluster.rollout("switches", "iris-2", strategy=strategy))
        status = await aside(cluster.until, "switches", lambda status: status.get("phase") == "Paused")
        candidate = status["candidate"]["id"]
        previewed = [post("/v2/models/switches/infer", infer_body(ROWS[:1]), {"x-preview": "1"})]
        _, answered = await burst(cluster.ingress_port, previewed, connections=1)
        assert [answer.version for answer in answered] == [candidate]
        assert set(load.tally.versions) == {stable}
        await aside(cluster.kubectl, "annotate", "mr/switches", "tidegate.dev/promote=step")
        await aside(cluster.until, "switches", healthy_with_another_than(stable))
        await only(load, candidate)
        await aside(cluster.kubectl, "annotate", "mr/switches", "tidegate.dev/undo=")
        await aside(cluster.until, "switches", healthy_with_another_than(candidate))
        await only(load, stable)
    cluster.kubectl("delete", "mr", "switches", "--timeout=120s")


async def test_a_bandit_among_variants_counts_their_answers_and_ends_by_a_persons_word(cluster: Cluster) -> None:
    stable = await first_version(cluster, "learns")
    spec: dict[str, object] = {
        "strategy": {"bandit": {"reward": "success-rate", "interval": "3s"}},
        "analysis": {"interval": "1s"},
        "variants": [{"name": "b", "model": cluster.model("iris-2")}],
    }
    async with load_on(cluster, "learns") as load:
        await aside(cluster.apply, cluster.rollout("learns", "iris-1", **spec))
        status = await aside(cluster.until, "learns", decided)
        assert [arm["name"] for arm in status["experiment"]["arms"]] == ["control", "b"]
        assert status["stable"]["id"] == stable
        assert len(load.tally.versions) == 2
        await aside(cluster.kubectl, "annotate", "mr/learns", "tidegate.dev/promote=variant=b")
        status = await aside(cluster.until, "learns", healthy_with_another_than(stable))
        await only(load, status["stable"]["id"])
    cluster.kubectl("delete", "mr", "learns", "--timeout=120s")


def decided(status: dict[str, Any]) -> bool:
    """Whether a bandit has chosen shares by what it has counted."""
    arms = status.get("experiment", {}).get("arms", [])
    return bool(arms) and all(arm["counted"]["count"] > 50 and "best" in arm for arm in arms)


async def only(load: Load, version: str) -> None:
    """Every answer of the next second is this version's."""
    load.tally.versions.clear()
    await asyncio.sleep(1)
    assert set(load.tally.versions) == {version}
