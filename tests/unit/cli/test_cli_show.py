"""Commands that show: get, describe, status."""

import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cli_kit import IRIS, fails, live, manifest, remember, rolling, stored, tidegate, works
from rich.console import Console

from operators.api import ModelRollout
from operators.cli.live import forest
from operators.cli.local import LocalBackend
from operators.local.database import Database
from operators.local.home import Home
from operators.plan import Event
from operators.status import Phase

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


def test_a_size_that_follows_requests_is_shown_with_its_bounds(home: Home, folder: Path) -> None:
    rolling(home, folder)
    changed = {"serving": {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}}
    (folder / "iris.yaml").write_text(manifest("iris", "./models/iris-2", **changed))
    works("apply", "-f", folder / "iris.yaml")
    assert "1/1-4, 1/1-4" in works("get", "-o", "wide")
    assert "1/1-4" in works("describe", "iris")


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


def test_get_shows_another_namespace_or_all(home: Home, folder: Path) -> None:
    works("apply", "-f", folder / "iris.yaml")
    works("apply", "-f", folder / "digits.yaml", "-n", "research")
    assert [line.split()[0] for line in works("get").splitlines()] == ["NAME", "iris"]
    assert [line.split()[0] for line in works("get", "-n", "research").splitlines()] == ["NAME", "digits"]
    assert [line.split()[:2] for line in works("get", "-A").splitlines()] == [
        ["NAMESPACE", "NAME"],
        ["default", "iris"],
        ["research", "digits"],
    ]
    assert tidegate("get", "iris", "-A").exit_code == 2
    assert fails("describe", "iris", "-n", "research") == "error: there is no modelrollout/iris; there are: digits\n"


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
    follow = LocalBackend.follow

    def meanwhile(
        self: LocalBackend, namespace: str | None, name: str | None, seconds: float
    ) -> Iterator[Sequence[ModelRollout]]:
        for number, found in enumerate(follow(self, namespace, name, seconds)):
            if number == 0:
                remember(home, replace(stored(home).status, phase=Phase.HEALTHY, message="all is well"))
            yield found

    monkeypatch.setattr(LocalBackend, "follow", meanwhile)
    first, second = works("status", "iris", "-w").splitlines()
    assert first.startswith("modelrollout/iris is Progressing: ")
    assert second == "modelrollout/iris is healthy: all is well"


def test_status_without_anything_running_says_so(home: Home, folder: Path) -> None:
    live(home, folder)
    error = fails("status", "iris")
    assert error.startswith("error: nothing is running here, so modelrollout/iris stays Healthy")
    assert error.endswith("start it: tidegate up\n")


def test_status_with_a_timeout_that_is_none_is_a_usage_error(home: Home, folder: Path) -> None:
    result = tidegate("status", "iris", "--timeout", "soon")
    assert result.exit_code == 2
    assert "'soon' is not a duration" in result.stderr
