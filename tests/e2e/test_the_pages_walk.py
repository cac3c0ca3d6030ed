"""docs/kubernetes.md is run as it stands, in the order of the page: install, roll out, upgrade, uninstall."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT
from tests.pages import Reader, commands

PAGE = ROOT / "docs" / "kubernetes.md"
NAMESPACE = "models"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """That of a person in the project's folder; whatever the page made is gone at the end."""
    monkeypatch.chdir(ROOT)
    # The page begins on a cluster that has never seen Tidegate.
    definitions = ["modelrollouts.tidegate.dev", "modelroutes.tidegate.dev"]
    subprocess.run(["kubectl", "delete", "crd", "--ignore-not-found", *definitions], check=True, timeout=120)
    yield os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for leave in (
        ["helm", "-n", NAMESPACE, "uninstall", "tidegate", "--ignore-not-found", "--wait"],
        ["kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"],
    ):
        subprocess.run(leave, check=False, timeout=300)


def test_the_walk_through_a_cluster_does_what_it_says(environment: dict[str, str]) -> None:
    port = os.environ.get("TIDEGATE_E2E_INGRESS_PORT", "8880")
    ingress = os.environ.get("TIDEGATE_E2E_INGRESS_CLASS", "contour")
    page = PAGE.read_text().replace(":8880/", f":{port}/").replace("className=contour", f"className={ingress}")
    reader = Reader(environment)
    for command in commands(page):
        reader.run(command, seconds=400)
