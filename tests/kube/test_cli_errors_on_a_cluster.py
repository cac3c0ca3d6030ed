"""What `kubectl tidegate` says when a real API server will not, or cannot be asked."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from operators.cli import kube
from operators.cli.refusal import INSTALL
from tests.kube.apiserver import ApiServer
from tests.kube.cli_cluster import Cluster, as_context, manifest


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Cluster:
    return Cluster(api_server, namespace, as_context(api_server, tmp_path / "kubeconfig", namespace))


@pytest.fixture
def jane(cluster: Cluster, tmp_path: Path) -> Callable[..., Cluster]:
    """The same namespace for somebody who may do with rollouts what is given, and nothing else."""

    def make(*verbs: str) -> Cluster:
        cluster.kubectl("create", "serviceaccount", "jane")
        if verbs:
            names = ",".join(verbs)
            cluster.kubectl("create", "role", "jane", f"--verb={names}", "--resource=modelrollouts.tidegate.dev")
            account = f"--serviceaccount={cluster.namespace}:jane"
            cluster.kubectl("create", "rolebinding", "jane", "--role=jane", account)
        token = cluster.kubectl("create", "token", "jane").strip()
        path = as_context(cluster.api_server, tmp_path / "janes", cluster.namespace, token)
        return replace(cluster, kubeconfig=path)

    return make


def test_who_may_not_list_is_told_what_is_missing_and_how_to_check(jane: Callable[..., Cluster]) -> None:
    poor = jane()
    user = f"system:serviceaccount:{poor.namespace}:jane"
    assert poor.fails("get") == (
        f"error: {user} may not list modelrollouts.tidegate.dev in namespace {poor.namespace}\n"
        "whoever administers the cluster can give you a Role with the verb list for modelrollouts.tidegate.dev; "
        f"to check: kubectl auth can-i list modelrollouts.tidegate.dev -n {poor.namespace}\n"
    )
    assert f"{user} may not list modelrollouts.tidegate.dev in all namespaces" in poor.fails("get", "-A")


def test_who_may_only_read_can_look_but_changes_nothing(
    cluster: Cluster, jane: Callable[..., Cluster], tmp_path: Path
) -> None:
    reader = jane("get", "list", "watch")
    version = cluster.live()
    assert version in reader.works("get")
    assert reader.works("status", "iris").startswith("modelrollout/iris is healthy: ")
    described = reader.run("describe", "iris")
    assert (described.exit_code, version in described.stdout) == (0, True)
    assert "no events are shown: " in described.stderr
    assert "may not list events in namespace" in described.stderr
    before = cluster.object("iris")
    path = tmp_path / "next.yaml"
    path.write_text(yaml.safe_dump(manifest("iris", "iris-2")))
    for arguments in (["pause", "iris"], ["apply", "-f", path], ["plan", path]):
        assert "may not patch modelrollouts.tidegate.dev in namespace" in reader.fails(*arguments)
    assert "may not delete modelrollouts.tidegate.dev in namespace" in reader.fails("delete", "iris")
    assert cluster.object("iris") == before


def test_credentials_that_are_not_accepted(cluster: Cluster, tmp_path: Path) -> None:
    path = as_context(cluster.api_server, tmp_path / "strange", cluster.namespace, "no-token")
    error = replace(cluster, kubeconfig=path).fails("get")
    assert error == (
        f"error: {cluster.api_server.url} does not accept your credentials\nlog in again, then: kubectl auth whoami\n"
    )


def test_a_server_whose_certificate_is_unknown_is_not_trusted(cluster: Cluster, tmp_path: Path) -> None:
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    del content["clusters"][0]["cluster"]["certificate-authority"]
    path = tmp_path / "trustless"
    path.write_text(yaml.safe_dump(content))
    error = replace(cluster, kubeconfig=path).fails("get")
    assert f"the cluster {cluster.api_server.url} cannot be reached: " in error
    assert "certificate verify failed" in error


def test_a_cluster_without_tidegate_names_the_command_that_installs_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "GROUP", "elsewhere.dev")  # a group that this API server does not know
    for arguments in (["get"], ["describe", "iris"], ["delete", "iris"]):
        assert cluster.fails(*arguments) == (
            f"error: Tidegate is not installed in the cluster {cluster.api_server.url}\n{INSTALL}\n"
        )


def test_names_that_do_not_exist(cluster: Cluster) -> None:
    assert cluster.fails("describe", "roses") == (
        "error: there is no modelrollout/roses, nor any other\nmake one: kubectl tidegate apply -f FILE\n"
    )
    text = yaml.safe_dump(manifest("iris", "iris-1"))
    assert cluster.fails("apply", "-f", "-", "-n", "nowhere", text=text) == (
        "error: there is no namespace nowhere\nmake it: kubectl create namespace nowhere\n"
    )


def test_a_command_that_the_api_server_finds_invalid_names_the_field(cluster: Cluster) -> None:
    cluster.rolling()
    crowded = cluster.object("iris")
    crowded["metadata"]["annotations"] = {"notes": "x" * 262_120}  # of 262,144 bytes
    cluster.kubectl("replace", "-f", "-", input=json.dumps(crowded))
    assert cluster.fails("promote", "iris").startswith("error: metadata.annotations: Too long: ")


def test_a_rollout_that_only_the_schema_lets_through_does_not_hide_the_others(cluster: Cluster) -> None:
    check = {"name": "latency", "metric": "latency-p99", "max": "soon"}
    odd = manifest("odd", "iris-1", analysis={"checks": [check]})
    cluster.kubectl("create", "-f", "-", input=json.dumps(odd))
    cluster.live()
    result = cluster.run("get")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "iris"]
    assert "warning: modelrollout/odd cannot be read by this version of Tidegate: " in result.stderr
    assert "spec.analysis.checks[0].max: 'soon' is not a duration" in cluster.fails("status", "odd")
    assert cluster.works("delete", "odd") == "modelrollout/odd deleted\n"
