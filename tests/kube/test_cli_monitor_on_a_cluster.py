"""The way of `kubectl tidegate` to the monitor, as far as an API server without nodes goes: who may take it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kube.apiserver import ApiServer
from tests.kube.cli_cluster import Cluster, as_context

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "monitor",
        "labels": {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/component": "monitor"},
    },
    "spec": {
        "automountServiceAccountToken": False,
        "containers": [{"name": "monitor", "image": "none", "ports": [{"name": "metrics", "containerPort": 8090}]}],
        "volumes": [
            {"name": "monitor-token", "secret": {"secretName": "the-token", "items": [{"key": "key", "path": "token"}]}}
        ],
    },
}


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Cluster]:
    """A rollout, and a monitor of which there is the pod only: nothing runs it."""
    made = Cluster(api_server, namespace, as_context(api_server, tmp_path / "kubeconfig", namespace))
    made.live()
    made.kubectl("apply", "-f", "-", input=json.dumps(POD))
    made.kubectl("create", "secret", "generic", "the-token", "--from-literal=key=secret")
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    made.kubectl("patch", "pod", "monitor", "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    yield made
    made.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")


@pytest.fixture
def jane(cluster: Cluster, tmp_path: Path) -> Callable[[str, str], Cluster]:
    """Somebody who may read rollouts, and gets one right after the other."""
    cluster.kubectl("create", "serviceaccount", "jane")
    token = cluster.kubectl("create", "token", "jane").strip()
    path = as_context(cluster.api_server, tmp_path / "janes", cluster.namespace, token)

    def may(verb: str, resource: str) -> Cluster:
        name = f"{verb}-{resource.replace('/', '-')}"
        cluster.kubectl("create", "role", name, f"--verb={verb}", f"--resource={resource}")
        account = f"--serviceaccount={cluster.namespace}:jane"
        cluster.kubectl("create", "rolebinding", name, f"--role={name}", account)
        return replace(cluster, kubeconfig=path)

    may("get", "modelrollouts.tidegate.dev")
    return may


def test_every_right_that_is_missing_is_named_with_a_way_to_check_it(
    cluster: Cluster, jane: Callable[[str, str], Cluster]
) -> None:
    user = f"system:serviceaccount:{cluster.namespace}:jane"
    for (verb, resource), missing in (
        (("list", "modelrollouts.tidegate.dev"), "list pods"),
        (("list", "pods"), "get secrets"),
        (("get", "secrets"), "get pods/portforward"),
    ):
        said = jane(verb, resource).fails("compare", "iris")
        assert said.startswith(f"error: {user} may not {missing} in namespace {cluster.namespace}\n")
        assert said.endswith(f"to check: kubectl auth can-i {missing} -n {cluster.namespace}\n")
    said = jane("get", "pods/portforward").fails("compare", "iris")
    assert said.startswith(f"error: a port of pod monitor in namespace {cluster.namespace} may not be forwarded\n")
    assert said.endswith(f"to check: kubectl auth can-i create pods/portforward -n {cluster.namespace}\n")
    said = jane("create", "pods/portforward").fails("compare", "iris")
    assert "forbidden" not in said  # it may; but there is no node that runs the pod
    assert said.startswith(f"error: the cluster {cluster.api_server.url} ")


def test_a_pod_that_cannot_be_reached_is_told_in_a_sentence(cluster: Cluster) -> None:
    planning = ("power", "--metric", "error-rate", "--effect", "0.1")
    for command in (("compare",), ("drift",), ("performance",), planning, ("events",)):
        said = cluster.fails(*command, "iris")
        assert said.startswith(f"error: the cluster {cluster.api_server.url} ")
        assert "monitor" in said


def test_without_a_monitor_or_a_router_the_command_names_what_to_look_at(cluster: Cluster) -> None:
    assert "no router of Tidegate can be asked: the cluster has none" in cluster.fails(
        "feedback", "iris", "r1", "--label", "1"
    )
    cluster.kubectl("delete", "pod", "monitor", "--grace-period=0", "--force")
    said = cluster.fails("compare", "iris")
    assert said.startswith(
        "error: no monitor of Tidegate can be asked: the cluster has none\nsee why: kubectl get pods"
    )
