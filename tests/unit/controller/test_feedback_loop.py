"""Feedback is asked for beside the decisions."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from operators.api import RolloutKey
from operators.feedbackloop import FeedbackLoop, Question
from operators.observe import VersionFeedback
from operators.status import Tally

IRIS, WINE = RolloutKey("default", "iris"), RolloutKey("default", "wine")
SOME = {"5e7270a5c6": VersionFeedback(rewards=Tally(3, 2.0, 2.0))}


class Monitor:
    """Answers what is set; a rollout without an answer is never answered."""

    def __init__(self, **answers: Mapping[str, VersionFeedback] | None) -> None:
        self.answers = answers
        self.asked: list[tuple[str, float]] = []

    async def feedback(self, key: RolloutKey, since: float) -> Mapping[str, VersionFeedback] | None:
        self.asked.append((key.name, since))
        if key.name not in self.answers:
            await asyncio.Event().wait()
        return self.answers[key.name]


class Changes:
    """What the loop has told, and a way to wait for more."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[RolloutKey] = asyncio.Queue()

    def __call__(self, keys: Sequence[RolloutKey]) -> None:
        for key in keys:
            self.queue.put_nowait(key)

    async def next(self) -> RolloutKey:
        async with asyncio.timeout(20):
            return await self.queue.get()


@asynccontextmanager
async def running(monitor: Monitor | None) -> AsyncIterator[tuple[FeedbackLoop, Changes]]:
    """A loop at work."""
    changes = Changes()
    loop = FeedbackLoop(monitor, changes)
    task = asyncio.create_task(loop.run())
    try:
        yield loop, changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_wanted_is_asked_at_once_and_again() -> None:
    monitor = Monitor(iris=SOME)
    async with running(monitor) as (loop, changes):
        assert loop.known(IRIS) is None
        loop.want(IRIS, Question(since=5.0, interval=0.01))
        assert await changes.next() == IRIS
        assert loop.known(IRIS) == SOME
        assert await changes.next() == IRIS
        assert set(monitor.asked) == {("iris", 5.0)}


async def test_what_is_wanted_no_more_is_forgotten() -> None:
    async with running(Monitor(iris=SOME)) as (loop, changes):
        loop.want(IRIS, Question(5.0, 60.0))
        await changes.next()
        loop.want(IRIS, None)
        assert loop.known(IRIS) is None


async def test_another_experiment_is_another_question() -> None:
    monitor = Monitor(iris=SOME)
    async with running(monitor) as (loop, changes):
        loop.want(IRIS, Question(5.0, 60.0))
        await changes.next()
        loop.want(IRIS, Question(9.0, 60.0))
        assert loop.known(IRIS) is None, "what was said since another moment does not count"
        await changes.next()
        assert monitor.asked == [("iris", 5.0), ("iris", 9.0)]


async def test_a_monitor_that_cannot_be_asked_makes_feedback_unknown() -> None:
    monitor = Monitor(iris=SOME)
    async with running(monitor) as (loop, changes):
        loop.want(IRIS, Question(5.0, 0.01))
        await changes.next()
        monitor.answers["iris"] = None
        while loop.known(IRIS) is not None:
            await changes.next()


async def test_an_answer_that_does_not_come_keeps_no_other_waiting() -> None:
    async with running(Monitor(wine=SOME)) as (loop, changes):
        loop.want(IRIS, Question(5.0, 60.0))
        loop.want(WINE, Question(5.0, 0.01))
        assert await changes.next() == WINE
        assert await changes.next() == WINE
        assert loop.known(IRIS) is None


async def test_without_a_monitor_nothing_is_known() -> None:
    async with running(None) as (loop, _):
        loop.want(IRIS, Question(5.0, 0.01))
        await asyncio.sleep(0)
        assert loop.known(IRIS) is None
