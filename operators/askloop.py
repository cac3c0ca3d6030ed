"""Asks about rollouts beside the decisions, again and again.

Asking takes as long as whoever is asked takes, so no decision waits for it: it takes what is known. Every subject is
asked about in a task of its own, so that one whose answer does not come keeps no other's waiting; a semaphore bounds
how many are asked about at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from operators.ports import Clock

LIMIT: Final = 10.0
"""Seconds after which a question counts as not answered."""

log = logging.getLogger(__name__)


class Question(Protocol):
    """What is to be known. Two questions that are equal have the same answer."""

    @property
    def interval(self) -> float:
        """Seconds from one answer to the next time it is asked."""


K = TypeVar("K")
Q = TypeVar("Q", bound=Question)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Known(Generic[A]):
    """An answer, None when there was none, and when that became known (seconds since the epoch)."""

    question: Question
    answer: A | None
    at: float


class AskLoop(Generic[K, Q, A]):
    """Asks one question about each subject.

    `ask` is given the subject, the question, and the last answer to this very question, for answers that grow. It
    answers None when nobody can be asked. `on_change` is called with each subject about which something else is known.
    """

    def __init__(
        self,
        ask: Callable[[K, Q, A | None], Awaitable[A | None]],
        on_change: Callable[[K], None],
        clock: Clock,
        at_once: asyncio.Semaphore,
    ) -> None:
        self._ask = ask
        self._on_change = on_change
        self._clock = clock
        self._at_once = at_once
        self._wanted: dict[K, Q] = {}
        self._known: dict[K, _Known[A]] = {}
        self._news = asyncio.Event()

    def want(self, subject: K, question: Q | None) -> None:
        """Ask this about a subject from now on; None: nothing. The answer to another question is forgotten."""
        if self._wanted.get(subject) == question:
            return
        self._known.pop(subject, None)
        self._wanted.pop(subject, None)
        if question is not None:
            self._wanted[subject] = question
        self._news.set()

    def known(self, subject: K, question: Q | None, max_age: float) -> A | None:
        """The newest answer to this question, of the last `max_age` seconds.

        None when there is none, when the question was not answered the last time, and when another one is being asked.
        """
        known = self._known.get(subject)
        if known is None or known.question != question or self._clock.now() - known.at > max_age:
            return None
        return known.answer

    async def run(self) -> None:
        """Ask until cancelled."""
        asking: dict[K, tuple[Q, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for subject, (question, task) in tuple(asking.items()):
                    if self._wanted.get(subject) != question:
                        task.cancel()
                        del asking[subject]
                for subject, question in self._wanted.items():
                    if subject not in asking:
                        asking[subject] = question, tasks.create_task(self._asking(subject, question))
                await self._news.wait()
                self._news.clear()

    async def _asking(self, subject: K, question: Q) -> None:
        while True:
            async with self._at_once:
                before = self._known.get(subject)
                answer = await self._answer(subject, question, before.answer if before is not None else None)
            if self._wanted.get(subject) != question:
                return  # nobody wants to know that any more
            self._known[subject] = _Known(question, answer, self._clock.now())
            if before is None or before.answer != answer:
                self._on_change(subject)
            await asyncio.sleep(question.interval)

    async def _answer(self, subject: K, question: Q, before: A | None) -> A | None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIMIT):
                    return await self._ask(subject, question, before)
        except Exception:
            # A defect that shows with one subject must not stop the others, nor the operator.
            log.exception("asking about %s failed", subject)
        return None
