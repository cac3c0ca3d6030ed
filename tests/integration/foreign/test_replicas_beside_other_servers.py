"""Where the packages of other servers are, a replica of ours can run."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("runtime", "module"), [("kserve", "kserve"), ("mlserver", "mlserver"), ("seldon", "seldon_core.seldon_methods")]
)
def test_a_replica_can_run_beside_their_packages(python, runtime, module):
    command = [python(runtime), "-c", f"import {module}, serving.replica"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
