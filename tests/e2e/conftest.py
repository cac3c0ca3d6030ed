"""Tidegate on the cluster that KUBECONFIG names: the chart installed once for all tests.

The images `tidegate-control` and `tidegate-serving` must be on its nodes, and an ingress controller must answer on
127.0.0.1: port `TIDEGATE_E2E_INGRESS_PORT` (8880), class `TIDEGATE_E2E_INGRESS_CLASS` (contour).
"""

import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import RELEASE, ROOT, Cluster

MODELS = ROOT / "deployments" / "examples" / "models"
NAMESPACE = "tidegate-e2e"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Tidegate, just installed into a namespace of its own that admits only restricted pods."""
    here = Cluster(
        NAMESPACE,
        int(os.environ.get("TIDEGATE_E2E_INGRESS_PORT", "8880")),
        os.environ.get("TIDEGATE_E2E_INGRESS_CLASS", "contour"),
    )
    here.run("kubectl", "create", "namespace", NAMESPACE)
    try:
        here.run("kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        models = [f"--from-file={MODELS / name}.joblib" for name in ("iris-1", "iris-2", "iris-3")]
        here.kubectl("create", "configmap", "models", *models)
        here.clock["installed"] = time.monotonic()
        here.install()
        yield here
    finally:
        here.run(
            "helm", "-n", NAMESPACE, "uninstall", RELEASE, "--ignore-not-found", "--wait", check=False, seconds=300
        )
        here.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=300)
