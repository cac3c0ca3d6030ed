"""The pages about a cluster are run as they stand, in the order in which a person reads them.

docs/kubernetes.md installs Tidegate; docs/cli.md walks through the command line there and leaves nothing behind; then
docs/kubernetes.md goes on to its end.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT
from tests.pages import Reader, commands

NAMESPACE = "models"
INSTALLED = "## A first model"
"""The first heading of docs/kubernetes.md after Tidegate is installed."""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A person in the project's folder; whatever the pages made is gone at the end."""
    # The pages begin on a cluster that has never seen Tidegate.
    definitions = ["modelrollouts.tidegate.dev", "modelroutes.tidegate.dev"]
    subprocess.run(["kubectl", "delete", "crd", "--ignore-not-found", *definitions], check=True, timeout=120)
    yield Reader(os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])})
    for leave in (
        ["helm", "-n", NAMESPACE, "uninstall", "tidegate", "--ignore-not-found", "--wait"],
        ["kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"],
    ):
        subprocess.run(leave, check=False, timeout=300)


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_about_a_cluster_installs_tidegate(reader: Reader) -> None:
    walk(reader, text("kubernetes").partition(INSTALLED)[0])


def test_the_page_about_the_command_line_does_what_it_says(reader: Reader) -> None:
    walk(reader, text("cli"))


def test_the_page_about_a_cluster_does_the_rest_of_what_it_says(reader: Reader) -> None:
    walk(reader, text("kubernetes").partition(INSTALLED)[2])


def text(page: str) -> str:
    """A page, with this cluster's ingress."""
    port = os.environ.get("TIDEGATE_E2E_INGRESS_PORT", "8880")
    ingress = os.environ.get("TIDEGATE_E2E_INGRESS_CLASS", "contour")
    content = (ROOT / "docs" / f"{page}.md").read_text()
    return content.replace(":8880/", f":{port}/").replace("className=contour", f"className={ingress}")


def walk(reader: Reader, page: str) -> None:
    steps = list(commands(page))
    assert steps
    for command in steps:
        reader.run(command, seconds=400)
