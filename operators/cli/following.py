"""A list of objects of a cluster that is kept up to date by a watch.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, Final, Protocol

from operators.cli.session import warn
from operators.ports import StoreUnavailable

Object = Mapping[str, Any]
News = SimpleQueue[Sequence[Object] | Exception]

_AGAIN_SECONDS: Final = 1.0
"""The time between the end of a watch and the next list."""
_END_SECONDS: Final = 5.0
"""How long the end of a watch is waited for. One that is still there when Python ends could abort the process."""


class Source(Protocol):
    """Where the objects come from. `list` and `watch` raise `StoreUnavailable` when it cannot be reached."""

    def list(self) -> tuple[Sequence[Object], str]:
        """All objects, and the version of this list."""

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        """What has happened since: `ADDED`, `MODIFIED` or `DELETED`, and the object. It may end at any time."""

    def stop(self) -> None:
        """End the watch that is under way, from another thread."""


def following(source: Source, seconds: float) -> Generator[Sequence[Object]]:
    """The objects: now, after every change and every so many seconds, forever.

    A source that cannot be reached is waited for, with a warning, unless it could not be reached at the beginning.
    Every other error is raised.
    """
    news: News = SimpleQueue()
    left = Event()
    thread = Thread(target=_feed, args=(source, news, left), daemon=True, name="watch")  # since a watch blocks
    thread.start()
    try:
        objects = _taken(news.get())
        while True:
            yield objects
            with suppress(Empty):
                one = news.get(timeout=seconds)
                if isinstance(one, StoreUnavailable):
                    warn(f"{one}; waiting for it")
                else:
                    objects = _taken(one)
    finally:
        left.set()
        end = monotonic() + _END_SECONDS
        while thread.is_alive() and monotonic() < end:
            source.stop()
            thread.join(0.05)  # the watch may have begun just after it was stopped


def _feed(source: Source, news: News, left: Event) -> None:
    begun = reached = False
    while not left.is_set():
        try:
            objects, version = source.list()
            begun = reached = True
            known = {_name(one): one for one in objects}
            news.put([*known.values()])
            for kind, one in source.watch(version):
                known.pop(_name(one), None)
                if kind != "DELETED":
                    known[_name(one)] = one
                news.put([*known.values()])
        except StoreUnavailable as error:
            if reached or not begun:
                news.put(error)
            if not begun:
                return
            reached = False
        except Exception as error:  # noqa: BLE001 - it is raised where the objects are taken
            news.put(error)
            return
        left.wait(_AGAIN_SECONDS)


def _taken(news: Sequence[Object] | Exception) -> Sequence[Object]:
    if isinstance(news, Exception):
        raise news
    return news


def _name(one: Object) -> tuple[str, str]:
    return one["metadata"]["namespace"], one["metadata"]["name"]
