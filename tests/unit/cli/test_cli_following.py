"""A list that is kept up to date by a watch, whatever happens to the watch."""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest

from operators.cli import following as module
from operators.cli.errors import CliError
from operators.cli.following import Object, following
from operators.ports import StoreUnavailable

LONG = 60.0


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)


def one(name: str, value: int = 0) -> Object:
    return {"metadata": {"namespace": "default", "name": name}, "value": value}


@dataclass
class Server:
    """Answers lists one after another; a watch gives what is put into `events`, until None ends it."""

    lists: list[Any]
    events: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    watched: list[str] = field(default_factory=list)

    def list(self) -> tuple[Sequence[Object], str]:
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, str(len(self.lists))

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        self.watched.append(version)
        while (event := self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def stop(self) -> None:
        self.events.put(None)

    def follow(self, seconds: float = LONG) -> Generator[Sequence[Object]]:
        return following(self, seconds)


def test_every_change_is_given_as_the_whole_list() -> None:
    server = Server([[one("a")]])
    found = server.follow()
    assert next(found) == [one("a")]
    for event in (("ADDED", one("b")), ("MODIFIED", one("a", 1)), ("DELETED", one("b"))):
        server.events.put(event)
    assert [next(found), next(found), next(found)] == [
        [one("a"), one("b")],
        [one("b"), one("a", 1)],
        [one("a", 1)],
    ]


def test_a_watch_begins_at_the_version_of_its_list_and_is_followed_by_another_list() -> None:
    server = Server([[one("a")], [one("a", 1)], []])
    found = server.follow()
    assert next(found) == [one("a")]
    server.events.put(None)
    assert next(found) == [one("a", 1)]
    server.events.put(None)
    assert next(found) == []
    server.events.put(("ADDED", one("c")))
    assert next(found) == [one("c")]
    assert server.watched == ["2", "1", "0"]


def test_without_news_the_same_is_given_again() -> None:
    found = Server([[one("a")]]).follow(seconds=0.01)
    assert [next(found), next(found), next(found)] == [[one("a")]] * 3


def test_a_server_that_goes_away_is_waited_for_and_mentioned_once(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server([[one("a")], StoreUnavailable("away"), StoreUnavailable("away"), [one("a", 1)]])
    found = server.follow()
    assert next(found) == [one("a")]
    server.events.put(StoreUnavailable("away"))
    assert [next(found), next(found)] == [[one("a")], [one("a", 1)]]
    assert capfd.readouterr().err == "away; waiting for it\n"


def test_a_server_that_was_never_there_is_an_error() -> None:
    with pytest.raises(StoreUnavailable, match="away"):
        next(Server([StoreUnavailable("away")]).follow())


def test_a_refusal_is_raised_where_the_list_is_read() -> None:
    server = Server([[one("a")]])
    found = server.follow()
    next(found)
    server.events.put(CliError("no longer allowed"))
    with pytest.raises(CliError, match="no longer allowed"):
        next(found)


def test_whoever_stops_reading_ends_the_watch() -> None:
    server, before = Server([[]]), {*threading.enumerate()}
    found = server.follow()
    next(found)
    (thread,) = {*threading.enumerate()} - before
    found.close()
    assert not thread.is_alive()
