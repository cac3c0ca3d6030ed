"""The chart on a real API server: it takes every object as it is, and an upgrade keeps what must stay."""

import os
import subprocess
from collections.abc import Callable

import pytest
import yaml

from tests.kube.apiserver import ApiServer
from tests.programs.find import program
from tests.unit.chart.chart_kit import CHART, VARIANTS, render, templates

ELSEWHERE = {"HTTPRoute", "PodMonitor", "PrometheusRule", "RayCluster", "ServiceMonitor"}
"""Kinds of others, whose definitions this API server does not have."""


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_object_is_valid_to_the_letter(api_server: ApiServer, namespace: str, values: tuple[str, ...]) -> None:
    objects = [one for one in render(*values) if one["kind"] not in ELSEWHERE | {"CustomResourceDefinition"}]
    for one in objects:
        if one["metadata"].get("namespace") not in (None, "models"):
            continue  # there are no such namespaces here
        text = yaml.safe_dump(one | {"metadata": one["metadata"] | {"namespace": namespace}})
        api_server.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=text)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_pod_is_let_into_a_restricted_namespace(
    api_server: ApiServer, namespace: str, values: tuple[str, ...]
) -> None:
    api_server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for number, (name, pod) in enumerate(templates(render(*values))):
        metadata = {"name": f"pod-{number}", "namespace": namespace, "labels": pod["metadata"]["labels"]}
        text = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})
        done = api_server.kubectl("create", "--dry-run=server", "-f", "-", input=text, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"


@pytest.fixture
def helm(api_server: ApiServer, namespace: str) -> Callable[..., str]:
    """Run helm in a namespace, as its administrator. Hooks are left out: nothing runs pods here."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program("helm"), *arguments, "--namespace", namespace, "--no-hooks"],
            env=os.environ | {"KUBECONFIG": str(api_server.kubeconfig), "HOME": str(api_server.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_upgrade_and_rollback_keep_the_tokens_and_uninstalling_the_definitions_and_the_records(
    api_server: ApiServer, namespace: str, helm: Callable[..., str]
) -> None:
    def tokens() -> tuple[str, ...]:
        secrets = ("get", "secret", "tidegate-ray-token", "tidegate-monitor-token", "--namespace", namespace)
        return tuple(api_server.kubectl(*secrets, "--output", "jsonpath={.items[*].data.token}").stdout.split())

    def routers() -> str:
        deployment = ("get", "deployment", "tidegate-router", "--namespace", namespace)
        return api_server.kubectl(*deployment, "--output", "jsonpath={.spec.replicas}").stdout

    chart = ("tidegate", str(CHART), "--set", "monitor.persistence.enabled=true")
    helm("install", *chart, "--take-ownership")
    made = tokens()
    assert [len(one) > 64 for one in made] == [True, True]
    helm("upgrade", *chart, "--set", "router.replicas=3")
    assert (tokens(), routers()) == (made, "3")
    helm("rollback", "tidegate", "1")
    assert (tokens(), routers()) == (made, "2")
    helm("uninstall", "tidegate")
    left = api_server.kubectl("get", "deployments,statefulsets,services,leases,secrets", "--namespace", namespace)
    assert "tidegate" not in left.stdout
    claims = api_server.kubectl("get", "persistentvolumeclaims", "--output", "name", "--namespace", namespace).stdout
    assert claims.split() == ["persistentvolumeclaim/tidegate-monitor"]
    helm("install", *chart)
    definitions = api_server.kubectl("get", "customresourcedefinitions", "--output", "name").stdout
    for plural in ("modelrollouts", "modelroutes"):
        assert f"/{plural}.tidegate.dev" in definitions
