"""Commands that begin with manifests: apply, plan, lint, up."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cli_kit import IDLE, fails, live, manifest, remember, rolling, stored, tidegate, works

from operators.api import revision_of
from operators.api.strategyrules import STRATEGIES
from operators.local.database import Database
from operators.local.home import Home

EXAMPLES = Path(__file__).parents[3] / "deployments" / "examples"

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


@pytest.mark.parametrize("example", sorted((EXAMPLES / "strategies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_of_every_strategy_is_valid(home: Home, tmp_path: Path, example: Path) -> None:
    (tmp_path / "models").mkdir()
    for number in (1, 2, 4):
        (tmp_path / "models" / f"iris-{number}.joblib").write_text(str(number))
    copy = tmp_path / "strategies" / example.name
    copy.parent.mkdir()
    copy.write_text(example.read_text())
    assert works("lint", copy) == f"{copy}:2: modelrollout/iris is valid\n"


def test_there_is_an_example_of_every_strategy() -> None:
    manifests = [yaml.safe_load(path.read_text()) for path in (EXAMPLES / "strategies").glob("*.yaml")]
    assert {name for one in manifests for name in one["spec"]["strategy"]} == set(STRATEGIES)
