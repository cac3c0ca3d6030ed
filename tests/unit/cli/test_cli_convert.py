"""convert: manifests of other projects."""

import json
from pathlib import Path

import pytest
import yaml
from cli_kit import fails, tidegate, works
from typer.testing import CliRunner

from operators.cli.app import plugin
from operators.local.home import Home

ISVC = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: {name}}}
spec: {{predictor: {{{more}sklearn: {{storageUri: {uri}}}}}}}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: iris}\n"


def service(name: str, uri: object, more: str = "") -> str:
    return ISVC.format(name=name, uri=uri, more=more)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "iris.joblib"
    path.write_text("a model")
    return path


def test_what_is_converted_lints_clean(home: Home, tmp_path: Path, model: Path) -> None:
    text = "---\n".join(
        [service("iris", model), SERVICE, service("digits", model.as_uri(), "canaryTrafficPercent: 20, ")]
    )
    (tmp_path / "isvc.yaml").write_text(text)
    result = tidegate("convert", tmp_path / "isvc.yaml")
    assert result.exit_code == 0
    assert [line.partition(": ")[0].rpartition(":")[0] for line in result.stderr.splitlines()] == [
        f"{tmp_path}/isvc.yaml"
    ] * 2
    (tmp_path / "rollouts.yaml").write_text(result.stdout)
    assert [line.partition(": ")[2] for line in works("lint", tmp_path / "rollouts.yaml").splitlines()] == [
        "modelrollout/iris is valid",
        "modelrollout/digits is valid",
    ]


def test_what_is_not_supported_yet_is_what_lint_says(home: Home, tmp_path: Path) -> None:
    result = tidegate("convert", "-", text=service("iris", "hdfs://models/iris.joblib"))
    assert result.exit_code == 0
    (tmp_path / "rollout.yaml").write_text(result.stdout)
    (problem,) = tidegate("lint", tmp_path / "rollout.yaml").stdout.splitlines()
    field, _, reason = problem.partition(": ")[2].partition(": ")
    assert result.stderr == (f"standard input:2: {field}: not supported yet: {reason}; `tidegate lint` says the same\n")


def test_json_is_an_object_or_a_list_of_several() -> None:
    text = service("iris", "file:///m/a.joblib")
    single = json.loads(works("convert", "-", "-o", "json", text=text))
    assert single == yaml.safe_load(works("convert", "-", text=text))
    several = json.loads(works("convert", "-", "-o", "json", text=f"{text}---{service('b', 'file:///m/b.joblib')}"))
    assert (several["kind"], several["items"][0], len(several["items"])) == ("List", single, 2)


def test_strict_fails_when_something_was_left_out_and_prints_the_rollout_all_the_same() -> None:
    clean = service("iris", "file:///m/a.joblib", "canaryTrafficPercent: 20, ")
    assert "ModelRollout" in works("convert", "-", "--strict", text=f"{clean}---\n{SERVICE}")
    lossy = service("iris", "file:///m/a.joblib", "containerConcurrency: 5, ")
    assert "ModelRollout" in works("convert", "-", text=lossy)
    result = tidegate("convert", "-", "--strict", text=lossy)
    assert result.exit_code == 1
    assert "ModelRollout" in result.stdout
    assert result.stderr.endswith(
        "error: something could not be carried over, which --strict does not allow: see above\n"
    )


def test_a_manifest_that_is_not_converted_is_an_error_beside_those_that_are() -> None:
    result = tidegate("convert", "-", text=f"{service('a', 'file:///m/a.joblib')}---{service('b', '')}")
    assert result.exit_code == 1
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(result.stdout)] == ["a"]
    assert "standard input:7: spec.predictor.sklearn.storageUri: not converted: is missing" in result.stderr
    assert result.stderr.endswith("error: not every manifest was converted: see above\n")


@pytest.mark.parametrize("text", [SERVICE, "", "kind: [", "- a\n- b\n"])
def test_nothing_to_convert_is_an_error(text: str) -> None:
    error = fails("convert", "-", text=text)
    assert error.endswith("error: there is no rollout in what was read\ndocs/convert.md says what can be converted\n")


def test_a_file_that_cannot_be_read_is_an_error_beside_those_that_can(tmp_path: Path) -> None:
    (tmp_path / "isvc.yaml").write_text(service("iris", "file:///m/a.joblib"))
    result = tidegate("convert", tmp_path / "isvc.yaml", tmp_path / "absent.yaml")
    assert result.exit_code == 1
    assert "ModelRollout" in result.stdout
    assert result.stderr.startswith(f"{tmp_path}/absent.yaml: no such file or folder\n")


def test_a_file_that_is_named_twice_gives_a_rollout_once(tmp_path: Path) -> None:
    (tmp_path / "isvc.yaml").write_text(service("iris", "file:///m/a.joblib"))
    result = tidegate("convert", tmp_path / "isvc.yaml", tmp_path / "isvc.yaml")
    assert (result.exit_code, result.stdout.count("ModelRollout")) == (1, 1)
    assert f"iris is the rollout of {tmp_path}/isvc.yaml:2 already" in result.stderr


def test_the_plugin_converts_too() -> None:
    text = service("iris", "file:///m/a.joblib")
    result = CliRunner().invoke(plugin, ["convert", "-"], input=text)
    assert (result.exit_code, result.stdout) == (0, works("convert", "-", text=text))
