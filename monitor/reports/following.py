"""Follows a version's records as they come, to say how far they have moved from a reference. Pure.

Every record is looked at once: the newest ones are kept as a window, and each column has a drift watch, which needs all
values in order and nothing of the past but its own state. After a restart the records are read again.

A column may also move by its values going missing, or coming where there were none. So another watch sees whether they
are there, and the index of that is compared, too: the larger of the two moves is told.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

import orjson

from monitor.conformal import MIN_SAMPLES, watches
from monitor.distances import psi
from monitor.drift import FeatureDrift, compare
from monitor.evidence import Move
from monitor.profiles import CategoricalColumn, NumericColumn, Profile, present
from monitor.reports.tables import Columns, Row, columns, features, predictions

WINDOW: Final = 5_000
"""Requests whose profile is compared with the reference: the newest."""
CELLS: Final = 500_000
"""Values in a window: one with very many columns has fewer requests, but as many as are needed to be compared."""
_SETTLED: Final = 1e-9
"""A watch ends when its evidence is that strong: no gate asks for more, and it need not be fed for ever."""
_PRESENCE: Final = 0.1
"""The part of what may go wrong that a column's missing values have; its values have the rest (Boole's inequality)."""


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


class Recorded(NamedTuple):
    """A record, its inputs and outputs as JSON."""

    id: int
    request_id: str
    at: int
    inputs: str | None
    outputs: str | None

    def entry(self, family: Family) -> Entry:
        """What the family is read from."""
        return Entry(self.id, self.request_id, self.inputs if family is Family.FEATURES else self.outputs)


class Follower:
    """One family of columns of one version. May be used from several threads."""

    def __init__(self, reference: Profile, family: Family) -> None:
        self._reference = reference
        self._family = family
        self._watches = watches(reference, _SETTLED)
        self._presence = watches(
            Profile(reference.rows, {n: _there(c) for n, c in reference.columns.items()}), _SETTLED
        )
        width = max(1, len(reference.columns))
        self._room = max(MIN_SAMPLES, min(WINDOW, CELLS // width))
        self._window: deque[tuple[str, Row]] = deque(maxlen=self._room)
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
            rows = rows_of(fresh, self._family)
            for name, column in _columns(rows, self._reference).items():
                if name in self._watches:
                    self._watches[name].update(column)
                if name in self._presence:
                    self._presence[name].update(present(column, self._reference.kinds[name]).tolist())
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
                window = profile(list(self._window), self._reference)
                found = compare(self._reference, window).features
                moves = [self._move(one, window) for one in found if one.feature in self._reference.columns]
                self._moves = tuple(sorted(moves, key=lambda one: (one.psi is None, -(one.psi or 0.0), one.name)))
            return self._moves

    def _move(self, one: FeatureDrift, window: Profile) -> Move:
        """The move of the values, or of their being there. Without an index while enough values may still come."""
        name = one.feature
        evidence, presence = (
            watch[name].result.e_value if name in watch else 1.0 for watch in (self._watches, self._presence)
        )
        values = Move(name, one.samples, one.psi, (1 - _PRESENCE) * evidence)
        known = self._reference.columns[name]
        rows = known.count + known.missing
        if min(rows, window.rows) < MIN_SAMPLES:
            return values
        enough = 2 * MIN_SAMPLES * rows / known.count if known.count >= MIN_SAMPLES else 0.0
        if one.psi is None and window.rows < min(enough, self._room):
            return values
        moved = psi((known.count, known.missing), (one.samples, window.rows - one.samples))
        there = Move(name, one.samples, moved, _PRESENCE * presence)
        return values if one.psi is not None and one.psi >= moved else there


def rows_of(entries: Iterable[Entry], family: Family) -> list[tuple[str, Row]]:
    """The rows of those records that have values, each with its request's id."""
    read = family.read
    return [
        (one.request_id, read(one.request_id, orjson.loads(one.content))) for one in entries if one.content is not None
    ]


def profile(rows: Sequence[tuple[str, Row]], reference: Profile) -> Profile:
    """The profile of these rows, their columns read as those of the reference are."""
    return Profile.of(columns([row for _, row in rows]), reference.kinds, [name for name, _ in rows] if rows else None)


def _columns(rows: Sequence[tuple[str, Row]], reference: Profile) -> dict[str, list[object]]:
    """The reference's columns of these rows."""
    return {name: [row.get(name) for _, row in rows] for name in reference.columns}


def _there(column: NumericColumn | CategoricalColumn) -> CategoricalColumn:
    """In how many rows there is a value, as categories."""
    return CategoricalColumn(column.count + column.missing, 0, {"true": column.count, "false": column.missing})
