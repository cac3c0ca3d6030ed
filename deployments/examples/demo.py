"""`make demo`: one good version promotes itself, one that raises and one that is slow abort, under steady traffic.

A stack of its own is started on a free port with a state folder of its own, so that it disturbs nobody.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table
from sklearn.datasets import load_iris

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.client import Answer, Load, answering, cycle_rows, infer_body, post
from operators.api import ModelRollout, RolloutKey
from operators.local.database import Database
from operators.local.home import Home
from operators.local.store import parse_row
from operators.status import Phase, RolloutStatus

HERE = Path(__file__).parent
MANIFEST = HERE / "demo" / "iris.yaml"
TIDEGATE = Path(sys.executable).with_name("tidegate")
KEY = RolloutKey("default", "iris")
CONNECTIONS = 16
PACE_SECONDS = 0.02
START_SECONDS = 90.0
STEP_DEADLINE_SECONDS = 75.0
SHORTEST_STAGE_SECONDS = 0.5
"""A share that was in force for less says nothing."""
PROMOTED_SECONDS = 2.0


@dataclass(slots=True)
class Record:
    """Every answer: when it came (seconds since the epoch), which version gave it and whether it was a 200."""

    times: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    bad: int = 0

    def add(self, answer: Answer) -> None:
        """Keep one answer."""
        self.times.append(time.time())
        self.versions.append(answer.version)
        self.bad += answer.status != 200

    def between(self, start: float, end: float) -> Counter[str]:
        """Answers per version in a span of time."""
        return Counter(self.versions[bisect_left(self.times, start) : bisect_left(self.times, end)])


@dataclass(frozen=True, slots=True)
class Stage:
    """A time during which every router ran one and the same weight."""

    label: str
    candidate: str
    weight: int
    shadow: int
    start: float
    end: float


@dataclass(slots=True)
class Demo:
    """The stack, the traffic, and what was seen of both."""

    console: Console
    home: Home
    port: int
    record: Record = field(default_factory=Record)
    stages: list[Stage] = field(default_factory=list)

    async def tidegate(self, *arguments: str) -> None:
        """Run the command line as a user would; its output is shown."""
        self.console.print(f"[bold cyan]$ tidegate {' '.join(arguments)}[/]")
        environment = os.environ | {"TIDEGATE_HOME": str(self.home.root)}
        process = await asyncio.create_subprocess_exec(TIDEGATE, *arguments, env=environment)
        if await process.wait():
            raise SystemExit(f"tidegate {arguments[0]} failed")

    def rollout(self) -> ModelRollout:
        """What the store says just now."""
        database = Database(self.home.store)
        try:
            row = database.row(KEY)
        finally:
            database.close()
        if row is None:
            raise SystemExit("the rollout is gone")
        return parse_row(row)

    def manifest(self, version: int) -> str:
        """The demo's manifest with another model, as a file."""
        document = yaml.safe_load(MANIFEST.read_text())
        document["spec"]["model"]["uri"] = f"file://{HERE / 'models' / f'iris-{version}.joblib'}"
        path = self.home.root / f"iris-{version}.yaml"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    async def follow(self, label: str, until: Phase) -> RolloutStatus:
        """Watch the rollout, with live counts per version, until it comes to rest."""
        last: RolloutStatus | None = None
        begun = seen_at = since = time.time()
        deadline = begun + STEP_DEADLINE_SECONDS
        with Live(console=self.console, auto_refresh=False) as live:
            while time.time() < deadline:
                looked_at = time.time()
                status = self.rollout().status
                if last is None or _traffic(last) != _traffic(status):
                    self._note(label, last, since, seen_at)
                    since = looked_at
                live.update(self._line(label, status), refresh=True)
                if (
                    status.phase is until
                    and status.candidate is None
                    and status.history
                    and status.history[-1].at > begun
                ):
                    return status
                last, seen_at = status, looked_at
                await asyncio.sleep(0.1)
        raise SystemExit(f"{label}: still {status.phase.value} after {STEP_DEADLINE_SECONDS:.0f} s: {status.message}")

    async def watch_promoted(self, label: str, status: RolloutStatus) -> None:
        """Let the new stable version answer alone for a moment."""
        if status.stable is None:
            raise SystemExit("nothing was promoted")
        start = time.time()
        await asyncio.sleep(PROMOTED_SECONDS)
        self.stages.append(Stage(label, status.stable.id, 10_000, 0, start, time.time()))

    def _note(self, label: str, last: RolloutStatus | None, since: float, seen_at: float) -> None:
        """The shares changed: the time they were in force, seen since `since`, becomes a stage.

        It ends when they were last seen: a status is stored before its route is published.
        """
        if last is None or last.candidate is None or last.evidence_since is None:
            return
        start = max(since, last.evidence_since)
        if seen_at - start > SHORTEST_STAGE_SECONDS:
            version = last.candidate.revision.id
            self.stages.append(Stage(label, version, last.weight, last.shadow, start, seen_at))

    def _line(self, label: str, status: RolloutStatus) -> str:
        since = status.evidence_since or time.time()
        counts = self.record.between(since, time.time())
        names = {status.stable.id: "stable"} if status.stable else {}
        if status.candidate:
            names[status.candidate.revision.id] = "candidate"
        live = ", ".join(f"{names.get(version, 'other')} {count}" for version, count in counts.most_common())
        verdicts = " ".join(f"{check.name}:{check.verdict.value}" for check in status.checks)
        shares = f"weight {status.weight / 100:g} % shadow {status.shadow / 100:g} %"
        return f"{label:22} {status.phase.value:12} {shares:28} answered: {live:32} {verdicts}"

    def table(self) -> Table:
        """Each stage's share against its weight."""
        table = Table("rollout", "weight", "seconds", "answered", "candidate got", "share", "shadow")
        for stage in self.stages:
            counts = self.record.between(stage.start, stage.end)
            total, got = counts.total(), counts[stage.candidate]
            table.add_row(
                stage.label,
                f"{stage.weight / 100:g} %",
                f"{stage.end - stage.start:.1f}",
                str(total),
                str(got),
                f"{100 * got / total:.1f} %" if total else "-",
                f"{stage.shadow / 100:g} %",
            )
        return table


def _traffic(status: RolloutStatus) -> tuple[int, int, float | None]:
    """What the candidate is meant to get, and since when every router divides the traffic so."""
    return status.weight, status.shadow, status.evidence_since


async def play(demo: Demo) -> None:
    """The whole story, on a running stack."""
    rows, _ = load_iris(return_X_y=True)
    load = Load(demo.port, cycle_rows("/v2/models/iris/infer", rows), PACE_SECONDS, demo.record.add)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CONNECTIONS))
        try:
            await demo.tidegate("apply", "-f", demo.manifest(2))
            promoted = await demo.follow("v2, good", Phase.HEALTHY)
            await demo.watch_promoted("v2, promoted", promoted)
            await demo.tidegate("apply", "-f", demo.manifest(3))
            raised = await demo.follow("v3, raises", Phase.DEGRADED)
            demo.console.print(f"[red]{raised.message}[/]")
            await demo.tidegate("apply", "-f", demo.manifest(4))
            slow = await demo.follow("v4, slow", Phase.DEGRADED)
            demo.console.print(f"[red]{slow.message}[/]")
        finally:
            load.ended = True
    tally = load.tally
    demo.console.print(demo.table())
    lost = tally.sent - tally.answered
    demo.console.print(
        f"{tally.sent} requests sent, {tally.answered} answered, {lost} lost, {demo.record.bad} not 200; "
        f"p50 {tally.percentile(0.5) * 1e3:.1f} ms, p99 {tally.percentile(0.99) * 1e3:.1f} ms"
    )
    if lost or demo.record.bad:
        raise SystemExit(f"requests failed: {tally.failures[:3]}")


async def main() -> None:
    """Start a stack, tell the story, stop the stack."""
    console = Console()
    started = time.monotonic()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        demo = Demo(console, Home(Path(folder)), port)
        environment = os.environ | {"TIDEGATE_HOME": folder}
        command = ("up", "--port", str(port))
        await demo.tidegate("apply", "-f", demo.manifest(1))
        stack = await asyncio.create_subprocess_exec(TIDEGATE, *command, env=environment, start_new_session=True)
        try:
            await answering(port, post("/v2/models/iris/infer", infer_body([[5.1, 3.5, 1.4, 0.2]])), START_SECONDS)
            await play(demo)
        finally:
            if stack.returncode is None:
                stack.terminate()
            await stack.wait()
    console.print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    uvloop.run(main())
