"""What the log says while something fails, and how long the pauses are."""

import logging

import pytest

from router.pod import retry
from router.pod.retry import Retry


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes any time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    return made


async def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success(pauses: list[float]) -> None:
    trying = Retry("nothing works", first=1.0, longest=5.0)
    for _ in range(4):
        await trying.pause("no")
    trying.over()
    await trying.pause("no")
    assert pauses == [1.0, 2.0, 4.0, 5.0, 1.0]


async def test_a_failure_is_told_when_it_begins_when_its_reason_changes_and_when_it_is_over(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    trying = Retry("nothing works")
    with caplog.at_level(logging.INFO):
        for why in ("no", "no", "never", "never"):
            await trying.pause(why)
        trying.over()
        trying.over()
    assert caplog.messages == [
        "nothing works: no; trying again",
        "nothing works: never; trying again",
        "over: nothing works",
    ]
