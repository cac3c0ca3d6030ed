"""The SQLite file behind local mode: rollouts with their status, and the events told about them.

Several processes use the file at once (the CLI writes, the control loop reads and writes), so every change is one
`BEGIN IMMEDIATE` transaction and waits for its turn. Writes are rare and each is something that a person asked for or
the operator decided: `synchronous=FULL` makes them survive a power cut.
"""

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from operators.api import RolloutKey
from operators.plan import Event
from operators.ports import StoreUnavailable
from operators.stored import Applied, StoredEvent

BUSY_SECONDS: Final = 5.0
"""How long a process waits for another one's transaction."""
EVENTS_KEPT: Final = 200
"""Events kept per rollout; older ones go."""

_MIGRATIONS: Final = (
    # From nothing to 1.
    """
    CREATE TABLE rollouts (
        namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
        version INTEGER NOT NULL, generation INTEGER NOT NULL,
        created_at REAL NOT NULL, deleted_at REAL,
        spec TEXT NOT NULL, annotations TEXT NOT NULL, status TEXT,
        PRIMARY KEY (namespace, name)
    ) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL,
        reason TEXT NOT NULL, message TEXT NOT NULL, warning INTEGER NOT NULL,
        FOREIGN KEY (namespace, name) REFERENCES rollouts ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX events_by_rollout ON events (namespace, name, id);
    """,
)
SCHEMA: Final = len(_MIGRATIONS)
"""The version of the tables that this code reads and writes, kept in `PRAGMA user_version`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout as it is stored. Times are seconds since the epoch; `version` changes with every write to the row."""

    key: RolloutKey
    uid: str
    version: int
    generation: int
    created_at: float
    deleted_at: float | None
    spec: Mapping[str, object]
    annotations: Mapping[str, str]
    status: Mapping[str, object] | None


class Database:
    """The open file. Not for two threads at once.

    Every method raises `StoreUnavailable` with a sentence when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; make it when there is none. Raises `StoreUnavailable` when it is damaged or too new."""
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Autocommit: transactions are begun and ended here, in words. One thread at a time, but not always one.
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                self._connection.execute("PRAGMA foreign_keys=ON")
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self) -> list[Row]:
        """All rollouts, by namespace and name."""
        with self._explained():
            return [_row(columns) for columns in self._connection.execute(f"{_SELECT} ORDER BY namespace, name")]

    def row(self, key: RolloutKey) -> Row | None:
        """One rollout, None when there is none of this name."""
        with self._explained():
            columns = self._connection.execute(
                f"{_SELECT} WHERE namespace = ? AND name = ?", (key.namespace, key.name)
            ).fetchone()
            return None if columns is None else _row(columns)

    def apply(
        self,
        key: RolloutKey,
        spec: Mapping[str, object],
        annotations: Mapping[str, str],
        resolved: Mapping[str, str],
        now: float,
    ) -> Applied:
        """Store what a person wants.

        `annotations` are added to those that are there. `resolved` are annotations that belong to the spec: what a
        mutable reference in it meant when it was applied; they and the spec are replaced, and a change in them is a
        new generation.
        """
        with self._changing():
            return self._apply(key, spec, annotations, resolved, now)

    def patch(self, key: RolloutKey, changes: Mapping[str, object], now: float) -> Applied | None:
        """Replace fields of the spec. None when there is no such rollout."""
        with self._changing():
            row = self.row(key)
            return None if row is None else self._apply(key, {**row.spec, **changes}, {}, {}, now)

    def annotate(self, key: RolloutKey, changes: Mapping[str, str | None]) -> bool:
        """Set annotations, or take them away (None). False when there is no such rollout."""
        with self._changing():
            return self._annotate(key, changes)

    def put_status(self, key: RolloutKey, status: Mapping[str, object], consumed: Iterable[str]) -> None:
        """Replace the status and take the annotations in `consumed` away, both or neither."""
        with self._changing():
            self._connection.execute(
                "UPDATE rollouts SET status = ?, version = version + 1 WHERE namespace = ? AND name = ?",
                (_json(status), key.namespace, key.name),
            )
            if gone := dict.fromkeys(consumed):
                self._annotate(key, gone)

    def delete(self, key: RolloutKey, now: float) -> bool:
        """Mark a rollout as to be deleted. False when there is no such rollout."""
        with self._changing():
            changed = self._connection.execute(
                "UPDATE rollouts SET deleted_at = coalesce(deleted_at, ?), version = version + 1"
                " WHERE namespace = ? AND name = ?",
                (now, key.namespace, key.name),
            )
            return changed.rowcount > 0

    def forget(self, key: RolloutKey) -> None:
        """Remove a rollout and its events."""
        with self._changing():
            self._connection.execute("DELETE FROM rollouts WHERE namespace = ? AND name = ?", (key.namespace, key.name))

    def record(self, key: RolloutKey, events: Sequence[Event], now: float) -> None:
        """Keep the newest `EVENTS_KEPT` events of a rollout; those of one that is gone are gone, too."""
        with self._changing():
            if self.row(key) is None:
                return
            self._connection.executemany(
                "INSERT INTO events (namespace, name, at, reason, message, warning) VALUES (?, ?, ?, ?, ?, ?)",
                [(key.namespace, key.name, now, event.reason, event.message, int(event.warning)) for event in events],
            )
            self._connection.execute(
                "DELETE FROM events WHERE namespace = ?1 AND name = ?2 AND id NOT IN"
                " (SELECT id FROM events WHERE namespace = ?1 AND name = ?2 ORDER BY id DESC LIMIT ?3)",
                (key.namespace, key.name, EVENTS_KEPT),
            )

    def events(self, key: RolloutKey) -> list[StoredEvent]:
        """The events of a rollout, oldest first."""
        with self._explained():
            found = self._connection.execute(
                "SELECT at, reason, message, warning FROM events WHERE namespace = ? AND name = ? ORDER BY id",
                (key.namespace, key.name),
            )
            return [StoredEvent(at, Event(reason, message, bool(warning))) for at, reason, message, warning in found]

    def data_version(self) -> int:
        """A number that changes when another connection wrote to the file; this one's own writes do not count."""
        with self._explained():
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def _apply(
        self,
        key: RolloutKey,
        spec: Mapping[str, object],
        annotations: Mapping[str, str],
        resolved: Mapping[str, str],
        now: float,
    ) -> Applied:
        before = self.row(key)
        if before is None:
            self._connection.execute(
                "INSERT INTO rollouts VALUES (?, ?, ?, 1, 1, ?, NULL, ?, ?, NULL)",
                (key.namespace, key.name, str(uuid.uuid4()), now, _json(spec), _json({**annotations, **resolved})),
            )
            return Applied.CREATED
        after = {**before.annotations, **annotations, **resolved}
        meant = before.spec != spec or any(before.annotations.get(name) != resolved[name] for name in resolved)
        if not meant and after == before.annotations:
            return Applied.UNCHANGED
        self._connection.execute(
            "UPDATE rollouts SET spec = ?, annotations = ?, generation = generation + ?, version = version + 1"
            " WHERE namespace = ? AND name = ?",
            (_json(spec), _json(after), int(meant), key.namespace, key.name),
        )
        return Applied.CONFIGURED

    def _annotate(self, key: RolloutKey, changes: Mapping[str, str | None]) -> bool:
        before = self.row(key)
        if before is None:
            return False
        after = {**before.annotations, **changes}
        self._connection.execute(
            "UPDATE rollouts SET annotations = ?, version = version + 1 WHERE namespace = ? AND name = ?",
            (_json({name: value for name, value in after.items() if value is not None}), key.namespace, key.name),
        )
        return True

    def _migrate(self) -> None:
        with self._changing():
            found: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA:
                raise StoreUnavailable(
                    f"{self._path} was written by a newer Tidegate (its tables are version {found}, this Tidegate knows"
                    f" {SCHEMA}); install the newer Tidegate again, or name another folder in TIDEGATE_HOME"
                )
            for migration in _MIGRATIONS[found:]:
                for statement in migration.split(";"):
                    self._connection.execute(statement)
            if found != SCHEMA:
                self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in a sentence what SQLite or the file system means."""
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be made: {error.strerror}") from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                reason = f"another process has kept it locked for {BUSY_SECONDS:g} seconds; try again"
            else:
                reason = f"{error}; check the folder's permissions and free space"
            raise StoreUnavailable(f"{self._path} cannot be used: {reason}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise StoreUnavailable(
                f"{self._path} is damaged ({error}); move it away and apply the manifests again"
            ) from error


_SELECT: Final = (
    "SELECT namespace, name, uid, version, generation, created_at, deleted_at, spec, annotations, status FROM rollouts"
)


def _row(columns: tuple[str, str, str, int, int, float, float | None, str, str, str | None]) -> Row:
    namespace, name, uid, version, generation, created_at, deleted_at, spec, annotations, status = columns
    return Row(
        key=RolloutKey(namespace, name),
        uid=uid,
        version=version,
        generation=generation,
        created_at=created_at,
        deleted_at=deleted_at,
        spec=json.loads(spec),
        annotations=json.loads(annotations),
        status=None if status is None else json.loads(status),
    )


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
