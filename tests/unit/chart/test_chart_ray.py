"""Where the versions run: the chart's own Ray cluster, KubeRay's, or one that is there already."""

import base64

import pytest

from serving.render import ARTIFACTS_VARIABLE, INGRESS_DRAINING_SECONDS
from tests.unit.chart.chart_kit import (
    EXTERNAL,
    KUBERAY,
    Object,
    container,
    find,
    kinds,
    render,
    template,
    templates,
    variables,
)

FIRST_OF_THE_SYSTEM = 32_768
"""Linux gives out ports from here on; replicas listen on such ports, and the routers may reach them all."""


def ray_pods(objects: tuple[Object, ...]) -> list[Object]:
    return [pod for name, pod in templates(objects) if "Ray" in name or "-ray-" in name]


def options(command: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)


@pytest.mark.parametrize("values", [(), KUBERAY], ids=["embedded", "kuberay"])
def test_every_ray_process_is_told_the_same(values: tuple[str, ...]) -> None:
    pods = ray_pods(render(*values, "models.volume.configMap.name=models"))
    assert len(pods) == 2
    for pod in pods:
        ray = container(pod, "ray")
        told = variables(ray)
        assert told["RAY_AUTH_MODE"] == "token"
        assert told["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "1"
        assert float(told["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"]) == INGRESS_DRAINING_SECONDS
        mounts = {mount["mountPath"]: mount for mount in ray["volumeMounts"]}
        assert told["RAY_AUTH_TOKEN_PATH"] == "/etc/tidegate/ray/token"
        assert mounts["/etc/tidegate/ray"]["name"] == "ray-token"
        assert mounts["/models"]["readOnly"] is True
        assert told[ARTIFACTS_VARIABLE].startswith("/tmp/")
        assert {"/tmp", "/dev/shm"} <= mounts.keys()


def test_a_worker_that_stops_has_the_time_to_let_its_replicas_move() -> None:
    pod = template(render("ray.worker.drainSeconds=300"), "StatefulSet/tidegate-ray-worker")
    assert variables(container(pod, "ray"))["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] == "300"
    assert pod["spec"]["terminationGracePeriodSeconds"] > 300


def test_the_embedded_workers_find_the_head() -> None:
    objects = render("ray.worker.replicas=3", "ray.worker.numCpus=8", "ray.head.numCpus=1")
    head = container(template(objects, "StatefulSet/tidegate-ray-head"), "ray")
    worker = container(template(objects, "StatefulSet/tidegate-ray-worker"), "ray")
    assert head["command"][:3] == worker["command"][:3] == ["ray", "start", "--block"]
    assert "--head" in head["command"]
    service = find(objects, "Service", "tidegate-ray-head")
    [gcs] = [port for port in service["spec"]["ports"] if port["name"] == "gcs"]
    assert options(worker["command"])["address"] == f"{service['metadata']['name']}:{gcs['port']}"
    assert options(head["command"])["num-cpus"] == "1"
    assert options(worker["command"])["num-cpus"] == "8"
    assert find(objects, "StatefulSet", "tidegate-ray-worker")["spec"]["replicas"] == 3
    assert find(objects, "StatefulSet", "tidegate-ray-head")["spec"]["replicas"] == 1


def test_rays_own_ports_are_apart_from_those_of_the_replicas() -> None:
    for pod in ray_pods(render()):
        ray = container(pod, "ray")
        ports = {name: int(port) for name, port in options(ray["command"]).items() if name.endswith("port")}
        ports["metrics of the dashboard"] = int(variables(ray)["DASHBOARD_METRIC_PORT"])
        assert max(ports.values()) < FIRST_OF_THE_SYSTEM
        single = [port for name, port in ports.items() if "worker-port" not in name]
        assert len(single) == len(set(single))
        assert {"node-manager-port", "object-manager-port", "dashboard-agent-listen-port"} <= ports.keys()


def test_kuberay_gets_a_cluster_with_the_same_pods_and_options() -> None:
    objects = render(*KUBERAY, "ray.worker.replicas=2")
    assert not kinds(objects, "StatefulSet")
    cluster = find(objects, "RayCluster", "tidegate-ray")
    assert cluster["apiVersion"] == "ray.io/v1"
    [group] = cluster["spec"]["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 2
    for part, name in ((cluster["spec"]["headGroupSpec"], "head"), (group, "worker")):
        given = part["rayStartParams"]
        assert all(isinstance(value, str) for value in given.values())
        embedded = options(container(template(render(), f"StatefulSet/tidegate-ray-{name}"), "ray")["command"])
        assert given.items() >= {key: embedded[key] for key in embedded.keys() - {"address", "node-ip-address"}}.items()
        assert "command" not in container(part["template"], "ray")
    assert "gcsFaultToleranceOptions" not in cluster["spec"]


def test_kuberay_keeps_the_heads_state_in_redis_if_that_was_asked_for() -> None:
    tolerance = "ray.kuberay.gcsFaultTolerance"
    values = (f"{tolerance}.enabled=true", f"{tolerance}.redisAddress=redis:6379")
    spec = find(render(*KUBERAY, *values), "RayCluster", "tidegate-ray")["spec"]
    assert spec["gcsFaultToleranceOptions"] == {"redisAddress": "redis:6379"}
    with_password = render(*KUBERAY, *values, f"{tolerance}.redisPasswordSecret=redis")
    spec = find(with_password, "RayCluster", "tidegate-ray")["spec"]
    assert spec["gcsFaultToleranceOptions"]["redisPassword"] == {
        "valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}
    }


def test_an_external_cluster_gets_no_pods_no_policies_and_no_token() -> None:
    objects = render(*EXTERNAL)
    assert not kinds(objects, "StatefulSet", "RayCluster")
    assert not [one["metadata"]["name"] for one in objects if "-ray" in one["metadata"]["name"]]


@pytest.mark.parametrize("part", ["ray", "monitor"])
def test_a_token_is_made_unless_there_is_one(part: str) -> None:
    secret = find(render(), "Secret", f"tidegate-{part}-token")
    assert len(base64.b64decode(secret["data"]["token"])) == 64
    there = render(f"{part}.token.existingSecret=mine", f"{part}.token.key=secret")
    assert secret["metadata"]["name"] not in {one["metadata"]["name"] for one in kinds(there, "Secret")}
    mounted = [
        (volume["secret"]["secretName"], volume["secret"]["items"])
        for _, pod in templates(there)
        for volume in pod["spec"].get("volumes", ())
        if volume["name"] == f"{part}-token"
    ]
    assert len(mounted) >= 3
    assert all(one == ("mine", [{"key": "secret", "path": "token"}]) for one in mounted)


def test_models_come_from_any_volume() -> None:
    pods = ray_pods(render("models.volume.nfs.server=files", "models.volume.nfs.path=/m", "models.mountPath=/srv/m"))
    for pod in pods:
        assert {"name": "models", "nfs": {"server": "files", "path": "/m"}} in pod["spec"]["volumes"]
        mount = {"name": "models", "mountPath": "/srv/m", "readOnly": True}
        assert mount in container(pod, "ray")["volumeMounts"]
