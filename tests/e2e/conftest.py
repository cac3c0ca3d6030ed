"""Tidegate on the cluster that KUBECONFIG names: the chart installed once for all tests.

The images `tidegate-control` and `tidegate-serving` must be on its nodes, and an ingress controller must answer on
127.0.0.1: port `TIDEGATE_E2E_INGRESS_PORT` (8880), class `TIDEGATE_E2E_INGRESS_CLASS` (contour).
"""

import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import CHART, RELEASE, ROOT, Cluster

MODELS = ROOT / "deployments" / "examples" / "models"
EARLIER = "0.0.9"
"""The version that the chart is upgraded from."""
NAMESPACE, TEAM = "tidegate-e2e", "tidegate-e2e-team"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Tidegate, just installed as an earlier version, into a namespace that admits only restricted pods."""
    here = Cluster(
        NAMESPACE,
        TEAM,
        int(os.environ.get("TIDEGATE_E2E_INGRESS_PORT", "8880")),
        os.environ.get("TIDEGATE_E2E_INGRESS_CLASS", "contour"),
    )
    folder = tmp_path_factory.mktemp("chart")
    here.run("helm", "package", str(CHART), "--version", EARLIER, "--destination", str(folder))
    for namespace in (NAMESPACE, TEAM):
        here.run("kubectl", "create", "namespace", namespace)
    try:
        here.run("kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        models = [f"--from-file={MODELS / name}.joblib" for name in ("iris-1", "iris-2", "iris-3")]
        here.kubectl("create", "configmap", "models", *models)
        here.clock["installed"] = time.monotonic()
        here.install(folder / f"tidegate-{EARLIER}.tgz")
        yield here
    finally:
        uninstall = ("uninstall", RELEASE, "--ignore-not-found", "--wait")
        here.run("helm", "-n", NAMESPACE, *uninstall, check=False, seconds=300)
        for namespace in (NAMESPACE, TEAM):
            here.run("kubectl", "delete", "namespace", namespace, "--ignore-not-found", seconds=300)
