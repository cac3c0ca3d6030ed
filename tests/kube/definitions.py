"""Tidegate's definitions, installed in an API server."""

import time
from pathlib import Path

from tests.kube.apiserver import ApiServer

CRDS = Path(__file__).parents[2] / "charts" / "tidegate" / "files" / "crds"
DEADLINE_SECONDS = 90.0


def install(server: ApiServer) -> None:
    """Returns once the API server knows them."""
    server.kubectl("apply", "--server-side", "-f", str(CRDS))
    deadline = time.monotonic() + DEADLINE_SECONDS
    # `kubectl wait` ends with an error where a definition has no conditions yet.
    while (
        done := server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS), check=False)
    ).returncode:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.1)
