"""Tidegate on the cluster that KUBECONFIG names: the chart installed for each story.

The images `tidegate-control` and `tidegate-serving` must be on its nodes, and an ingress controller must answer on
127.0.0.1: port `TIDEGATE_E2E_INGRESS_PORT` (8880), class `TIDEGATE_E2E_INGRESS_CLASS` (contour).
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import CHART, MODELS, RELEASE, Cluster
from tests.integration.monitor.postgresql import PostgreSQL

EARLIER = "0.0.9"
"""The version that the chart is upgraded from."""
NAMESPACE, TEAM = "tidegate-e2e", "tidegate-e2e-team"


@contextmanager
def installed(namespace: str, chart: Path, *more: str, database: str | None = None) -> Iterator[Cluster]:
    """A chart, just installed into a namespace of its own that admits only restricted pods; it follows `more`, too.

    The monitor keeps its records in the PostgreSQL at the URL `database`, or in its pod.
    """
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
        settings = []
        if database is not None:
            here.kubectl("create", "secret", "generic", "database", f"--from-literal=url={database}")
            settings = ["--set", "monitor.database.existingSecret=database"]
        here.clock["installed"] = time.monotonic()
        here.install(chart, *settings)
        yield here
    finally:
        uninstall = ("uninstall", RELEASE, "--ignore-not-found", "--wait")
        here.run("helm", "-n", namespace, *uninstall, check=False, seconds=300)
        for each in (namespace, *more):
            here.run("kubectl", "delete", "namespace", each, "--ignore-not-found", seconds=300)


@pytest.fixture(scope="session")
def database() -> Iterator[PostgreSQL]:
    """A PostgreSQL of this machine, on the address by which the cluster's pods reach it."""
    nodes = subprocess.run(["kubectl", "get", "nodes", "-o", "json"], check=True, capture_output=True, timeout=60)
    addresses = json.loads(nodes.stdout)["items"][0]["status"]["addresses"]
    node = next(one["address"] for one in addresses if one["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((node, 9))  # sends nothing, and says from which address it would
        server = PostgreSQL(towards.getsockname()[0])
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, database: PostgreSQL) -> Iterator[Cluster]:
    """Tidegate, installed as an earlier version; the stories go on with it in the order of their files' names."""
    folder = tmp_path_factory.mktemp("chart")
    package = ["helm", "package", str(CHART), "--version", EARLIER, "--destination", str(folder)]
    subprocess.run(package, check=True, timeout=60)
    with installed(NAMESPACE, folder / f"tidegate-{EARLIER}.tgz", TEAM, database=database.url) as here:
        yield here
