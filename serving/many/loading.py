"""Loads members, one at a time: the libraries that load models are not made for two at once.

Each load has a thread of its own, so that one which never ends can be given up: its thread is left behind, and what it
finds is not wanted any more.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np

from serving.errors import ModelLoadError, UnloadableModel
from serving.protocol.base import default_outputs
from serving.runtimes import LoadedModel
from serving.runtimes.warmup import ones

LOAD_SECONDS: Final = 150.0
"""How long a load may take. A native model file is tried in a process first, which has 120 seconds."""

_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, by how many bytes the process grew while it was loaded, and how many seconds a call of it took then.

    The latter is None where no request is known that it would take.
    """

    model: LoadedModel
    growth: int
    took: float | None


class Loader:
    """Belongs to the loop's thread. `load` is called on another; `begin` before it and `done` after it are not."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        load: Callable[[str], LoadedModel],
        begin: Callable[[str], None],
        done: Callable[[str, Loaded | ModelLoadError], None],
        seconds: float = LOAD_SECONDS,
    ) -> None:
        self._loop = loop
        self._load = load
        self._begin = begin
        self._done = done
        self._seconds = seconds
        self._asked: deque[str] = deque()
        self._current: object | None = None
        """Tells the load under way from those that were given up."""

    def ask(self, name: str) -> None:
        """Load a member when its turn comes. It must not be asked for already."""
        self._asked.append(name)
        self._next()

    def withdraw(self, name: str) -> bool:
        """Whether its turn had not come, and now will not."""
        if name not in self._asked:
            return False
        self._asked.remove(name)
        return True

    def _next(self) -> None:
        if self._current is not None or not self._asked:
            return
        name = self._asked.popleft()
        self._current = load = object()
        self._begin(name)
        late = UnloadableModel(f"loading it took more than {self._seconds:g} seconds, and was given up")
        timer = self._loop.call_later(self._seconds, self._finish, load, name, late)

        def run() -> None:
            found = self._try(name)
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                self._loop.call_soon_threadsafe(self._finish, load, name, found, timer)

        threading.Thread(target=run, name=f"tidegate-load-{name}", daemon=True).start()

    def _try(self, name: str) -> Loaded | ModelLoadError:
        before = resident_bytes()
        try:
            model = self._load(name)
        except ModelLoadError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - a model is foreign code
            return UnloadableModel(f"loading it raised {type(error).__name__}: {error}")
        took = _time(model)
        return Loaded(model, max(0, resident_bytes() - before), took)

    def _finish(
        self, load: object, name: str, found: Loaded | ModelLoadError, timer: asyncio.TimerHandle | None = None
    ) -> None:
        if load is not self._current:
            return  # it was given up
        if timer is not None:
            timer.cancel()
        self._current = None
        self._done(name, found)
        self._next()


def _time(model: LoadedModel) -> float | None:
    """How long one more call takes. That of the warm-up, in the load, did what is slow only once."""
    row = ones(model.signature)
    if row is None:
        return None
    began = monotonic()
    try:
        with np.errstate(all="ignore"):
            model.predict(row, default_outputs(model.signature))
    except BaseException:  # noqa: BLE001 - a model is foreign code, and may be right about other rows
        return None
    return monotonic() - began


def resident_bytes() -> int:
    """What this process has in memory; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
