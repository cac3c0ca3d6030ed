"""Every pod of every installation: restricted, without needless credentials, and gone without losing a request."""

from typing import Any

import pytest

from tests.unit.chart.chart_kit import (
    EVERYTHING,
    EXTERNAL,
    KUBERAY,
    VARIANTS,
    Object,
    container,
    containers,
    render,
    template,
    templates,
    variables,
)

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""What https://kubernetes.io/docs/concepts/security/pod-security-standards/ allows with `restricted`."""

every_pod = pytest.mark.parametrize(
    "pod",
    [
        pytest.param(pod, id=f"{variant}: {name}")
        for variant, values in VARIANTS.items()
        for name, pod in templates(render(*values))
    ],
)


@every_pod
def test_a_pod_satisfies_the_pod_security_standard_restricted(pod: Object) -> None:
    spec = pod["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert set().union(*(volume.keys() - {"name"} for volume in spec.get("volumes", ()))) <= VOLUMES
    for one in containers(pod):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any("hostPort" in port for port in one.get("ports", ()))


@every_pod
def test_a_pod_gets_no_variables_from_services_and_says_what_it_needs(pod: Object) -> None:
    assert pod["spec"]["enableServiceLinks"] is False
    for one in containers(pod):
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()


@every_pod
def test_everything_that_is_mounted_is_there(pod: Object) -> None:
    volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
    assert {mount["name"] for one in containers(pod) for mount in one.get("volumeMounts", ())} == volumes


def test_only_who_talks_to_the_api_server_gets_credentials_for_it() -> None:
    objects = render(*EVERYTHING)
    mounted = {name: pod["spec"]["automountServiceAccountToken"] for name, pod in templates(objects)}
    assert {name for name, automatic in mounted.items() if automatic} == {
        "Deployment/tidegate-operator",
        "Job/tidegate-release",
    }
    router = template(objects, "Deployment/tidegate-router")
    holders = [
        one["name"]
        for one in containers(router)
        if any(mount["mountPath"].startswith("/var/run/secrets") for mount in one["volumeMounts"])
    ]
    assert holders == ["router"]


def test_the_default_installation_fits_on_a_node_with_two_cores() -> None:
    wanted = {"Deployment/tidegate-operator": 2, "Deployment/tidegate-router": 2}
    total = 0
    for name, pod in templates(render()):
        if not name.startswith(("Pod/", "Job/")):
            requests = (one["resources"]["requests"]["cpu"] for one in pod["spec"]["containers"])
            total += wanted.get(name, 1) * sum(int(cpu.removesuffix("m")) for cpu in requests)
    assert total <= 1300


def test_a_digest_counts_instead_of_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    objects = render("image.control.repository=example.org/control", f"image.control.digest={digest}")
    images = {one["image"] for _, pod in templates(objects) for one in containers(pod)}
    assert images == {f"example.org/control@{digest}", "tidegate-serving:0.1.0"}


@pytest.mark.parametrize(
    ("part", "name", "of"),
    [
        ("operator", "Deployment/tidegate-operator", "operator"),
        ("router", "Deployment/tidegate-router", "router"),
        ("monitor", "Deployment/tidegate-monitor", "monitor"),
        ("ray.head", "StatefulSet/tidegate-ray-head", "ray"),
        ("ray.worker", "StatefulSet/tidegate-ray-worker", "ray"),
    ],
)
def test_pods_run_where_and_as_the_values_say(part: str, name: str, of: str) -> None:
    objects = render(
        f"{part}.podAnnotations.a=b",
        f"{part}.podLabels.c=d",
        f"{part}.nodeSelector.disk=ssd",
        f"{part}.tolerations[0].key=gpu",
        f"{part}.affinity.nodeAffinity.x=y",
        f"{part}.priorityClassName=high",
        f"{part}.resources.limits.cpu=2",
        f"{of}.extraEnv[0].name=EXTRA",
        f"{of}.extraEnv[0].value=more",
        "imagePullSecrets[0].name=registry",
    )
    pod = template(objects, name)
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert pod["metadata"]["labels"]["c"] == "d"
    spec = pod["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "gpu"}]
    assert spec["affinity"] == {"nodeAffinity": {"x": "y"}}
    assert spec["priorityClassName"] == "high"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    one = spec["containers"][0]
    assert one["resources"]["limits"]["cpu"] == 2
    assert variables(one)["EXTRA"] == "more"


def test_an_upgrade_of_the_chart_alone_replaces_no_pod() -> None:
    for name, pod in templates(render(*EVERYTHING)):
        if not name.startswith(("Pod/", "Job/")):
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & pod["metadata"]["labels"].keys(), name


def test_the_operator_knows_where_everything_is() -> None:
    pod = template(render(), "Deployment/tidegate-operator")
    told = variables(container(pod, "operator"))
    assert told["TIDEGATE_RAY_URL"] == "http://tidegate-ray-head:8265"
    assert told["TIDEGATE_WATCH_NAMESPACES"] == "models"
    selector = dict(label.split("=") for label in told["TIDEGATE_ROUTER_SELECTOR"].split(","))
    assert selector.items() <= template(render(), "Deployment/tidegate-router")["metadata"]["labels"].items()
    [mount] = [one for one in container(pod, "operator")["volumeMounts"] if one["name"] == "ray-token"]
    assert told["TIDEGATE_RAY_TOKEN_FILE"] == f"{mount['mountPath']}/token"


@pytest.mark.parametrize(
    ("values", "url"),
    [(KUBERAY, "http://tidegate-ray-head-svc:8265"), (EXTERNAL, "http://ray.example:8265")],
)
def test_the_operator_finds_the_ray_cluster_of_every_mode(values: tuple[str, ...], url: str) -> None:
    pod = template(render(*values), "Deployment/tidegate-operator")
    assert variables(container(pod, "operator"))["TIDEGATE_RAY_URL"] == url


def test_a_router_pod_drains_before_its_envoy_stops_and_has_the_time_for_it() -> None:
    pod = template(render("router.drainSeconds=120"), "Deployment/tidegate-router")
    envoy = container(pod, "envoy")
    assert envoy["lifecycle"]["preStop"]["exec"]["command"] == ["python", "-m", "router", "drain", "--seconds", "120"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > 120
    assert "--disable-hot-restart" in envoy["command"]
    assert "livenessProbe" not in envoy
    shared = {mount["name"] for mount in envoy["volumeMounts"]}
    for other in ("router", "bootstrap"):
        assert shared <= {mount["name"] for mount in container(pod, other)["volumeMounts"]}
    assert variables(container(pod, "bootstrap")) == variables(container(pod, "router"))


def test_a_router_is_replaced_only_when_its_successor_is_ready() -> None:
    [router] = [one for one in render() if one["kind"] == "Deployment" and "router" in one["metadata"]["name"]]
    assert router["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    probe: dict[str, Any] = container(router["spec"]["template"], "router")["readinessProbe"]
    assert probe["httpGet"] == {"path": "/readyz", "port": "metrics"}
