"""Every command of `kubectl tidegate` against a real API server."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest
import yaml

from operators.api import experiment_digest, revision_of
from operators.kube.events import event_json
from operators.plan import Command, Event
from operators.status import Arm, Experiment, Phase, Tally, Variant
from tests.cli_rollouts import COMMANDS
from tests.kube.apiserver import ApiServer
from tests.kube.cli_cluster import Cluster, as_context, manifest


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Cluster:
    return Cluster(api_server, namespace, as_context(api_server, tmp_path / "kubeconfig", namespace))


def write(path: Path, *documents: object) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


@contextmanager
def running(cluster: Cluster, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], TextIO, TextIO]]:
    """A command that goes on, with what it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", "from operators.cli.plugin import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process, process.stdout, process.stderr
        finally:
            process.kill()


# apply, plan, lint


def test_apply_says_what_it_did_and_owns_the_fields_that_the_manifest_names(cluster: Cluster, tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", manifest("iris", "iris-1"))
    assert cluster.works("apply", "-f", first) == "modelrollout/iris created\n"
    assert cluster.works("apply", "-f", first) == "modelrollout/iris unchanged\n"
    second = write(tmp_path / "b.yaml", manifest("iris", "iris-2"), manifest("digits", "digits-1"))
    assert cluster.works("apply", second) == "modelrollout/iris configured\nmodelrollout/digits created\n"
    assert cluster.object("iris")["spec"]["model"]["uri"] == "file:///models/iris-2"
    managed = json.loads(cluster.kubectl("get", "mr", "iris", "-o", "json", "--show-managed-fields"))
    assert [(one["manager"], one["operation"]) for one in managed["metadata"]["managedFields"]] == [
        ("tidegate", "Apply")
    ]


def test_what_only_the_api_server_knows_to_be_invalid_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    odd = manifest("iris", "iris-1")
    odd["metadata"]["labels"] = {"team": "not a label"}
    path = write(tmp_path / "odd.yaml", manifest("digits", "digits-1"), odd)
    error = cluster.fails("apply", "-f", path)
    head, problem = error.splitlines()
    assert head == "error: the manifests are not valid, nothing was changed:"
    assert re.fullmatch(rf"{re.escape(str(path))}:\d+: metadata\.labels: Invalid value: .*", problem)
    assert cluster.kubectl("get", "mr", "-o", "name") == ""
    result = cluster.run("lint", path)
    assert (result.exit_code, result.stdout.splitlines()) == (1, [problem])


def test_all_problems_that_can_be_seen_here_are_told_at_once(cluster: Cluster, tmp_path: Path) -> None:
    bad = manifest("iris", "iris-1", serving={"replicas": "two"}, weigth=5)
    bad["spec"]["model"]["uri"] = "./models/iris-1.joblib"
    error = cluster.fails("apply", "-f", write(tmp_path / "bad.yaml", bad))
    assert "spec.serving.replicas: " in error
    assert "spec.weigth: is not a field of this release" in error
    assert "a cluster reads models from its own volumes, such as file:///models/iris.joblib" in error


def test_lint_of_valid_manifests_stores_none(cluster: Cluster, tmp_path: Path) -> None:
    path = write(tmp_path / "iris.yaml", manifest("iris", "iris-1"))
    assert cluster.works("lint", path) == f"{path}:1: modelrollout/iris is valid\n"
    assert cluster.kubectl("get", "mr", "-o", "name") == ""


def test_plan_tells_the_way_from_the_live_rollout_and_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    first = write(tmp_path / "first.yaml", manifest("iris", "iris-1"))
    assert "would be created" in cluster.works("plan", first)
    stable = cluster.live()
    before = cluster.object("iris")
    assert "unchanged" in cluster.works("plan", first)
    lines = cluster.works("plan", write(tmp_path / "next.yaml", manifest("iris", "iris-2"))).splitlines()
    assert lines[0] == "modelrollout/iris: would be configured"
    assert f"would start beside {stable}, then:" in lines[1]
    assert lines[4].split() == ["3.", "setWeight", "5", "%", "candidate", "5%,", "stable", "95%"]
    assert cluster.object("iris") == before


def test_fields_that_somebody_else_has_set_are_taken_over_on_request_only(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest("iris", "iris-1")))
    path = write(tmp_path / "next.yaml", manifest("iris", "iris-2"))
    error = cluster.fails("apply", "-f", path)
    assert 'spec.model.uri: conflict with "kubectl-client-side-apply"' in error
    assert "take it over with --force-conflicts" in error
    assert "would be configured" in cluster.works("plan", "--force-conflicts", path)
    assert cluster.object("iris")["spec"]["model"]["uri"] == "file:///models/iris-1"
    assert cluster.works("apply", "-f", path, "--force-conflicts") == "modelrollout/iris configured\n"
    assert cluster.object("iris")["spec"]["model"]["uri"] == "file:///models/iris-2"


def test_a_rollout_that_is_being_deleted_is_not_applied(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply("iris", "iris-1")
    cluster.kubectl("patch", "mr", "iris", "--type=merge", "-p", '{"metadata": {"finalizers": ["tidegate.dev/drain"]}}')
    assert cluster.works("delete", "iris") == "modelrollout/iris deleted\n"
    assert cluster.works("get").splitlines()[1].split()[1] == "Deleting"
    assert "is being deleted: wait until it is gone" in cluster.fails(
        "apply", "-f", write(tmp_path / "iris.yaml", manifest("iris", "iris-1"))
    )
    cluster.kubectl("patch", "mr", "iris", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
    assert "there is no modelrollout/iris" in cluster.fails("delete", "iris")


# commands


@pytest.mark.parametrize(("arguments", "command", "value"), COMMANDS)
def test_a_command_arrives_as_an_annotation(
    cluster: Cluster, arguments: list[str], command: Command, value: str
) -> None:
    cluster.rolling()
    assert "requested" in cluster.works(*arguments)
    assert cluster.annotations("iris") == {command.annotation: value}
    assert cluster.rollout("iris").commands == {command: value}


def test_an_experiment_is_applied_shown_and_ended_by_promoting_one_of_its_variants(cluster: Cluster) -> None:
    stable = cluster.live()
    strategy = {"abTest": {"shares": {"control": 60, "b": 40}, "goal": {"metric": "success-rate"}}}
    variants = [{"name": "b", "model": {"uri": "file:///models/iris-2", "runtime": "sklearn"}}]
    cluster.apply("iris", "iris-1", strategy=strategy, variants=variants)
    rollout = cluster.rollout("iris")
    version = revision_of(rollout, "b")
    arms = (
        Arm("control", stable, 6000, counted=Tally(600, 540.0, 540.0), value=0.9, low=0.85, high=0.94),
        Arm("b", version.id, 4000, counted=Tally(400, 388.0, 388.0), value=0.97, low=0.945, high=0.985),
    )
    changes = {
        "observed_generation": rollout.metadata.generation,
        "variants": (Variant("b", version, 4000, 1),),
        "experiment": Experiment(1_800_000_000.0, arms, winner="b"),
        "trial": experiment_digest(rollout),
    }
    cluster.write_status("iris", replace(rollout.status, **changes))
    assert cluster.rollout("iris").status == replace(rollout.status, **changes)
    lines = [line.split() for line in cluster.works("describe", "iris").splitlines()]
    assert ["variant", "b", version.id, "40%", "-", "1/1"] in lines
    assert ["stable", stable, "60%", "-", "1/1"] in lines
    assert ["b", version.id, "40%", "400", "0.97", "0.945", "to", "0.985", "-", "-"] in lines
    cluster.works("promote", "iris", "--variant", "b")
    assert cluster.rollout("iris").commands == {Command.PROMOTE: "variant=b"}


def test_retry_is_for_a_version_that_was_aborted(cluster: Cluster) -> None:
    cluster.live()
    assert "there is nothing to retry" in cluster.fails("retry", "iris")
    cluster.live(failed="0123456789", failure="check errors failed", phase=Phase.DEGRADED)
    assert cluster.fails("promote", "iris").endswith("try it again: kubectl tidegate retry iris\n")
    cluster.works("retry", "iris")
    assert cluster.annotations("iris") == {Command.RETRY.annotation: ""}


def test_pause_and_resume_change_the_spec_and_a_manifest_may_not_overrule_them_unasked(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.rolling()
    assert cluster.works("pause", "iris") == "modelrollout/iris paused\n"
    assert cluster.object("iris")["spec"]["paused"] is True
    assert cluster.fails("promote", "iris").endswith("first: kubectl tidegate resume iris\n")
    path = write(tmp_path / "running.yaml", manifest("iris", "iris-2", paused=False))
    assert 'spec.paused: conflict with "tidegate-command"' in cluster.fails("apply", "-f", path)
    cluster.apply("iris", "iris-2")
    assert cluster.object("iris")["spec"]["paused"] is True
    assert cluster.works("resume", "iris") == "modelrollout/iris resumed\n"
    assert cluster.object("iris")["spec"]["paused"] is False


# get, describe


def test_get_shows_the_contexts_namespace_another_one_or_all(
    cluster: Cluster, api_server: ApiServer, namespace: str
) -> None:
    stable, candidate = cluster.rolling()
    head, iris = cluster.works("get").splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANDIDATE", "VERDICT", "AGE"]
    assert iris.split()[:7] == ["iris", "Progressing", "3/5", "5%", stable, candidate, "Pass"]
    assert cluster.works("get", "iris", "-o", "wide").splitlines()[1].endswith("waits for a person")
    assert [namespace, "iris"] in [line.split()[:2] for line in cluster.works("get", "-A").splitlines()]
    result = cluster.run("get", "-n", "default")
    assert (result.stdout, result.stderr) == (
        "",
        "no rollouts; make one: kubectl tidegate apply -f FILE -n default\n",
    )


def test_get_as_json_and_yaml_is_the_manifest_with_its_status(cluster: Cluster) -> None:
    stable, _ = cluster.rolling()
    one = json.loads(cluster.works("get", "iris", "-o", "json"))
    assert (one["kind"], one["metadata"]["name"], one["status"]["stable"]["id"]) == ("ModelRollout", "iris", stable)
    assert yaml.safe_load(cluster.works("get", "iris", "-o", "yaml")) == one
    assert json.loads(cluster.works("get", "-o", "json"))["items"] == [one]


def test_get_watch_prints_a_line_for_every_change(cluster: Cluster) -> None:
    cluster.live()
    with running(cluster, "get", "-w") as (process, out, _):
        assert out.readline().startswith("NAME")
        assert out.readline().split()[:2] == ["iris", "Healthy"]
        cluster.write_status("iris", replace(cluster.rollout("iris").status, phase=Phase.DEGRADED))
        assert out.readline().split()[:2] == ["iris", "Degraded"]
        cluster.apply("digits", "digits-1")
        assert out.readline().split()[:2] == ["digits", "Pending"]
        process.terminate()


def test_describe_shows_versions_steps_checks_and_the_clusters_events(cluster: Cluster) -> None:
    stable, candidate = cluster.rolling()
    metadata = cluster.object("iris")["metadata"]
    for seconds, event in ((90, Event("Started", f"{candidate} starts")), (30, Event("Late", "slow", warning=True))):
        cluster.kubectl("create", "-f", "-", input=json.dumps(event_json(metadata, event, time.time() - seconds)))
    other = {**metadata, "uid": "another-iris-before"}
    cluster.kubectl("create", "-f", "-", input=json.dumps(event_json(other, Event("Old", "long gone"), time.time())))
    lines = [line.split() for line in cluster.works("describe", "iris").splitlines()]
    assert ["candidate", candidate, "5%", "0%", "1/1"] in lines
    assert ["stable", stable, "95%", "-", "1/1"] in lines
    assert ["4.", "pause", "now"] in lines
    events = lines[lines.index(["Events:"]) + 2 :]
    assert [event[1:] for event in events] == [["Normal", "Started", candidate, "starts"], ["Warning", "Late", "slow"]]


# status


def test_status_of_a_healthy_rollout_returns_at_once(cluster: Cluster) -> None:
    version = cluster.live()
    assert cluster.works("status", "iris") == f"modelrollout/iris is healthy: {version} serves all requests\n"


def test_status_of_a_degraded_rollout_is_its_reason(cluster: Cluster) -> None:
    cluster.live(phase=Phase.DEGRADED, message="check errors failed")
    assert cluster.fails("status", "iris") == (
        "error: modelrollout/iris is degraded: check errors failed\nlook closer: kubectl tidegate describe iris\n"
    )


def test_status_gives_up_in_time(cluster: Cluster) -> None:
    cluster.rolling()
    error = cluster.fails("status", "iris", "--timeout", "1ms")
    assert error.startswith("error: gave up after 1ms: modelrollout/iris stays Progressing: ")


def test_status_watches_until_the_operator_says_healthy_even_if_the_api_server_restarts(cluster: Cluster) -> None:
    cluster.rolling()
    with running(cluster, "status", "iris", "-w") as (process, out, err):
        assert out.readline().startswith("modelrollout/iris is Progressing: ")
        cluster.api_server.kill()
        try:
            assert "cannot be reached" in err.readline()
        finally:
            cluster.api_server.start()
        cluster.write_status(
            "iris", replace(cluster.rollout("iris").status, phase=Phase.HEALTHY, message="all is well")
        )
        assert out.readline() == "modelrollout/iris is healthy: all is well\n"
        assert process.wait(60) == 0


def test_status_of_a_rollout_that_is_deleted_meanwhile_is_an_error(cluster: Cluster) -> None:
    cluster.rolling()
    with running(cluster, "status", "iris", "-w") as (process, out, err):
        assert out.readline().startswith("modelrollout/iris is Progressing: ")
        cluster.works("delete", "iris")
        assert err.readline() == "error: there is no modelrollout/iris, nor any other\n"
        assert process.wait(60) == 1


# through kubectl


def test_kubectl_finds_the_plugin_on_the_path(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.live()
    entry = tmp_path / "bin" / "kubectl-tidegate"
    entry.parent.mkdir()
    entry.write_text(f"#!{sys.executable}\nfrom operators.cli.plugin import main\nmain()\n")
    entry.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(entry.parent), os.environ["PATH"]]))
    kubectl = cluster.api_server.kubectl
    listed = kubectl("tidegate", "get", "-n", cluster.namespace).stdout
    assert listed.splitlines()[1].split()[:2] == ["iris", "Healthy"]
    assert kubectl("tidegate", "-n", cluster.namespace, "pause", "iris").stdout == "modelrollout/iris paused\n"
    done = kubectl("tidegate", "status", "roses", "-n", cluster.namespace, check=False)
    assert (done.returncode, done.stderr) == (1, "error: there is no modelrollout/roses; there are: iris\n")
    assert "Usage: kubectl tidegate" in kubectl("tidegate", "--help").stdout
