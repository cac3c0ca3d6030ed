"""Which rollouts a command is about: those of this machine, or those of the cluster that somebody named."""

import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import fails, manifest, tidegate, works
from stub_cluster import write_kubeconfig
from typer.testing import CliRunner

from operators.api import InvalidManifest, parse_manifest
from operators.cli.app import plugin
from operators.cli.session import Where
from operators.local.home import Home

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A kubeconfig with a cluster that does not answer."""
    return write_kubeconfig(tmp_path / "kubeconfig", NOWHERE)


def unreachable(*arguments: object) -> None:
    assert f"the cluster {NOWHERE} cannot be reached: " in fails(*arguments)


def test_without_a_word_about_clusters_a_command_is_about_this_machine(
    home: Home, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(nowhere))
    assert works("get") == ""


def test_a_context_or_a_kubeconfig_makes_it_one_about_that_cluster(
    home: Home, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable("get", "--kubeconfig", nowhere)
    monkeypatch.setenv("KUBECONFIG", str(nowhere))
    unreachable("get", "--context", "stub")
    unreachable("--context", "stub", "get")
    monkeypatch.setenv("TIDEGATE_CONTEXT", "stub")
    unreachable("get")
    assert "other" in fails("get", "--context", "other")


def test_an_option_after_the_command_counts_before_one_in_front_of_it(home: Home, folder: Path) -> None:
    works("-n", "research", "apply", "-f", folder / "iris.yaml")
    assert "iris" in works("-n", "other", "get", "-n", "research")
    assert "no rollouts" in tidegate("-n", "other", "get").stderr


def test_the_next_command_is_named_for_the_same_place(home: Home, folder: Path, nowhere: Path) -> None:
    assert fails("get", "roses", "-n", "my models").endswith("make one: tidegate apply -f FILE -n 'my models'\n")
    where = Where("models", "c", nowhere)
    assert where.options == f" -n models --context c --kubeconfig {nowhere}"


def test_help_says_which_rollouts_a_command_is_about() -> None:
    said = " ".join(works("get", "--help").split())
    assert "else $TIDEGATE_CONTEXT. Without both, and without --kubeconfig, the command is about this machine" in said
    said = " ".join(CliRunner().invoke(plugin, ["get", "--help"]).stdout.split())
    assert "else its current one" in said


def test_the_plugin_is_always_about_a_cluster_and_cannot_start_one(
    home: Home, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(nowhere))
    monkeypatch.setenv("TIDEGATE_CONTEXT", "ignored")
    result = CliRunner().invoke(plugin, ["get"])
    assert (result.exit_code, NOWHERE in result.stderr) == (1, True)
    assert CliRunner().invoke(plugin, ["up"]).exit_code == 2


def test_up_refuses_to_be_about_a_cluster(home: Home, nowhere: Path) -> None:
    result = tidegate("--kubeconfig", nowhere, "up")
    assert result.exit_code == 2
    assert "`up` serves on this machine" in result.stderr


def test_a_manifest_gets_the_namespace_of_the_command_and_may_not_name_another(home: Home, folder: Path) -> None:
    text = manifest("iris", "./models/iris-1")
    (folder / "far.yaml").write_text(text.replace("  name: iris", "  name: iris\n  namespace: far"))
    assert works("apply", "-f", folder / "far.yaml") == "modelrollout/iris created\n"
    assert "iris" in works("get", "-n", "far")
    error = fails("apply", "-f", folder / "far.yaml", "-n", "near")
    assert "far.yaml:1: metadata.namespace: is far, but the command says -n near" in error


def test_metadata_that_is_no_mapping_is_a_problem_like_any_other(home: Home, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("metadata: iris\n")
    with pytest.raises(InvalidManifest):
        parse_manifest({"metadata": "iris"})
    assert "metadata: must be a mapping of fields" in fails("apply", "-f", tmp_path / "odd.yaml")


def test_a_command_about_this_machine_does_not_load_kubernetes_client(home: Home) -> None:
    code = (
        "import sys; from operators.cli.app import app; app(['get'], standalone_mode=False); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('kubernetes', 'kopf', 'urllib3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_kubernetes_client_the_command_that_installs_it_is_named(
    home: Home, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "operators.cli.kube", raising=False)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert fails("get", "--kubeconfig", nowhere) == (
        "error: kubernetes is not installed\ninstall it: pip install 'tidegate[kube]'\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no kubeconfig at "),
        ("", "file is empty"),
        ("[", "cannot be used: "),
        ("text", "cannot be used: "),
        ("apiVersion: v1\nkind: Config\n", "Expected key current-context"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: []\n", "Expected object with name a"),
    ],
)
def test_a_kubeconfig_that_is_absent_or_makes_no_sense_is_a_sentence(
    home: Home, tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "odd"
    if content is not None:
        path.write_text(content)
    error = fails("get", "--kubeconfig", path)
    assert error.startswith("error: the")
    assert reason in error
    assert str(path) in error
