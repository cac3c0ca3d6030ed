"""A whole stack, started once as a user starts it: `tidegate up` with Ray, Envoy and the control process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.api import RolloutKey
from operators.local.database import Database

MODELS = Path(__file__).parents[3] / "deployments" / "examples" / "models"
TIDEGATE = Path(sys.executable).with_name("tidegate")


@dataclass
class Stack:
    """`tidegate` on a state folder of its own, and the process that serves it."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = os.environ | {"TIDEGATE_HOME": str(self.home), "NO_COLOR": "1"}

    def start(self, *manifests: Path) -> None:
        """Start `tidegate up`; its output goes to `up.log` in the state folder."""
        self.home.mkdir(exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [TIDEGATE, "up", *manifests, "--port", str(self.port)],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        done = subprocess.run(
            [TIDEGATE, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"tidegate {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def status(self, name: str) -> dict[str, Any]:
        """The rollout's status as the store has it: what `tidegate get -o json` prints, without a process for it."""
        database = Database(self.home / "store.db")
        try:
            row = database.row(RolloutKey("default", name))
        finally:
            database.close()
        return dict(row.status or {}) if row is not None else {}

    def until(self, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Wait until the rollout's status satisfies `reached`; the status."""
        deadline = time.monotonic() + seconds
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            status = self.status(name)
            if status and reached(status):
                return status
            time.sleep(0.1)
        log = (self.home / "up.log").read_text()[-3000:]
        raise AssertionError(f"{name} did not get there in {seconds:.0f} s: {json.dumps(status, indent=1)}\n{log}")

    def apply(self, name: str, model: str, *, strategy: object = None, **spec: object) -> str:
        """Apply a rollout of one of the example models; the file that was applied."""
        manifest = self.manifest(name, model, strategy=strategy, **spec)
        self.cli("apply", "-f", str(manifest))
        return str(manifest)

    def manifest(self, name: str, model: str, *, strategy: object = None, **spec: object) -> Path:
        """Write a manifest."""
        document = {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": name},
            "spec": {"model": {"uri": f"file://{MODELS / model}.joblib", "runtime": "sklearn"}} | spec,
        }
        if strategy is not None:
            document["spec"]["strategy"] = strategy  # type: ignore[index]
        path = self.home / f"{name}-{model}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def new_stack() -> Iterator[Callable[[], Stack]]:
    """Makes stacks that are not started yet; whatever was started is stopped at the end."""
    made: list[Stack] = []

    def make() -> Stack:
        stack = Stack(Path(tempfile.mkdtemp(prefix="tg-")), free_port())
        made.append(stack)
        return stack

    yield make
    for stack in made:
        _clean(stack)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running stack with one model, `iris`, for everybody. Tests bring rollouts of their own names."""
    running = Stack(Path(tempfile.mkdtemp(prefix="tg-")), free_port())
    try:
        running.start(running.manifest("iris", "iris-1"))
        running.until("iris", lambda status: status.get("phase") == "Healthy", 120)
        yield running
    finally:
        _clean(running)


def _clean(stack: Stack) -> None:
    if stack.process is not None and stack.process.poll() is None:
        stack.stop()
    shutil.rmtree(stack.home, ignore_errors=True)
