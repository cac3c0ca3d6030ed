"""Every command on a real store: what it prints, what it stores, and how it refuses."""

import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from operators.api import ModelRollout, RolloutKey, revision_of, status_to_json
from operators.cli.app import app
from operators.cli.greeting import greeting
from operators.cli.live import forest
from operators.cli.local import LocalBackend
from operators.local.database import Database
from operators.local.home import Home
from operators.plan import Command, Event
from operators.status import Candidate, CheckResult, Phase, RolloutStatus, Verdict

IRIS = RolloutKey("default", "iris")
STEPS = [{"setShadow": 100}, {"setShadow": 0}, {"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]
IDLE = "nothing is running here: this takes effect at the next `tidegate up`\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TIDEGATE_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def database(home: Home) -> Database:
    return Database(home.store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Manifests beside their models; iris has two versions."""
    (tmp_path / "models").mkdir()
    for model in ("iris-1", "iris-2", "digits-1"):
        (tmp_path / "models" / model).write_text(model)
    for name, model in (("iris", "iris-1"), ("digits", "digits-1"), ("next", "iris-2")):
        (tmp_path / f"{name}.yaml").write_text(manifest("iris" if name == "next" else name, f"./models/{model}"))
    return tmp_path


@pytest.fixture
def operator(home: Home) -> Iterator[socket.socket]:
    """Somebody who listens for taps on the shoulder."""
    home.control_socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(home.control_socket))
        listener.setblocking(False)
        yield listener


def manifest(name: str, uri: str, **spec: Any) -> str:
    content = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": uri, "runtime": "sklearn"},
            "strategy": {"canary": {"steps": STEPS}},
            **spec,
        },
    }
    return yaml.safe_dump(content)


def tidegate(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


def works(*arguments: object, text: str | None = None) -> str:
    result = tidegate(*arguments, text=text)
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


def fails(*arguments: object, text: str | None = None) -> str:
    result = tidegate(*arguments, text=text)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return result.stderr


def stored(home: Home) -> ModelRollout:
    rollout = LocalBackend(home).rollout(IRIS)
    assert rollout is not None
    return rollout


def live(home: Home, folder: Path, **changes: Any) -> str:
    """Apply the first version of iris as if it was live since; its id."""
    works("apply", "-f", folder / "iris.yaml")
    rollout = stored(home)
    version = replace(revision_of(rollout), promoted_at=1_800_000_000.0)
    status = RolloutStatus(
        observed_generation=rollout.metadata.generation,
        phase=Phase.HEALTHY,
        message=f"{version.id} serves all requests",
        stable=version,
        stable_ready=1,
        revisions=(version,),
    )
    remember(home, replace(status, **changes))
    return version.id


def remember(home: Home, status: RolloutStatus) -> None:
    Database(home.store).put_status(IRIS, status_to_json(status), ())


def rolling(home: Home, folder: Path) -> tuple[str, str]:
    """The second version of iris on its fourth step; the ids of both."""
    stable = live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    rollout = stored(home)
    candidate = revision_of(rollout)
    check = CheckResult("errors", Verdict.PASS, 0.001, 0.01, 0.0, 0.004, 1200, "0.1 % of 1,200 requests")
    changes = {
        "observed_generation": rollout.metadata.generation,
        "phase": Phase.PROGRESSING,
        "message": f"{candidate.id}: step 4 of 5: pause, waits for a person",
        "candidate": Candidate(candidate, 1_800_000_100.0, 1),
        "step": 3,
        "step_started_at": 1_800_000_200.0,
        "weight": 500,
        "checks": (check,),
    }
    remember(home, replace(rollout.status, **changes))
    return stable, candidate.id


# apply


def test_apply_speaks_like_kubectl(home: Home, folder: Path) -> None:
    result = tidegate("apply", "-f", folder / "iris.yaml", folder / "digits.yaml")
    assert result.stdout == "modelrollout/iris created\nmodelrollout/digits created\n"
    assert result.stderr == IDLE
    assert works("apply", "-f", folder / "iris.yaml") == "modelrollout/iris unchanged\n"
    assert works("apply", "-f", folder / "next.yaml") == "modelrollout/iris configured\n"
    assert stored(home).metadata.generation == 2


def test_apply_taps_the_control_loop_and_then_says_nothing_more(
    home: Home, folder: Path, operator: socket.socket
) -> None:
    assert tidegate("apply", "-f", folder / "iris.yaml").stderr == ""
    assert operator.recv(1) == b""


def test_apply_makes_paths_absolute_and_pins_the_models_content(home: Home, folder: Path) -> None:
    works("apply", "-f", folder / "iris.yaml")
    rollout = stored(home)
    assert rollout.spec.model.uri == f"file://{folder}/models/iris-1"
    first = revision_of(rollout).id
    (folder / "models" / "iris-1").write_text("other bytes")
    assert works("apply", "-f", folder / "iris.yaml") == "modelrollout/iris configured\n"
    rollout = stored(home)
    assert rollout.metadata.generation == 2
    assert revision_of(rollout).id != first


def test_apply_reads_standard_input(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert works("apply", "-f", "-", text=manifest("iris", "./models/iris-1")) == "modelrollout/iris created\n"
    assert stored(home).spec.model.uri == f"file://{folder}/models/iris-1"


@pytest.mark.parametrize("uri", ["file://./models/iris-1", "./models/../models/iris-1", "{folder}/models/iris-1"])
def test_a_model_may_be_named_by_a_path(home: Home, folder: Path, uri: str) -> None:
    (folder / "path.yaml").write_text(manifest("iris", uri.format(folder=folder)))
    works("apply", "-f", folder / "path.yaml")
    assert stored(home).spec.model.uri == f"file://{folder}/models/iris-1"


def test_one_invalid_manifest_means_that_none_is_applied(home: Home, folder: Path) -> None:
    (folder / "zz.yaml").write_text(manifest("iris", "./models/none") + "---\n" + manifest("digits", "./x", weight=1))
    error = fails("apply", "-f", folder / "digits.yaml", "-f", folder / "zz.yaml")
    assert error.startswith("error: the manifests are not valid, nothing was changed:\n")
    assert f"zz.yaml:1: spec.model.uri: there is nothing at {folder}/models/none\n" in error
    assert "spec.weight: is not a field of this release" in error
    assert Database(home.store).rows() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (manifest("iris", "./models/iris-1", strategy={"canary": {"steps": [{"setWeight": 101}]}}), "setWeight"),
        (manifest("iris", "./models/iris-1", strategy={"canary": {}, "shadow": {}}), "exactly one of"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: iris}\n", "must be ModelRollout, it is 'Service'"),
        ("kind: [", "not valid YAML"),
    ],
)
def test_bad_manifests_are_refused_with_field_and_reason(home: Home, folder: Path, text: str, problem: str) -> None:
    (folder / "bad.yaml").write_text(text)
    assert problem in fails("apply", "-f", folder / "bad.yaml")


def test_a_model_with_another_sha256_than_demanded_is_refused(home: Home, folder: Path) -> None:
    model = {"uri": "./models/iris-1", "runtime": "sklearn", "sha256": "0" * 64}
    (folder / "pinned.yaml").write_text(manifest("iris", "", model=model))
    error = fails("apply", "-f", folder / "pinned.yaml")
    assert "spec.model.sha256" in error
    assert "has the SHA-256" in error


def test_a_rollout_may_stand_in_the_manifests_once(home: Home, folder: Path) -> None:
    error = fails("apply", "-f", folder / "iris.yaml", folder / "next.yaml")
    assert f"next.yaml:1: metadata.name: iris stands at {folder}/iris.yaml:1 already" in error


def test_a_rollout_that_is_being_deleted_is_not_applied(home: Home, folder: Path, operator: socket.socket) -> None:
    live(home, folder)
    works("delete", "iris")
    error = fails("apply", "-f", folder / "iris.yaml")
    assert error == "error: modelrollout/iris is being deleted\nwait until it is gone, then apply it again\n"


def test_apply_without_a_file_is_a_usage_error(home: Home) -> None:
    result = tidegate("apply")
    assert result.exit_code == 2
    assert "name at least one file or folder" in result.stderr


# get


def test_get_shows_one_line_per_rollout(home: Home, folder: Path) -> None:
    stable, candidate = rolling(home, folder)
    works("apply", "-f", folder / "digits.yaml")
    head, digits, iris = works("get").splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANDIDATE", "VERDICT", "AGE"]
    assert digits.split()[:7] == ["digits", "Pending", "-", "-", "-", "-", "-"]
    assert iris.split()[:7] == ["iris", "Progressing", "3/5", "5%", stable, candidate, "Pass"]
    assert works("get", "iris").splitlines()[1].split() == iris.split()


def test_get_wide_adds_shadow_replicas_and_the_message(home: Home, folder: Path) -> None:
    rolling(home, folder)
    head, iris = works("get", "-o", "wide").splitlines()
    assert head.split()[-3:] == ["SHADOW", "READY", "MESSAGE"]
    assert "1/1, 1/1" in iris
    assert iris.endswith("waits for a person")


def test_get_as_json_and_yaml_is_the_manifest_with_its_status(home: Home, folder: Path) -> None:
    stable, _ = rolling(home, folder)
    one = json.loads(works("get", "iris", "-o", "json"))
    assert (one["kind"], one["metadata"]["name"], one["status"]["stable"]["id"]) == ("ModelRollout", "iris", stable)
    assert yaml.safe_load(works("get", "iris", "-o", "yaml")) == one
    assert json.loads(works("get", "-o", "json"))["items"] == [one]


def test_get_of_an_unknown_name_says_which_exist(home: Home, folder: Path) -> None:
    assert fails("get", "roses") == (
        "error: there is no modelrollout/roses, nor any other\nmake one: tidegate apply -f FILE\n"
    )
    works("apply", "-f", folder / "iris.yaml", folder / "digits.yaml")
    assert fails("get", "roses") == "error: there is no modelrollout/roses; there are: digits, iris\n"


def test_get_of_nothing_says_how_to_begin(home: Home) -> None:
    result = tidegate("get")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no rollouts; make one: tidegate apply -f FILE\n"


def test_get_watch_prints_a_line_for_every_change(home: Home, folder: Path) -> None:
    live(home, folder)
    command = [sys.executable, "-c", "from operators.cli import main; main()", "get", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("NAME")
        assert " Healthy " in process.stdout.readline()
        remember(home, replace(stored(home).status, phase=Phase.DEGRADED))
        assert " Degraded " in process.stdout.readline()
        process.terminate()


def test_the_live_tree_shows_versions_steps_and_checks(home: Home, folder: Path) -> None:
    stable, candidate = rolling(home, folder)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(forest([stored(home)], time.time()))
    text = console.export_text()
    assert "iris  Progressing" in text
    assert f"candidate  {candidate}" in text
    assert f"stable     {stable}" in text
    assert "✓ setWeight 5 %" in text
    assert "▶ pause" in text
    assert "· setWeight 50 %" in text
    assert "errors  Pass  0.1 % of 1,200 requests" in text


# describe


def test_describe_shows_versions_steps_checks_and_events(home: Home, folder: Path) -> None:
    stable, candidate = rolling(home, folder)
    Database(home.store).record(IRIS, [Event("Started", f"{candidate} starts", warning=False)], time.time() - 90)
    text = works("describe", "iris")
    lines = [line.split() for line in text.splitlines()]
    assert ["candidate", candidate, "5%", "0%", "1/1"] in lines
    assert ["stable", stable, "95%", "-", "1/1"] in lines
    assert ["4.", "pause", "now"] in lines
    assert ["errors", "Pass", "1200", "0.1", "%", "of", "1,200", "requests"] in lines
    assert ["1m30s", "Normal", "Started", candidate, "starts"] in lines
    assert "there are: iris" in fails("describe", "roses")


# commands


@pytest.mark.parametrize(
    ("arguments", "command", "value"),
    [
        (["promote", "iris"], Command.PROMOTE, "step"),
        (["promote", "iris", "--full"], Command.PROMOTE, "full"),
        (["promote", "iris", "--full", "--force"], Command.PROMOTE, "full,force"),
        (["abort", "iris"], Command.ABORT, ""),
        (["undo", "iris"], Command.UNDO, ""),
    ],
)
def test_a_command_is_left_on_the_rollout(
    home: Home, folder: Path, arguments: list[str], command: Command, value: str
) -> None:
    rolling(home, folder)
    result = tidegate(*arguments)
    assert "requested" in result.stdout
    assert result.stderr == IDLE
    assert stored(home).commands == {command: value}


def test_commands_that_make_no_sense_are_refused_with_the_way_out(home: Home, folder: Path) -> None:
    version = live(home, folder)
    idle = f"nothing is rolling out for modelrollout/iris: {version} serves all requests"
    assert fails("promote", "iris") == f"error: {idle}\n"
    assert fails("abort", "iris") == f"error: {idle}\ngo back to an earlier version: tidegate undo iris\n"
    assert "there is nothing to retry" in fails("retry", "iris")
    assert "has no former stable version to go back to" in fails("undo", "iris")
    assert "has no former stable version abc, nor any other" in fails("undo", "iris", "--to", "abc")
    assert stored(home).commands == {}


def test_promote_of_an_aborted_version_points_to_retry_and_retry_works(home: Home, folder: Path) -> None:
    live(home, folder, failed="abc", failure="check errors failed", phase=Phase.DEGRADED)
    assert fails("promote", "iris").endswith("try it again: tidegate retry iris\n")
    works("retry", "iris")
    assert stored(home).commands == {Command.RETRY: ""}


def test_undo_goes_to_a_former_version_by_the_beginning_of_its_id(home: Home, folder: Path) -> None:
    live(home, folder)
    status = stored(home).status
    assert status.stable is not None
    former = replace(status.stable, id="0123456789")
    remember(home, replace(status, revisions=(status.stable, former)))
    assert "there are: 0123456789" in fails("undo", "iris", "--to", "9")
    works("undo", "iris", "--to", "0123")
    assert stored(home).commands == {Command.UNDO: "0123"}


def test_a_command_is_not_refused_on_a_status_that_is_out_of_date(home: Home, folder: Path) -> None:
    live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    works("abort", "iris")
    assert stored(home).commands == {Command.ABORT: ""}


def test_pause_and_resume_change_the_spec(home: Home, folder: Path) -> None:
    rolling(home, folder)
    assert works("pause", "iris") == "modelrollout/iris paused\n"
    assert stored(home).spec.paused
    assert fails("pause", "iris") == "error: modelrollout/iris is already paused\n"
    assert fails("promote", "iris") == "error: modelrollout/iris is paused\nfirst: tidegate resume iris\n"
    assert works("resume", "iris") == "modelrollout/iris resumed\n"
    assert not stored(home).spec.paused
    assert stored(home).metadata.generation == 4
    assert fails("resume", "iris") == "error: modelrollout/iris is not paused\n"


def test_delete_without_a_control_loop_forgets_at_once(home: Home, folder: Path) -> None:
    live(home, folder)
    assert works("delete", "iris") == "modelrollout/iris deleted\n"
    assert "there is no modelrollout/iris" in fails("delete", "iris")


def test_delete_with_a_control_loop_leaves_the_work_to_it(home: Home, folder: Path, operator: socket.socket) -> None:
    live(home, folder)
    works("delete", "iris")
    assert operator.recv(1) == b""
    assert stored(home).metadata.deletion_timestamp is not None
    assert works("get").splitlines()[1].split()[1] == "Deleting"


# plan and lint


def test_plan_of_a_first_version_stores_nothing(home: Home, folder: Path) -> None:
    text = works("plan", "-f", folder / "iris.yaml")
    assert text.splitlines()[0] == "modelrollout/iris: would be created"
    assert "is the first one: it gets all traffic as soon as it is ready" in text
    assert Database(home.store).rows() == []


def test_plan_names_the_new_version_its_steps_with_weights_and_what_stops(home: Home, folder: Path) -> None:
    stable = live(home, folder)
    text = works("plan", "-f", folder / "next.yaml")
    works("apply", "-f", folder / "next.yaml")
    version = revision_of(stored(home)).id
    assert [line.strip() for line in text.splitlines()] == [
        "modelrollout/iris: would be configured",
        f"version {version} would start beside {stable}, then:",
        "1. setShadow 100 %      candidate 0%, stable 100%, shadow 100%",
        "2. setShadow 0 %        candidate 0%, stable 100%",
        "3. setWeight 5 %        candidate 5%, stable 95%",
        "4. pause                candidate 5%, stable 95%",
        "5. setWeight 50 %       candidate 50%, stable 50%",
        "6. promote              candidate 100%, becomes stable",
        f"version {stable} would be stopped after the promotion",
    ]


def test_plan_of_a_change_mid_rollout_says_which_candidate_gives_way(home: Home, folder: Path) -> None:
    stable, candidate = rolling(home, folder)
    assert f"version {candidate} is on its way beside {stable}; its steps:" in works("plan", folder / "next.yaml")
    back = works("plan", folder / "iris.yaml")
    assert f"version {stable} is stable already: no steps" in back
    assert f"version {candidate} would lose its traffic and be stopped" in back


def test_plan_of_a_recently_stable_version_takes_no_steps(home: Home, folder: Path) -> None:
    live(home, folder)
    old = stored(home).status.stable
    works("apply", "-f", folder / "next.yaml")
    rollout = stored(home)
    new = revision_of(rollout)
    remember(home, replace(rollout.status, stable=new, revisions=(new, old)))
    assert f"no steps, it takes over from {new.id}" in works("plan", folder / "iris.yaml")


def test_plan_of_a_model_trained_again_into_the_same_file_is_a_change(home: Home, folder: Path) -> None:
    stable = live(home, folder)
    assert works("plan", folder / "iris.yaml").startswith("modelrollout/iris: unchanged\n")
    (folder / "models" / "iris-1").write_text("other bytes")
    text = works("plan", folder / "iris.yaml")
    assert text.startswith("modelrollout/iris: would be configured\n")
    assert f"would start beside {stable}, then:" in text


def test_plan_of_an_aborted_version_points_to_retry(home: Home, folder: Path) -> None:
    live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    failed = revision_of(stored(home)).id
    remember(home, replace(stored(home).status, failed=failed, failure="check errors failed"))
    assert f"version {failed} was aborted and is not tried again; say: tidegate retry iris" in works(
        "plan", folder / "next.yaml"
    )


def test_plan_of_an_invalid_manifest_is_its_problems(home: Home, folder: Path) -> None:
    (folder / "bad.yaml").write_text(manifest("iris", "./models/none"))
    assert "spec.model.uri: there is nothing at" in fails("plan", "-f", folder / "bad.yaml")


def test_lint_lists_all_problems_of_all_files(home: Home, folder: Path) -> None:
    (folder / "a.yaml").write_text(manifest("iris", "./models/none"))
    (folder / "b.yaml").write_text(manifest("digits", "./models/digits-1", wait=1, steps=2))
    result = tidegate("lint", "-f", folder / "a.yaml", folder / "b.yaml")
    assert result.exit_code == 1
    assert [line.split(": ")[1] for line in result.stdout.splitlines()] == ["spec.model.uri", "spec.steps", "spec.wait"]
    assert works("lint", folder / "iris.yaml") == f"{folder}/iris.yaml:1: modelrollout/iris is valid\n"


# status


def test_status_of_a_healthy_rollout_returns_at_once(home: Home, folder: Path, operator: socket.socket) -> None:
    version = live(home, folder)
    assert works("status", "iris") == f"modelrollout/iris is healthy: {version} serves all requests\n"


def test_status_of_a_degraded_rollout_is_its_reason(home: Home, folder: Path, operator: socket.socket) -> None:
    live(home, folder, phase=Phase.DEGRADED, message="check errors failed")
    assert fails("status", "iris") == (
        "error: modelrollout/iris is degraded: check errors failed\nlook closer: tidegate describe iris\n"
    )


def test_status_does_not_take_the_health_of_an_older_manifest_for_the_answer(
    home: Home, folder: Path, operator: socket.socket
) -> None:
    live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    error = fails("status", "iris", "--timeout", "1ms")
    assert error.startswith("error: gave up after 1ms: modelrollout/iris stays Healthy: the operator has not seen")


def test_status_waits_until_the_operator_says_healthy(
    home: Home, folder: Path, operator: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolling(home, folder)
    changes = LocalBackend.changes

    def meanwhile(self: LocalBackend, seconds: float) -> Iterator[bool]:
        for number, changed in enumerate(changes(self, 0.01)):
            if number == 2:
                remember(home, replace(stored(home).status, phase=Phase.HEALTHY, message="all is well"))
            yield changed

    monkeypatch.setattr(LocalBackend, "changes", meanwhile)
    assert works("status", "iris") == "modelrollout/iris is healthy: all is well\n"


def test_status_without_anything_running_says_so(home: Home, folder: Path) -> None:
    live(home, folder)
    error = fails("status", "iris")
    assert error.startswith("error: nothing is running here, so modelrollout/iris stays Healthy")
    assert error.endswith("start it: tidegate up\n")


def test_status_with_a_timeout_that_is_none_is_a_usage_error(home: Home, folder: Path) -> None:
    result = tidegate("status", "iris", "--timeout", "soon")
    assert result.exit_code == 2
    assert "'soon' is not a duration" in result.stderr


# the rest


def test_the_greeting_names_a_request_per_protocol_and_what_lies_ready(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(folder / ".venv/bin/tidegate")])
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(folder)
    (folder / "next").mkdir()
    live(home, folder)
    plain = stored(home)
    inputs = [{"name": "x", "datatype": "FP64"}, {"name": "y", "datatype": "BYTES"}]
    model = {"uri": "./models/iris-2", "runtime": "sklearn", "inputs": inputs}
    (folder / "named.yaml").write_text(manifest("iris", "", model=model))
    works("apply", "-f", folder / "named.yaml")
    lines = [line.strip() for line in greeting([plain, stored(home)], 8080, [folder])]
    assert lines == [
        "answering on http://127.0.0.1:8080; Ctrl-C stops everything. Try:",
        "",
        "curl http://127.0.0.1:8080/v2/models/iris",
        """curl http://127.0.0.1:8080/api/v1/models/iris/predict -d '{"x": 1, "y": "a"}'""",
        """curl http://127.0.0.1:8080/v1/models/iris:predict -d '{"instances": [[1, "a"]]}'""",
        """curl http://127.0.0.1:8080/v2/models/iris/infer -d '{"inputs": [{"name": "x", "shape": [1, 1], """
        """"datatype": "FP64", "data": [1]}, {"name": "y", "shape": [1, 1], "datatype": "BYTES", "data": ["a"]}]}'""",
        "",
        ".venv/bin/tidegate get -w",
        f".venv/bin/tidegate apply -f {folder}/next",
    ]


def test_the_greeting_does_not_praise_a_model_that_does_not_answer(home: Home, folder: Path) -> None:
    live(home, folder, stable=None, phase=Phase.DEGRADED)
    assert any("describe iris" in line for line in greeting([stored(home)], 8080, []))


def test_a_damaged_store_is_a_sentence(home: Home) -> None:
    home.root.mkdir()
    home.store.write_bytes(b"no database" * 1000)
    assert "is damaged" in fails("get")


def test_up_refuses_invalid_manifests_before_anything_starts(home: Home, folder: Path) -> None:
    (folder / "bad.yaml").write_text(manifest("iris", "./models/none"))
    assert "nothing was changed" in fails("up", folder / "bad.yaml")
    assert Database(home.store).rows() == []


def test_up_on_a_port_in_use_stores_nothing(home: Home, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = fails("up", folder / "iris.yaml", "--port", taken.getsockname()[1])
    assert "cannot be used" in error
    assert Database(home.store).rows() == []


def test_unknown_commands_and_options_are_usage_errors(home: Home) -> None:
    assert tidegate("frobnicate").exit_code == 2
    assert tidegate("get", "--loud").exit_code == 2


def test_version_and_help_need_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_HOME", str(tmp_path / "absent"))
    assert works("version").startswith("tidegate ")
    assert "promote" in works("--help")
    assert not (tmp_path / "absent").exists()
