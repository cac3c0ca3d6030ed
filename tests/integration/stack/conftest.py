"""A whole stack, started once as a user starts it: `tidegate up` with Ray, Envoy and the control process."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stackkit import Stack, free_port, healthy


@pytest.fixture
def new_stack() -> Iterator[Callable[..., Stack]]:
    """Makes stacks that are not started yet, on folders of their own; whatever was started is stopped at the end."""
    made: list[Stack] = []

    def make(home: Path | None = None) -> Stack:
        stack = Stack(home or Path(tempfile.mkdtemp(prefix="tg-")), free_port())
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
        running.until("iris", healthy)
        yield running
    finally:
        _clean(running)


def _clean(stack: Stack) -> None:
    if stack.process is not None and stack.process.poll() is None:
        stack.stop()
    shutil.rmtree(stack.home, ignore_errors=True)
