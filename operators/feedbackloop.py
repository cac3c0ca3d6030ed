"""Knows what people said about the answers of the versions that are being compared.

Asking takes as long as the monitor takes, so it is done beside the decisions and never holds them up. One rollout's
answer that does not come keeps no other's waiting.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from operators.api import RolloutKey
from operators.observe import VersionFeedback
from operators.ports import FeedbackPort

LIMIT: Final = 10.0
"""Seconds after which a question counts as not answered."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be known: about answers given since `since` (seconds since the epoch), every `interval` seconds."""

    since: float
    interval: float


class FeedbackLoop:
    """Asks what is wanted, again and again. `on_change` is called with the rollouts about which something new is known.

    Without a port nothing is ever known.
    """

    def __init__(self, port: FeedbackPort | None, on_change: Callable[[Sequence[RolloutKey]], None]) -> None:
        self._port = port
        self._on_change = on_change
        self._wanted: dict[RolloutKey, Question] = {}
        self._known: dict[RolloutKey, Mapping[str, VersionFeedback] | None] = {}
        self._news = asyncio.Event()

    def want(self, key: RolloutKey, question: Question | None) -> None:
        """Ask this about a rollout from now on; None: nothing."""
        if self._wanted.get(key) == question:
            return
        self._known.pop(key, None)
        self._wanted.pop(key, None)
        if question is not None:
            self._wanted[key] = question
        self._news.set()

    def known(self, key: RolloutKey) -> Mapping[str, VersionFeedback] | None:
        """The newest answer about a rollout; None while there is none, or when the last question was not answered."""
        return self._known.get(key)

    async def run(self) -> None:
        """Ask until cancelled: every rollout in a task of its own."""
        if self._port is None:
            return
        asking: dict[RolloutKey, tuple[Question, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for key, (question, task) in tuple(asking.items()):
                    if self._wanted.get(key) != question:
                        task.cancel()
                        del asking[key]
                for key, question in self._wanted.items():
                    if key not in asking:
                        asking[key] = question, tasks.create_task(self._ask(self._port, key, question))
                await self._news.wait()
                self._news.clear()

    async def _ask(self, port: FeedbackPort, key: RolloutKey, question: Question) -> None:
        while True:
            answer = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIMIT):
                    answer = await port.feedback(key, question.since)
            if self._wanted.get(key) != question:
                return  # nobody wants to know that any more
            self._known[key] = answer
            self._on_change([key])
            await asyncio.sleep(question.interval)
