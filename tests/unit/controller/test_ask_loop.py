"""Others are asked beside the decisions."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from operators.askloop import LIMIT, AskLoop

AGES = 1e9


@dataclass(frozen=True)
class About:
    """A question."""

    what: str
    interval: float = 0.0


class Clock:
    """Stands still."""

    time = 1_000.0

    def now(self) -> float:
        return self.time


class Oracle:
    """Answers what is set; a subject without an answer is never answered, and an error is raised."""

    def __init__(self, **answers: str | Exception | None) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str | None]] = []
        self.waiting = self.most_waiting = 0
        self.was_asked = asyncio.Event()
        self.was_let_go = asyncio.Event()

    async def ask(self, subject: str, question: About, before: str | None) -> str | None:
        self.asked.append((subject, question.what, before))
        self.was_asked.set()
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            if subject not in self.answers:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.was_let_go.set()
            raise
        finally:
            self.waiting -= 1
        answer = self.answers[subject]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def asked_again(self) -> None:
        """Return when one more question was asked."""
        self.was_asked.clear()
        async with asyncio.timeout(20):
            await self.was_asked.wait()


class Changes:
    """What the loop has told, and a way to wait for more."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, subject: str) -> None:
        self.queue.put_nowait(subject)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self.queue.get()


Loop = AskLoop[str, About, str]


@asynccontextmanager
async def running(oracle: Oracle, clock: Clock | None = None, at_once: int = 8) -> AsyncIterator[tuple[Loop, Changes]]:
    """A loop at work."""
    changes = Changes()
    loop: Loop = AskLoop(oracle.ask, changes, clock or Clock(), asyncio.Semaphore(at_once))
    task = asyncio.create_task(loop.run())
    try:
        yield loop, changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_wanted_is_asked_at_once_and_again_with_the_last_answer() -> None:
    oracle, question = Oracle(iris="good"), About("health")
    async with running(oracle) as (loop, changes):
        assert loop.known("iris", question, AGES) is None
        loop.want("iris", question)
        assert await changes.next() == "iris"
        assert loop.known("iris", question, AGES) == "good"
        await oracle.asked_again()
        assert oracle.asked[:2] == [("iris", "health", None), ("iris", "health", "good")]


async def test_an_answer_that_is_the_same_again_is_no_news() -> None:
    oracle = Oracle(iris="good")
    async with running(oracle) as (loop, changes):
        loop.want("iris", About("health"))
        await changes.next()
        for _ in range(3):
            await oracle.asked_again()
        assert changes.queue.empty()
        oracle.answers["iris"] = "better"
        assert await changes.next() == "iris"


async def test_what_is_wanted_no_more_is_forgotten_and_asked_no_more() -> None:
    oracle, question = Oracle(iris="good"), About("health")
    async with running(oracle) as (loop, changes):
        loop.want("iris", question)
        await changes.next()
        loop.want("iris", None)
        assert loop.known("iris", question, AGES) is None
        await asyncio.sleep(0)
        asked = len(oracle.asked)
        loop.want("wine", question)
        await oracle.asked_again()
        assert [subject for subject, _, _ in oracle.asked[asked:]] == ["wine"]


async def test_another_question_has_no_answer_yet_and_begins_without_one() -> None:
    oracle, first, second = Oracle(iris="good"), About("health", 60), About("wealth", 60)
    async with running(oracle) as (loop, changes):
        loop.want("iris", first)
        await changes.next()
        assert loop.known("iris", second, AGES) is None, "what is known answers another question"
        loop.want("iris", second)
        assert loop.known("iris", first, AGES) is None
        assert loop.known("iris", second, AGES) is None
        await changes.next()
        assert loop.known("iris", second, AGES) == "good"
        assert oracle.asked == [("iris", "health", None), ("iris", "wealth", None)]


async def test_a_subject_that_is_forgotten_while_it_is_asked_about_is_let_go() -> None:
    oracle, question = Oracle(), About("health")
    async with running(oracle, at_once=1) as (loop, _):
        loop.want("iris", question)
        await oracle.asked_again()
        loop.want("iris", None)
        async with asyncio.timeout(LIMIT / 2):
            await oracle.was_let_go.wait()
        oracle.answers["wine"] = "good"
        loop.want("wine", question)
        await oracle.asked_again()


async def test_whoever_cannot_be_asked_makes_the_answer_unknown() -> None:
    oracle, question = Oracle(iris="good"), About("health")
    async with running(oracle) as (loop, changes):
        loop.want("iris", question)
        await changes.next()
        oracle.answers["iris"] = None
        await changes.next()
        assert loop.known("iris", question, AGES) is None
        oracle.answers["iris"] = "good"
        await changes.next()
        assert loop.known("iris", question, AGES) == "good"


async def test_an_answer_that_is_too_old_is_none() -> None:
    clock, question = Clock(), About("health", 60)
    async with running(Oracle(iris="good"), clock) as (loop, changes):
        loop.want("iris", question)
        await changes.next()
        clock.time += 5
        assert loop.known("iris", question, 5) == "good"
        clock.time += 0.1
        assert loop.known("iris", question, 5) is None


async def test_an_answer_that_does_not_come_keeps_no_other_waiting() -> None:
    oracle, question = Oracle(wine="good"), About("health")
    async with running(oracle) as (loop, changes):
        loop.want("iris", question)
        loop.want("wine", question)
        assert await changes.next() == "wine"
        for _ in range(3):
            await oracle.asked_again()
        assert loop.known("iris", question, AGES) is None
        assert [subject for subject, _, _ in oracle.asked].count("iris") == 1


async def test_a_question_that_fails_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    oracle, question = Oracle(iris=ValueError("a defect"), wine="good"), About("health", 60)
    async with running(oracle) as (loop, changes):
        loop.want("iris", question)
        loop.want("wine", question)
        assert {await changes.next(), await changes.next()} == {"iris", "wine"}
        assert loop.known("iris", question, AGES) is None
        assert loop.known("wine", question, AGES) == "good"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_no_more_are_asked_about_at_once_than_may_be() -> None:
    names = [f"model-{number}" for number in range(300)]
    oracle = Oracle(**dict.fromkeys(names, "good"))
    async with running(oracle, at_once=8) as (loop, changes):
        for name in names:
            loop.want(name, About("health", 60))
        assert {await changes.next() for _ in names} == set(names)
    assert oracle.most_waiting == 8
    assert len(oracle.asked) == 300
