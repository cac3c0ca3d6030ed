"""`make demo`: every strategy, one after the other, on a real stack under steady traffic.

A stack of its own is started on a free port with a state folder of its own, so that it disturbs nobody.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop
import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from scipy import stats
from sklearn.datasets import load_iris

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.client import Answer, Load, answering, cycle_rows, infer_body, post, steady
from operators.api import ModelRollout, RolloutKey
from operators.local.database import Database
from operators.local.home import Home
from operators.local.store import parse_row
from operators.status import Phase, RolloutStatus

MANIFESTS = Path(__file__).parent / "demo"
TIDEGATE = Path(sys.executable).with_name("tidegate")
KEY = RolloutKey("default", "iris")
PATH = "/v2/models/iris/infer"
ROWS, _ = load_iris(return_X_y=True)
CONNECTIONS = 16
PACE_SECONDS = 0.02
START_SECONDS = 90.0
DEADLINE_SECONDS = 90.0
SHORTEST_STAGE_SECONDS = 0.5
"""Shares that were in force for less say nothing."""
CHANCE = 0.999
"""The probability of the binomial interval that an observed share is held against."""
DECISIONS = {"Promoted", "Aborted", "Winner", "TakenOut", "PromotedByHand", "Ended"}
"""Reasons of a rollout's history that say how it went on, and why."""


@dataclass(slots=True)
class Record:
    """When each answered request was sent (seconds since the epoch), and by which version; how many were no 200."""

    sent: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    bad: int = 0

    def add(self, answer: Answer) -> None:
        """Keep one answer."""
        self.sent.append(time.time() - answer.seconds)
        self.versions.append(answer.version)
        self.bad += answer.status != 200

    def between(self, start: float, end: float) -> Counter[str]:
        """Answers per version to the requests that were sent in a span of time."""
        times = zip(self.sent, self.versions, strict=True)
        return Counter(version for sent, version in times if start <= sent < end)


@dataclass(frozen=True, slots=True)
class Stage:
    """A time during which every router ran the same shares. `weights` are basis points, by role, as `versions` are."""

    label: str
    weights: dict[str, int]
    versions: dict[str, str]
    shadow: int
    start: float
    end: float

    def until(self, later: "Stage") -> "Stage | None":
        """The stage up to a later look, if the shares were the same then."""
        same = replace(later, start=self.start)
        return same if same == replace(self, end=later.end) else None

    @property
    def says_something(self) -> bool:
        """Whether somebody besides the stable version got requests or copies, and long enough to be counted."""
        tried = sum(list(self.weights.values())[1:]) + self.shadow
        return tried > 0 and self.end - self.start > SHORTEST_STAGE_SECONDS


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

    async def apply(self, name: str, model: int | None = None, **spec: object) -> None:
        """Apply one of the demo's manifests, perhaps with another model or with other blocks."""
        await self.tidegate("apply", "-f", self.manifest(name, model, **spec))

    def manifest(self, name: str, model: int | None = None, **spec: object) -> str:
        """One of the demo's manifests, with other blocks in place of its own, as a file."""
        text = (MANIFESTS / f"{name}.yaml").read_text().replace("../models/", f"file://{MANIFESTS.parent}/models/")
        document = yaml.safe_load(text)
        document["spec"] |= spec
        if model is not None:
            document["spec"]["model"]["uri"] = f"file://{MANIFESTS.parent}/models/iris-{model}.joblib"
        path = self.home.root / f"{name}{'' if model is None else f'-of-model-{model}'}.yaml"
        path.write_text(yaml.safe_dump(document))
        return str(path)

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

    async def follow(self, label: str, until: Phase, since: float) -> None:
        """Watch the rollout until it comes to rest after `since`, keep its stages, and say what was decided and why."""
        deadline = time.time() + DEADLINE_SECONDS
        stage = _stage(label, self.rollout())
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                rollout = self.rollout()
                status, seen = rollout.status, _stage(label, rollout)
                longer = stage.until(seen)
                if longer is None:
                    self.stages.append(stage)
                stage = longer or seen
                live.update(_line(label, status, seen), refresh=True)
                if status.phase is until and _rests(status) and status.history[-1].at > since:
                    break
                if time.time() > deadline:
                    raise SystemExit(
                        f"{label}: still {status.phase.value} after {DEADLINE_SECONDS:.0f} s: {status.message}"
                    )
                await asyncio.sleep(0.1)
        self.stages.append(stage)
        for line in status.history:
            if line.at > since and line.reason in DECISIONS:
                self.console.print(f"[bold]{line.reason}[/]: {line.message}", highlight=False)

    @asynccontextmanager
    async def previewing(self) -> AsyncIterator[None]:
        """Meanwhile somebody asks for the preview; says at the end who answered."""
        requests = cycle_rows(PATH, ROWS, {"x-preview": "yes"})
        async with steady(self.port, requests, connections=2, pace=PACE_SECONDS) as load:
            yield
        answers = ", ".join(f"{version} {count}" for version, count in load.tally.versions.most_common())
        self.console.print(f"requests with x-preview were answered by: {answers}; {load.tally.failed} were no 200")
        self.record.bad += load.tally.failed

    def table(self) -> Table:
        """Each stage's shares, against its weights and what chance makes of them."""
        table = Table(
            "rollout", "version", "weight", "answered", "share", "chance, %", box=SIMPLE, padding=(0, 1, 0, 0)
        )
        table.columns[0].no_wrap = True
        for stage in filter(lambda stage: stage.says_something, self.stages):
            counts = self.record.between(stage.start, stage.end)
            total = counts.total()
            label = f"{stage.label}, {stage.end - stage.start:.0f} s"
            for role, weight in stage.weights.items():
                copied = role == "candidate" and stage.shadow > 0
                got, p = counts[stage.versions[role]], weight / 10_000
                low, high = stats.binom.interval(CHANCE, total, p) if 0 < p < 1 else (p * total, p * total)
                colour = "green" if low <= got <= high else "red"
                table.add_row(
                    label,
                    role,
                    f"{weight / 100:g} %" + (f", {stage.shadow / 100:g} % copied" if copied else ""),
                    f"{got}/{total}",
                    f"[{colour}]{100 * got / total:.1f} %[/]" if total else "",
                    f"{100 * low / total:.1f}-{100 * high / total:.1f}" if 0 < p < 1 and total else "",
                )
                label = ""
        return table


def _stage(label: str, rollout: ModelRollout) -> Stage:
    """The shares just now; without any while the routers do not all have them yet."""
    status, now = rollout.status, time.time()
    synced = any(one.type == "RouterSynced" and one.status for one in status.conditions)
    if status.stable is None or not synced:
        return Stage(label, {}, {}, 0, now, now)
    weights = {variant.name: variant.weight for variant in status.variants if not variant.failure}
    versions = {variant.name: variant.revision.id for variant in status.variants}
    if status.candidate is not None:
        weights["candidate"], versions["candidate"] = status.weight, status.candidate.revision.id
    rest = {"control" if status.variants else "stable": 10_000 - sum(weights.values())}
    return Stage(label, rest | weights, versions | dict.fromkeys(rest, status.stable.id), status.shadow, now, now)


def _rests(status: RolloutStatus) -> bool:
    """Whether nothing goes on by itself."""
    return status.awaits_promotion or (status.candidate is None and not status.variants)


def _line(label: str, status: RolloutStatus, stage: Stage) -> str:
    shares = ", ".join(f"{role} {weight / 100:g} %" for role, weight in stage.weights.items())
    verdicts = " ".join(f"{check.name}:{check.verdict.value}" for check in status.checks)
    copies = f", copies {status.shadow / 100:g} %" if status.shadow else ""
    return f"{label:26} {status.phase.value:12} {shares}{copies}  {verdicts}"


async def canary(demo: Demo) -> None:
    """Step by step: a good version becomes stable, one that raises is stopped before anybody sees it."""
    since = time.time()
    await demo.apply("iris", 2)
    await demo.follow("canary, good", Phase.HEALTHY, since)
    since = time.time()
    await demo.apply("iris", 3)
    await demo.follow("canary, raises", Phase.DEGRADED, since)


async def blue_green(demo: Demo) -> None:
    """Previewed by header, then switched; and a version that nobody looked at before, which is slow: switched back."""
    since = time.time()
    async with demo.previewing():
        await demo.apply("blue-green")
        await demo.follow("blue-green, good", Phase.HEALTHY, since)
    since = time.time()
    blind = {"blueGreen": {"postPromotionAnalysis": {"minSamples": 5000}}}
    await demo.apply("blue-green", 4, strategy=blind)
    await demo.follow("blue-green, slow", Phase.DEGRADED, since)


async def shadow(demo: Demo) -> None:
    """Copies only, until somebody promotes it."""
    since = time.time()
    await demo.apply("shadow")
    await demo.follow("shadow", Phase.PAUSED, since)
    since = time.time()
    await demo.tidegate("promote", "iris")
    await demo.follow("shadow, promoted", Phase.HEALTHY, since)


async def ab_test(demo: Demo) -> None:
    """Three versions with fixed shares; the winner is promoted by hand."""
    since = time.time()
    await demo.apply("ab-test")
    await demo.follow("A/B test", Phase.PAUSED, since)
    since = time.time()
    await demo.tidegate("promote", "iris")
    await demo.follow("A/B test, promoted", Phase.HEALTHY, since)


async def bandit(demo: Demo) -> None:
    """Shares follow the rewards until one of the three is the best beyond doubt: the control, which stays."""
    since = time.time()
    await demo.apply("bandit")
    await demo.follow("bandit", Phase.HEALTHY, since)


async def play(demo: Demo) -> None:
    """The whole story, on a running stack."""
    load = Load(demo.port, cycle_rows(PATH, ROWS), PACE_SECONDS, demo.record.add)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CONNECTIONS))
        try:
            for strategy in (canary, blue_green, shadow, ab_test, bandit):
                demo.console.rule(strategy.__name__.replace("_", " "))
                await strategy(demo)
        finally:
            load.ended = True
    tally = load.tally
    demo.console.print(demo.table(), f"chance: where {CHANCE * 100:g} % of all shares lie at this weight", sep="")
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
        await demo.apply("iris", 1)
        command = ("up", "--port", str(port))
        stack = await asyncio.create_subprocess_exec(TIDEGATE, *command, env=environment, start_new_session=True)
        try:
            await answering(port, post(PATH, infer_body([[5.1, 3.5, 1.4, 0.2]])), START_SECONDS)
            await play(demo)
        finally:
            if stack.returncode is None:
                stack.terminate()
            await stack.wait()
    console.print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    uvloop.run(main())
