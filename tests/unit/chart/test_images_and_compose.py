"""The images' recipe and compose.yaml, as far as they can be read without a container engine."""

import re
from pathlib import Path

import pytest
import yaml

from operators.cli.manifests import up

ROOT = Path(__file__).parents[3]
DEPLOYMENTS = ROOT / "deployments"
DOCKERFILE = (DEPLOYMENTS / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = {
    name: (base, body)
    for base, name, body in re.findall(
        r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL
    )
}
FINAL = ("control", "serving", "local")
RUNTIMES = ("serving-accelerate", "serving-lightgbm", "serving-xgboost", "s3", "signing")


@pytest.mark.parametrize("name", FINAL)
def test_an_image_runs_as_an_ordinary_user_and_holds_only_what_was_built_for_it(name: str) -> None:
    base, body = STAGES[name]
    assert base == "base"
    assert STAGES["base"][0] == "python:3.11-slim-bookworm"
    assert "USER 10001:10001" in body
    assert set(re.findall(r"--from=(\S+)", body)) == {f"{name}-build"}
    assert f"org.opencontainers.image.title=tidegate-{name}" in body


def test_dependencies_are_those_of_the_lock_file_with_their_hashes() -> None:
    script = (DEPLOYMENTS / "install").read_text()
    for word in ("--frozen", "--offline", "--require-hashes", "--no-deps", "--no-index"):
        assert word in script
    extras = {name: re.search(r"install dependencies ([\w -]+)", STAGES[f"{name}-build"][1]) for name in FINAL}
    assert {name: found[1].split() for name, found in extras.items() if found} == {
        "control": ["router", "operator", "monitor", "kube"],
        "serving": ["serving", *RUNTIMES],
        "local": ["local", *RUNTIMES],
    }
    assert f"uv=={uv_of_the_makefile()}" in STAGES["build"][1]


def uv_of_the_makefile() -> str:
    found = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_build_sees_every_package_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    seen = {line.removeprefix("!") for line in lines if line.startswith("!")}
    wheel = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert wheel is not None
    assert seen == {
        *re.findall(r'"(\w+)"', wheel[1]),
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "uv.lock",
        "deployments/install",
    }
    assert all((ROOT / name).exists() for name in seen)


def test_compose_serves_the_examples_from_a_locked_down_container() -> None:
    document = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
    [service] = document["services"].values()
    build = service["build"]
    context = (DEPLOYMENTS / build["context"]).resolve()
    assert (context / build["dockerfile"]).resolve() == DEPLOYMENTS / "Dockerfile"
    assert build["target"] in STAGES
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    manifests, state = service["volumes"]
    folder = re.fullmatch(r"\$\{TIDEGATE_MANIFESTS:-(.+)\}:/manifests:ro", manifests)
    assert folder is not None
    assert list((DEPLOYMENTS / folder[1]).glob("*.yaml"))
    home = re.search(r"TIDEGATE_HOME=(\S+)", STAGES["local"][1])
    assert home is not None
    assert state == f"state:{home[1]}"
    assert document["volumes"].keys() == {"state"}
    assert "/v2/health/ready" in service["healthcheck"]["test"]
    assert service["command"][0] == up.__name__
    assert "--all-interfaces" in service["command"]


def test_the_cluster_of_kind_has_the_ingress_where_the_tests_look_for_it() -> None:
    document = yaml.safe_load((DEPLOYMENTS / "kind.yaml").read_text())
    assert (document["kind"], document["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    [node] = document["nodes"]
    [port] = node["extraPortMappings"]
    assert (port["hostPort"], port["listenAddress"]) == (8880, "127.0.0.1")
