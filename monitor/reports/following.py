"""Follows a version's records as they come, to say how far they have moved from a reference. Pure.

Every record is looked at once: the newest ones are kept as a window, and each column has a drift watch, which needs all
values in order and nothing of the past but its own state. After a restart the records are read again.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

import orjson

from monitor.conformal import DriftWatch
from monitor.drift import compare
from monitor.evidence import Move
from monitor.profiles import CategoricalColumn, NumericColumn, Profile, hash_of
from monitor.reports.tables import Columns, Row, columns, features, predictions

WINDOW: Final = 5_000
"""Requests whose profile is compared with the reference: the newest."""
CELLS: Final = 500_000
"""Values in a window: one with very many columns has fewer requests."""
_SETTLED: Final = 1e-9
"""A watch ends when its evidence is that strong: no gate asks for more, and it need not be fed for ever."""


class Family(Enum):
    """Columns that are judged together."""

    FEATURES = "features"
    PREDICTIONS = "predictions"

    @property
    def recorded(self) -> str:
        """The column of `records` that they are read from."""
        return "inputs" if self is Family.FEATURES else "outputs"

    @property
    def read(self) -> Callable[[str, Columns], Row]:
        """How a request's row is read from what was recorded."""
        return features if self is Family.FEATURES else predictions


class Entry(NamedTuple):
    """A record: `content` is its inputs or outputs as JSON, None when they were not recorded."""

    id: int
    request_id: str
    content: str | None


class Follower:
    """One family of columns of one version. May be used from several threads."""

    def __init__(self, reference: Profile, family: Family) -> None:
        self._reference = reference
        self._read = family.read
        self._watches = {name: watch for name, column in reference.columns.items() if (watch := _watch(name, column))}
        width = max(1, len(reference.columns))
        self._window: deque[tuple[str, Row]] = deque(maxlen=max(1, min(WINDOW, CELLS // width)))
        self._lock = threading.Lock()
        self._moves: tuple[Move, ...] | None = None
        self.cursor = 0
        """The last record that was taken."""
        self.step = max(10, min(500, 20_000 // width))
        """Records to be taken at once: less than half a second of work."""

    def take(self, entries: Iterable[Entry]) -> None:
        """Take the next records, in the order in which they were stored; those that were taken before are ignored."""
        with self._lock:
            fresh = [entry for entry in entries if entry.id > self.cursor]
            if not fresh:
                return
            rows = rows_of(fresh, self._read)
            for name, watch in self._watches.items():
                watch.update([row.get(name) for _, row in rows])
            self._window.extend(rows)
            self.cursor = fresh[-1].id
            self._moves = None if rows else self._moves

    def pass_over(self, last: int) -> None:
        """Take no record up to this one any more."""
        with self._lock:
            self.cursor = max(self.cursor, last)

    @property
    def samples(self) -> int:
        """Requests in the window."""
        return len(self._window)

    def moves(self) -> tuple[Move, ...]:
        """Every column of the reference, the one that moved farthest first."""
        with self._lock:
            if self._moves is None:
                evidence = {name: watch.result.e_value for name, watch in self._watches.items()}
                found = compare(self._reference, profile(list(self._window), self._reference)).features
                moves = [
                    Move(one.feature, one.samples, one.psi, evidence.get(one.feature, 1.0))
                    for one in found
                    if one.feature in self._reference.columns
                ]
                self._moves = tuple(sorted(moves, key=lambda one: (one.psi is None, -(one.psi or 0.0), one.name)))
            return self._moves


def rows_of(entries: Sequence[Entry], read: Callable[[str, Columns], Row]) -> list[tuple[str, Row]]:
    """The rows of those records that have values, each with its request's id."""
    return [
        (one.request_id, read(one.request_id, orjson.loads(one.content))) for one in entries if one.content is not None
    ]


def profile(rows: Sequence[tuple[str, Row]], reference: Profile) -> Profile:
    """The profile of these rows, their columns read as those of the reference are."""
    return Profile.of(columns([row for _, row in rows]), reference.kinds, [name for name, _ in rows] if rows else None)


def _watch(name: str, column: NumericColumn | CategoricalColumn) -> DriftWatch | None:
    """None for a column that has too few values, or too many categories, to be watched."""
    try:
        return DriftWatch(column, alpha=_SETTLED, seed=hash_of(name))
    except ValueError:
        return None
