"""How often is a candidate that is the stable version's twin taken for a worse one? Rollouts on a real local stack.

Every candidate is the stable version's model once more. Its answers are labelled as they come, nine of ten as right,
and a check compares the accuracy with the stable version's without any margin: the hardest case, as the truth lies
exactly on the bound. The check is evaluated every second while the labels come in, which is what makes tests wrong
that are meant for one look. A rollout that is aborted was judged wrongly; one in twenty may be.

`python -m benchmarks.identical --rollouts 200`
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import binomtest

from benchmarks.client import Answer, Load, infer_body, post
from operators.api import RolloutKey
from operators.local.database import Database

CONFIDENCE = 0.95
ACCURACY = 0.9
REQUESTS = 100
"""Between two looks of the check at the least."""
LOOKS = 6
DEADLINE = 300.0
TIDEGATE = Path(sys.executable).with_name("tidegate")
MODEL = Path(__file__).parents[1] / "deployments" / "examples" / "models" / "iris-1.joblib"
FLOWERS = ((5.1, 3.5, 1.4, 0.2), (6.0, 2.7, 5.1, 1.6), (6.3, 3.3, 6.0, 2.5))


@dataclass(slots=True)
class Trial:
    """One model, whose rollouts follow each other. `wrong` are the rollouts that were aborted."""

    home: Path
    port: int
    name: str
    dice: random.Random
    wrong: list[str] = field(default_factory=list)
    labels: int = 0
    _tried: set[str] = field(default_factory=set)
    _ids: Iterator[int] = field(default_factory=itertools.count)

    async def start(self) -> None:
        """Bring the stable version up."""
        await self._apply(0)
        await self._until(lambda status: status["phase"] == "Healthy")

    async def roll_out(self, number: int) -> None:
        """Divide the traffic with a twin, label its answers, and see what is decided."""
        await self._apply(number)
        status = await self._until(self._divided)
        version, labelled = status["candidate"]["id"], 0
        for _ in range(LOOKS):
            labelled += await self._label(version)
            status = await self._until(partial(_has_seen, labels=labelled))
            if status["phase"] == "Degraded":
                self.wrong.append(status["message"])
                break
        self.labels += labelled
        self._tried.add(version)

    def _divided(self, status: dict[str, Any]) -> bool:
        """Whether a new candidate gets its half, and counts from there."""
        known = status.get("candidate", {}).get("id") in (None, *self._tried)
        return not known and status["phase"] == "Paused" and status["weight"] == 50 and "evidenceSince" in status

    async def _apply(self, number: int) -> None:
        check = {"name": "accuracy", "metric": "feedback-accuracy", "versus": "stable", "margin": 0}
        document = {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": self.name},
            "spec": {
                "model": {"uri": f"file://{MODEL}", "runtime": "sklearn"},
                "serving": {"env": {"TWIN": str(number)}},  # another version, for all that Tidegate knows
                "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
                "analysis": {"interval": "1s", "checks": [check | {"confidence": CONFIDENCE}]},
                "scaleDownDelaySeconds": 0,
            },
        }
        path = self.home / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(document))
        told = os.environ | {"TIDEGATE_HOME": str(self.home)}
        process = await asyncio.create_subprocess_exec(
            TIDEGATE, "apply", "-f", path, env=told, stdout=subprocess.DEVNULL
        )
        if await process.wait():
            raise SystemExit(f"{path} was refused")

    async def _until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        status: dict[str, Any] = {}
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with contextlib.closing(Database(self.home / "store.db")) as database:
                row = database.row(RolloutKey("default", self.name))
            status = dict(row.status or {}) if row is not None else {}
            if status and reached(status):
                return status
            await asyncio.sleep(0.1)
        raise SystemExit(f"{self.name} did not go on within {DEADLINE:.0f} s: {json.dumps(status, indent=1)}")

    async def _label(self, version: str) -> int:
        """Ask, and say of each answer whether it was right; how many of the answers were this version's."""
        names = [f"{self.name}-{next(self._ids)}" for _ in range(REQUESTS)]
        path = f"/v2/models/{self.name}/infer"
        answers = await self._send(
            post(path, infer_body([self.dice.choice(FLOWERS)]), {"x-request-id": name}) for name in names
        )
        items = []
        for answer in answers:
            said = json.loads(answer.body)["outputs"][0]["data"][0]
            right = self.dice.random() < ACCURACY
            items.append({"request_id": names[answer.index], "label": said if right else (said + 1) % 3})
        body = json.dumps({"items": items}).encode()
        await self._send(iter([post(f"/api/v1/models/{self.name}/feedback", body)]))
        return sum(answer.version == version for answer in answers)

    async def _send(self, payloads: Iterator[bytes]) -> list[Answer]:
        answers: list[Answer] = []
        load = Load(self.port, payloads, each=answers.append)
        await load.run(connections=4)
        if {answer.status for answer in answers} - {200, 202}:
            raise SystemExit(f"{self.name}: {load.tally.failures[:3]}")
        return answers


def _has_seen(status: dict[str, Any], labels: int) -> bool:
    """Whether the check has been judged on so many labels of the candidate, or the rollout was aborted."""
    checks = {check["name"]: check for check in status.get("checks", ())}
    return bool(status["phase"] == "Degraded" or checks.get("accuracy", {}).get("samples", 0) >= labels)


async def run(home: Path, port: int, rollouts: int, side_by_side: int, seed: int) -> list[Trial]:
    """All rollouts, some models at once."""
    trials = [Trial(home, port, f"twin-{index}", random.Random(seed + index)) for index in range(side_by_side)]
    numbers = iter(range(1, rollouts + 1))

    async def work(trial: Trial) -> None:
        await trial.start()
        for number in numbers:
            await trial.roll_out(number)
            wrong = sum(len(one.wrong) for one in trials)
            print(f"rollout {number:>4} of {rollouts}: {wrong} taken for worse so far", flush=True)

    async with asyncio.TaskGroup() as tasks:
        for trial in trials:
            tasks.create_task(work(trial))
    return trials


def main() -> None:
    """Start a stack, roll out, and print how often a twin was refused."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identical", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--side-by-side", type=int, default=4, help="models that roll out at the same time")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tg-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        home = Path(folder)
        told = os.environ | {"TIDEGATE_HOME": str(home), "NO_COLOR": "1"}
        with (home / "up.log").open("wb") as log:
            up = subprocess.Popen([TIDEGATE, "up", "--port", str(port)], env=told, stdout=log, stderr=log)
        try:
            trials = asyncio.run(run(home, port, given.rollouts, given.side_by_side, given.seed))
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
    wrong, labels = sum(len(trial.wrong) for trial in trials), sum(trial.labels for trial in trials)
    share = binomtest(wrong, given.rollouts).proportion_ci(method="exact")
    print(
        f"{wrong} of {given.rollouts} rollouts of a twin were aborted ({wrong / given.rollouts:.1%}, 95 % interval "
        f"{share.low:.1%} to {share.high:.1%}) where {1 - CONFIDENCE:.0%} may be; {labels} labels of candidates"
    )


if __name__ == "__main__":
    main()
