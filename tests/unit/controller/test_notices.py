"""What happened to rollouts reaches the monitor: nothing is lost, nothing comes twice."""

import ast
import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.client import MonitorClient, MonitorUnavailable
from monitor.event import Event
from operators import notices as module
from operators.api import API_VERSION, KIND, ModelRollout, RolloutKey, parse_manifest
from operators.api.fields import format_time
from operators.notices import WARNINGS, YOUNG, Notices, Observers
from operators.plan import Plan
from operators.status import Decision, Phase, RolloutStatus

DEADLINE = 60.0
IRIS = RolloutKey("default", "iris")
NOW = 1_800_000_000.0


class Monitor(MonitorClient):
    """Keeps events by their key, as the monitor does; away when told so, and then perhaps after it has kept them."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.kept: dict[str, Event] = {}
        self.posts = 0
        self.away = False
        self.deaf = False
        self.news = asyncio.Condition()
        self.ticks = itertools.count()

    async def post_events(self, events: Sequence[Event]) -> None:
        async with self.news:
            self.posts += 1
            if not self.away:
                self.kept = {event.key: event for event in events} | self.kept
            self.news.notify_all()
        if self.away or self.deaf:
            raise MonitorUnavailable("the monitor did not answer")

    async def events(
        self, namespace: str, model: str, kind: str | None = None, limit: int | None = None
    ) -> Sequence[Event]:
        if self.away:
            raise MonitorUnavailable("the monitor did not answer")
        of = [one for one in self.kept.values() if (one.namespace, one.model, one.kind) == (namespace, model, kind)]
        return sorted(of, key=lambda one: -one.at)[:limit]

    async def has(self, count: int) -> list[str]:
        """The titles of what was kept, once it is that much."""
        async with asyncio.timeout(DEADLINE), self.news:
            await self.news.wait_for(lambda: len(self.kept) >= count)
        return [one.title for one in sorted(self.kept.values(), key=lambda one: one.at)]

    async def asked(self, posts: int) -> None:
        """Return once something was posted that often."""
        async with asyncio.timeout(DEADLINE), self.news:
            await self.news.wait_for(lambda: self.posts >= posts)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda failures: 0.01)


@asynccontextmanager
async def telling(monitor: Monitor) -> AsyncIterator[Notices]:
    """A new process."""
    notices = Notices(monitor, lambda: NOW + 1_000 + next(monitor.ticks))
    task = asyncio.create_task(notices.run())
    try:
        yield notices
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rollout(name: str = "iris", uid: str = "u1", made_at: float = 0.0) -> ModelRollout:
    return parse_manifest(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": uid,
                "creationTimestamp": format_time(made_at),
            },
            "spec": {"model": {"runtime": "sklearn", "uri": "file:///models/iris"}},
        }
    )


def status(*reasons: str, phase: Phase = Phase.PENDING) -> RolloutStatus:
    """One whose history has these lines, one second after the other."""
    lines = tuple(Decision(NOW + n, reason, f"why {reason}", "iris-1") for n, reason in enumerate(reasons))
    return RolloutStatus(phase=phase, history=lines, message=f"it is {phase.value}")


def decide(notices: Notices, now: RolloutStatus, before: RolloutStatus | None = None, uid: str = "u1") -> None:
    notices.decided(rollout(uid=uid).with_status(before or RolloutStatus()), Plan((), None, now), 0.0)


async def until(reached: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if reached():
                return
            await asyncio.sleep(0.01)


async def test_lines_of_the_history_are_told_once_each() -> None:
    monitor = Monitor()
    async with telling(monitor) as notices:
        decide(notices, status("Started"))
        await monitor.has(1)
        decide(notices, status("Started", "Step"))
        decide(notices, status("Started", "Step", "Aborted"))
        assert await monitor.has(3) == ["Started: iris-1", "Step: iris-1", "Aborted: iris-1"]
        posts = monitor.posts
        decide(notices, status("Started", "Step", "Aborted"))
        await asyncio.sleep(0)
        assert monitor.posts == posts
    aborted = next(one for one in monitor.kept.values() if one.details["reason"] == "Aborted")
    assert (aborted.kind, aborted.severity, aborted.at, aborted.message) == (
        "rollout",
        "warning",
        NOW + 2,
        "why Aborted",
    )
    assert (aborted.namespace, aborted.model, aborted.details["version"]) == ("default", "iris", "iris-1")


async def test_a_process_that_starts_tells_all_lines_and_the_monitor_knows_them_again() -> None:
    monitor = Monitor()
    stored = status("Started", "Promoted", phase=Phase.HEALTHY)
    for posts in (1, 2):
        async with telling(monitor) as notices:
            decide(notices, stored, before=stored)
            await monitor.asked(posts)
    assert len(monitor.kept) == 2


async def test_what_happens_while_the_monitor_is_away_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor()
    monitor.away = True
    async with telling(monitor) as notices:
        decide(notices, status("Started"))
        decide(notices, status("Started", "Step"))
        await until(lambda: "does not hear of rollouts" in caplog.text)
        monitor.away = False
        assert await monitor.has(2) == ["Started: iris-1", "Step: iris-1"]
    assert caplog.text.count("does not hear of rollouts") == 1


async def test_a_changed_phase_is_told_with_the_one_before() -> None:
    monitor = Monitor()
    async with telling(monitor) as notices:
        decide(notices, status(phase=Phase.PROGRESSING))
        await monitor.has(1)
        decide(notices, status(phase=Phase.HEALTHY))
        await monitor.has(2)
        decide(notices, status(phase=Phase.DEGRADED))
        titles = await monitor.has(3)
    assert titles == ["Pending → Progressing", "Progressing → Healthy", "Healthy → Degraded"]
    last = max(monitor.kept.values(), key=lambda one: one.at)
    assert (last.severity, last.message, last.details["phase"]) == ("warning", "it is Degraded", "Degraded")


async def test_a_phase_that_changed_between_two_processes_is_told_and_one_that_did_not_is_not() -> None:
    monitor = Monitor()
    async with telling(monitor) as notices:
        decide(notices, status(phase=Phase.HEALTHY))
        await monitor.has(1)
    async with telling(monitor) as notices:
        decide(notices, status("Started", phase=Phase.HEALTHY), before=status(phase=Phase.HEALTHY))
        assert await monitor.has(2) == ["Started: iris-1", "Pending → Healthy"]
    async with telling(monitor) as notices:
        stored = status("Started", phase=Phase.PAUSED)
        decide(notices, stored, before=stored)  # it was stored, and then the process ended
        assert (await monitor.has(3))[-1] == "Healthy → Paused"


async def test_a_fleet_that_is_met_for_the_first_time_does_not_tell_of_phases_that_did_not_change() -> None:
    monitor = Monitor()
    async with telling(monitor) as notices:
        stored = status("Started", phase=Phase.HEALTHY)
        decide(notices, stored, before=stored)
        await monitor.has(1)
        decide(notices, status("Started", "Step", phase=Phase.HEALTHY))
        assert await monitor.has(2) == ["Started: iris-1", "Step: iris-1"]


@pytest.mark.parametrize(("age", "told"), [(YOUNG / 2, ["Pending → Degraded"]), (2 * YOUNG, [])])
async def test_of_a_rollout_that_is_young_and_that_nobody_has_heard_of_the_phase_is_news(
    age: float, told: list[str]
) -> None:
    monitor = Monitor()
    stored = status("Aborted", phase=Phase.DEGRADED)
    made = rollout(made_at=NOW + 1_000 - age).with_status(stored)
    for posts in (1, 2):
        async with telling(monitor) as notices:
            notices.decided(made, Plan((), None, stored), 0.0)
            await monitor.asked(posts)
    assert [one.title for one in monitor.kept.values() if "phase" in one.details] == told


async def test_a_phase_whose_answer_was_lost_is_not_told_twice_and_its_end_is() -> None:
    monitor = Monitor()
    monitor.deaf = True
    async with telling(monitor) as notices:
        decide(notices, status(phase=Phase.DEGRADED))
        await monitor.asked(1)
        decide(notices, status(phase=Phase.PENDING))
        monitor.deaf = False
        assert await monitor.has(2) == ["Pending → Degraded", "Degraded → Pending"]
    assert len(monitor.kept) == 2


async def test_what_happened_to_a_deleted_rollout_is_still_told_and_then_forgotten() -> None:
    monitor = Monitor()
    monitor.away = True
    async with telling(monitor) as notices:
        decide(notices, status("Started"))
        notices.dropped(IRIS)
        decide(notices, status("Started"), uid="u2")
        monitor.away = False
        await monitor.has(2)
        await until(lambda: len(notices._rollouts) == 1)
    assert {one.details["uid"] for one in monitor.kept.values()} == {"u1", "u2"}


async def test_many_lines_go_in_several_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 4)
    monitor = Monitor()
    async with telling(monitor) as notices:
        decide(notices, status(*(f"Reason{n}" for n in range(10))))
        await monitor.has(10)
    assert monitor.posts == 3


async def test_a_decision_that_was_not_stored_is_not_told() -> None:
    monitor = Monitor()
    async with telling(monitor) as notices:
        notices.decided(rollout().with_status(status("Started")), None, 0.0)
        decide(notices, status("Step"), uid="u2")
        assert await monitor.has(1) == ["Step: iris-1"]


def test_every_reason_that_is_told_as_a_warning_is_one() -> None:
    found = set()
    for path in (Path(module.__file__).parent / "reconcile").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "tell":
                continue
            if any(one.arg == "warning" for one in node.keywords):
                reason = node.args[0]
                assert isinstance(reason, ast.Constant)
                found.add(reason.value)
    assert found == WARNINGS


def test_several_observers_are_all_told() -> None:
    seen: list[tuple[str, object]] = []

    class Watcher:
        def queued(self, depth: int) -> None:
            seen.append(("queued", depth))

        def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
            seen.append(("decided", seconds))

        def dropped(self, key: RolloutKey) -> None:
            seen.append(("dropped", key))

    both = Observers((Watcher(), Watcher()))
    both.queued(3)
    both.decided(rollout(), None, 0.5)
    both.dropped(IRIS)
    assert seen == [("queued", 3)] * 2 + [("decided", 0.5)] * 2 + [("dropped", IRIS)] * 2
