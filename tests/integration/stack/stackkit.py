"""A whole stack as a user starts it, and what tests of a rollout's life on it have in common."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from sklearn.datasets import load_iris

from benchmarks.client import Load, cycle_rows, steady
from operators.api import RolloutKey
from operators.local.database import Database

MODELS = Path(__file__).parents[3] / "deployments" / "examples" / "models"
TIDEGATE = Path(sys.executable).with_name("tidegate")
ROWS = load_iris(return_X_y=True)[0]
DEADLINE = 240.0


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
        return self.process.wait(DEADLINE)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        done = subprocess.run(
            [TIDEGATE, *arguments], env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=False
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

    def until(self, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE) -> dict[str, Any]:
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

    def apply(self, name: str, model: str, /, *, strategy: object = None, **spec: object) -> str:
        """Apply a rollout of one of the example models; the file that was applied."""
        manifest = self.manifest(name, model, strategy=strategy, **spec)
        self.cli("apply", "-f", str(manifest))
        return str(manifest)

    def manifest(self, name: str, model: str, /, *, strategy: object = None, **spec: object) -> Path:
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


def canary(*steps: dict[str, object]) -> dict[str, object]:
    return {"canary": {"steps": list(steps)}}


def healthy(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Healthy"


def healthy_with(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["phase"] == "Healthy" and status["stable"]["id"] == version


def at_weight(weight: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status.get("weight") == weight and "evidenceSince" in status and status["phase"] == "Paused"


@asynccontextmanager
async def load_on(stack: Stack, name: str) -> AsyncIterator[Load]:
    """Steady load in the background; every request that was begun must have been answered 200."""
    async with steady(stack.port, cycle_rows(f"/v2/models/{name}/infer", ROWS), connections=8, pace=0.01) as load:
        yield load
    assert load.tally.sent > 50
    assert load.tally.failed == 0, load.tally.failures


async def until(
    stack: Stack, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE
) -> dict[str, Any]:
    return await asyncio.to_thread(stack.until, name, reached, seconds)


async def first_version(stack: Stack, name: str, **spec: object) -> str:
    """Apply version 1 and wait for it; its id."""
    await asyncio.to_thread(stack.apply, name, "iris-1", **spec)
    return (await until(stack, name, healthy))["stable"]["id"]


async def halfway(stack: Stack, name: str, **spec: object) -> str:
    """Apply version 2 with a canary that waits at one half, and wait until it does; the candidate's id."""
    strategy = canary({"setWeight": 50}, {"pause": {}})
    await asyncio.to_thread(stack.apply, name, "iris-2", strategy=strategy, **spec)
    return (await until(stack, name, at_weight(50)))["candidate"]["id"]


async def answered_only_by(load: Load, *versions: str) -> None:
    """Wait until a fresh window of answers holds these versions, each of them and no other."""
    async with asyncio.timeout(DEADLINE):
        while True:
            load.tally.versions.clear()
            await asyncio.sleep(0.25)
            if set(load.tally.versions) == set(versions):
                return
