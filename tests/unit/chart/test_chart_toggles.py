"""What is rendered only if it was asked for, and what it says then."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.unit.chart.chart_kit import CHART, EVERYTHING, Object, container, find, kinds, render, template

SELECTOR = {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/instance": "tidegate"}


def pods_of(component: str) -> Object:
    return {"podSelector": {"matchLabels": SELECTOR | {"app.kubernetes.io/component": component}}}


@pytest.mark.parametrize(
    ("values", "kind", "with_it", "without"),
    [
        (("ingress.enabled=true",), "Ingress", 1, 0),
        (("httpRoute.enabled=true", "httpRoute.parentRefs[0].name=g"), "HTTPRoute", 1, 0),
        (("router.autoscaling.enabled=true",), "HorizontalPodAutoscaler", 1, 0),
        (("monitoring.podMonitor.enabled=true",), "PodMonitor", 1, 0),
        (("monitoring.serviceMonitor.enabled=true",), "ServiceMonitor", 1, 0),
        (("crds.install=false",), "CustomResourceDefinition", 0, 2),
        (("networkPolicy.enabled=false",), "NetworkPolicy", 0, 5),
        (("monitor.enabled=false",), "NetworkPolicy", 4, 5),
        (("monitor.enabled=false",), "Deployment", 2, 3),
        (("monitor.persistence.enabled=true",), "PersistentVolumeClaim", 1, 0),
        (("router.podDisruptionBudget.enabled=false",), "PodDisruptionBudget", 2, 3),
        (("operator.podDisruptionBudget.enabled=false",), "PodDisruptionBudget", 2, 3),
        (("ray.worker.podDisruptionBudget.enabled=false",), "PodDisruptionBudget", 2, 3),
        (("ray.token.existingSecret=mine",), "Secret", 1, 2),
        (("monitor.token.existingSecret=mine",), "Secret", 1, 2),
        (("monitor.enabled=false",), "Secret", 1, 2),
    ],
)
def test_a_toggle_adds_or_removes_its_objects(values: tuple[str, ...], kind: str, with_it: int, without: int) -> None:
    assert len(kinds(render(*values), kind)) == with_it
    assert len(kinds(render(), kind)) == without


def test_definitions_upgrade_with_the_chart_and_stay_when_it_goes() -> None:
    assert not (CHART / "crds").exists(), "Helm installs what lies there, and never upgrades it"
    definitions = kinds(render(), "CustomResourceDefinition")
    assert {one["metadata"]["name"] for one in definitions} == {
        "modelrollouts.tidegate.dev",
        "modelroutes.tidegate.dev",
    }
    for one in definitions:
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_names_follow_the_release_and_can_be_chosen() -> None:
    def routers(objects: Sequence[Object]) -> list[str]:
        return [one["metadata"]["name"] for one in kinds(objects, "Deployment") if "router" in one["metadata"]["name"]]

    assert routers(render(release="prod")) == ["prod-tidegate-router"]
    assert routers(render("nameOverride=tide", release="prod")) == ["prod-tide-router"]
    assert routers(render("fullnameOverride=gate", release="prod")) == ["gate-router"]


def test_the_service_leads_from_the_clients_port_to_envoy() -> None:
    objects = render("router.service.port=8000", "router.service.type=LoadBalancer", "router.service.annotations.a=b")
    service = find(objects, "Service", "tidegate-router")
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert service["spec"]["type"] == "LoadBalancer"
    [port] = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8000, "http")
    envoy = container(template(objects, "Deployment/tidegate-router"), "envoy")
    assert {"name": "http", "containerPort": 8080} in envoy["ports"]


def test_the_autoscaler_alone_decides_how_many_routers_there_are() -> None:
    objects = render("router.autoscaling.enabled=true", "router.autoscaling.minReplicas=3")
    assert "replicas" not in find(objects, "Deployment", "tidegate-router")["spec"]
    spec = find(objects, "HorizontalPodAutoscaler", "tidegate-router")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)


def test_an_ingress_has_hosts_class_certificates_and_annotations() -> None:
    objects = render(
        "ingress.enabled=true",
        "ingress.className=contour",
        "ingress.hosts[0].host=a.example",
        "ingress.hosts[1].host=b.example",
        "ingress.tls[0].secretName=certificate",
        "ingress.annotations.x=y",
    )
    ingress = find(objects, "Ingress", "tidegate-router")
    assert ingress["metadata"]["annotations"] == {"x": "y"}
    spec = ingress["spec"]
    assert spec["ingressClassName"] == "contour"
    assert spec["tls"] == [{"secretName": "certificate"}]
    backend = {"service": {"name": "tidegate-router", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    assert spec["rules"] == [{"host": host, "http": {"paths": [path]}} for host in ("a.example", "b.example")]


def test_an_ingress_without_hosts_answers_to_all() -> None:
    [rule] = find(render("ingress.enabled=true"), "Ingress", "tidegate-router")["spec"]["rules"]
    assert "host" not in rule


def test_a_route_of_the_gateway_api_leads_to_the_same_service() -> None:
    spec = find(render(*EVERYTHING, "httpRoute.hostnames={a.example}"), "HTTPRoute", "tidegate-router")["spec"]
    assert spec == {
        "parentRefs": [{"name": "gateway"}],
        "hostnames": ["a.example"],
        "rules": [{"backendRefs": [{"name": "tidegate-router", "port": 80}]}],
    }


def test_replicas_are_reached_by_routers_alone() -> None:
    for component in ("ray-head", "ray-worker"):
        spec = find(render(), "NetworkPolicy", f"tidegate-{component}")["spec"]
        assert spec["podSelector"] == pods_of(component)["podSelector"]
        assert spec["policyTypes"] == ["Ingress"]
        cluster, predictions, questions, metrics = spec["ingress"]
        assert cluster == {"from": [pods_of("ray-head"), pods_of("ray-worker")]}
        assert predictions == {
            "ports": [{"port": 32768, "endPort": 60999, "protocol": "TCP"}],
            "from": [pods_of("router")],
        }
        assert questions["from"] == [pods_of("operator")]
        asked = [{"port": 30000, "endPort": 31000, "protocol": "TCP"}]
        dashboard = [{"port": "dashboard", "protocol": "TCP"}]
        assert questions["ports"] == asked + (dashboard if component == "ray-head" else [])
        assert [port["port"] for port in metrics["ports"]] == ["metrics"]


def test_routers_are_reached_by_clients_and_their_figures_by_operator_and_prometheus() -> None:
    requests, figures = find(render(), "NetworkPolicy", "tidegate-router")["spec"]["ingress"]
    assert requests == {"ports": [{"port": "http", "protocol": "TCP"}]}
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert figures["from"] == [prometheus, pods_of("operator")]
    some = render("networkPolicy.clients[0].namespaceSelector.matchLabels.team=a")
    requests, _ = find(some, "NetworkPolicy", "tidegate-router")["spec"]["ingress"]
    assert requests["from"] == [{"namespaceSelector": {"matchLabels": {"team": "a"}}}, pods_of("test")]


def test_without_anybody_to_read_metrics_the_operator_is_closed() -> None:
    closed = render("networkPolicy.monitoring=[]")
    assert "ingress" not in find(closed, "NetworkPolicy", "tidegate-operator")["spec"]


def test_prometheus_finds_every_pod_that_has_figures() -> None:
    objects = render(*EVERYTHING, "monitoring.podMonitor.labels.release=prometheus")
    monitor = find(objects, "PodMonitor", "tidegate")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    service = find(objects, "Service", "tidegate-metrics")
    assert service["spec"]["selector"] == monitor["spec"]["selector"]["matchLabels"]
    labels = find(objects, "ServiceMonitor", "tidegate")["spec"]["selector"]["matchLabels"]
    assert labels.items() <= service["metadata"]["labels"].items()
    for name in (
        *(f"Deployment/tidegate-{part}" for part in ("operator", "router", "monitor")),
        "StatefulSet/tidegate-ray-head",
    ):
        pod = template(objects, name)
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = [port["name"] for one in pod["spec"]["containers"] for port in one["ports"]]
        assert ports.count("metrics") == 1
    for name in ("Pod/tidegate-test", "Job/tidegate-release"):
        assert not service["spec"]["selector"].items() <= template(objects, name)["metadata"]["labels"].items()


def test_finalizers_are_released_before_the_chart_goes() -> None:
    objects = render()
    job = find(objects, "Job", "tidegate-release")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert container(job["spec"]["template"], "release")["command"] == ["python", "-m", "operators.kube", "release"]
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        annotations = find(objects, kind, "tidegate-release")["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-delete"
        assert int(annotations["helm.sh/hook-weight"]) < 0


def test_helm_test_asks_the_routers_for_a_prediction() -> None:
    pod = template(render("test.model=iris", "test.host=m.example", "router.service.port=8000"), "Pod/tidegate-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    one = container(pod, "test")
    told = {variable["name"]: variable["value"] for variable in one["env"]}
    assert told["URL"] == "http://tidegate-router:8000"
    assert (told["MODEL"], told["HOST"]) == ("iris", "m.example")
    told["URL"] = "http://127.0.0.1:1"
    done = subprocess.run(
        [sys.executable, *one["command"][1:], *one["args"]],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:1 cannot be reached" in done.stderr
