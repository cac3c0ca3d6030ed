"""Tidegate on the cluster that KUBECONFIG names: the chart installed for each story.

The images `tidegate-control` and `tidegate-serving` must be on its nodes, and an ingress controller must answer on
127.0.0.1: port `TIDEGATE_E2E_INGRESS_PORT` (8880), class `TIDEGATE_E2E_INGRESS_CLASS` (contour).
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import CHART, RELEASE, ROOT, Cluster

MODELS = ROOT / "deployments" / "examples" / "models"
EARLIER = "0.0.9"
"""The version that the chart is upgraded from."""
NAMESPACE, TEAM = "tidegate-e2e", "tidegate-e2e-team"


@contextmanager
def installed(namespace: str, chart: Path, *more: str) -> Iterator[Cluster]:
    """A chart, just installed into a namespace of its own that admits only restricted pods; it follows `more`, too."""
    here = Cluster(
        namespace,
        more,
        int(os.environ.get("TIDEGATE_E2E_INGRESS_PORT", "8880")),
        os.environ.get("TIDEGATE_E2E_INGRESS_CLASS", "contour"),
    )
    for each in (namespace, *more):
        here.run("kubectl", "create", "namespace", each)
    try:
        here.run("kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        models = [f"--from-file={MODELS / name}.joblib" for name in ("iris-1", "iris-2", "iris-3")]
        here.kubectl("create", "configmap", "models", *models)
        here.clock["installed"] = time.monotonic()
        here.install(chart)
        yield here
    finally:
        uninstall = ("uninstall", RELEASE, "--ignore-not-found", "--wait")
        here.run("helm", "-n", namespace, *uninstall, check=False, seconds=300)
        for each in (namespace, *more):
            here.run("kubectl", "delete", "namespace", each, "--ignore-not-found", seconds=300)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Tidegate, just installed as an earlier version."""
    folder = tmp_path_factory.mktemp("chart")
    package = ["helm", "package", str(CHART), "--version", EARLIER, "--destination", str(folder)]
    subprocess.run(package, check=True, timeout=60)
    with installed(NAMESPACE, folder / f"tidegate-{EARLIER}.tgz", TEAM) as here:
        yield here
