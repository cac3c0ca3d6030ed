"""Commands that ask for something, and what every command has in common."""

import json
import re
import shlex
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import IDLE, fails, live, manifest, remember, rolling, stored, tidegate, works

from operators.cli.greeting import greeting
from operators.local.database import Database
from operators.local.home import Home
from operators.plan import Command
from operators.status import Phase
from tests.cli_rollouts import COMMANDS

# commands


@pytest.mark.parametrize(("arguments", "command", "value"), COMMANDS)
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


def test_the_greeting_asks_at_the_rollouts_own_path_with_values_that_it_takes(home: Home, folder: Path) -> None:
    live(home, folder)
    inputs = [
        {"name": "age", "datatype": "INT64", "min": 18, "max": 99},
        {"name": "share", "min": 0, "max": 0.5},
        {"name": "loss", "max": -5},
        {"name": "income", "example": 52000},
        {"name": "name", "datatype": "BYTES", "example": "O'Neill"},
        {"name": "kind", "datatype": "BYTES", "values": ["new", "old"]},
    ]
    model = {"uri": "./models/iris-2", "runtime": "sklearn", "inputs": inputs}
    (folder / "named.yaml").write_text(manifest("iris", "", model=model, traffic={"paths": {"predict": "/predict"}}))
    works("apply", "-f", folder / "named.yaml")
    named, v1, _ = (shlex.split(line) for line in greeting([stored(home)], 8080, []) if "curl" in line)
    row = {"age": 18, "share": 0.5, "loss": -5, "income": 52000, "name": "O'Neill", "kind": "new"}
    assert (named[1], json.loads(named[3])) == ("http://127.0.0.1:8080/predict", row)
    assert json.loads(v1[3]) == {"instances": [list(row.values())]}


def test_a_rollouts_own_paths_are_described(home: Home, folder: Path) -> None:
    live(home, folder)
    (folder / "own.yaml").write_text(manifest("iris", "./models/iris-2", traffic={"paths": {"health": "/health"}}))
    works("apply", "-f", folder / "own.yaml")
    assert re.search(r"^Path health: +/health$", works("describe", "iris"), re.MULTILINE)


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
