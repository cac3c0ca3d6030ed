"""The backend for one machine: the SQLite file in the state folder, and a tap on the control loop's shoulder."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from operators.api import ModelRollout, RolloutKey
from operators.local.admission import Admitted, admit
from operators.local.database import Applied, Database, Row, StoredEvent
from operators.local.home import Home
from operators.local.store import parse_row
from operators.local.wake import wake
from operators.manifests import Document


class LocalBackend:
    """Rollouts of this machine's user."""

    def __init__(self, home: Home) -> None:
        """Open the store; make it when there is none."""
        self._home = home
        self._database = Database(home.store)

    def rollouts(self) -> Sequence[ModelRollout]:
        """All rollouts with their status, by key."""
        return [parse_row(row) for row in self._database.rows()]

    def rollout(self, key: RolloutKey) -> ModelRollout | None:
        """One rollout, None when there is none of this name."""
        row = self._database.row(key)
        return None if row is None else parse_row(row)

    def events(self, key: RolloutKey) -> Sequence[StoredEvent]:
        """What has been told about a rollout, oldest first."""
        return self._database.events(key)

    def admit(self, document: Document) -> Admitted:
        """Complete and check a manifest without storing it."""
        return admit(document)

    def applied(self, admitted: Admitted) -> ModelRollout:
        """The rollout as it would be if the manifest was stored now."""
        annotations = admitted.rollout.metadata.annotations
        row = self._database.row(admitted.rollout.key)
        if row is None:
            new = Row(admitted.rollout.key, "", 1, 1, time.time(), None, admitted.spec, annotations, None)
            return parse_row(new)
        generation = row.generation + (row.spec != admitted.spec)
        merged = {**row.annotations, **annotations}
        return parse_row(replace(row, generation=generation, spec=admitted.spec, annotations=merged))

    def apply(self, admitted: Admitted) -> Applied:
        """Store a manifest."""
        annotations = admitted.rollout.metadata.annotations
        return self._database.apply(admitted.rollout.key, admitted.spec, annotations, admitted.resolved, time.time())

    def annotate(self, key: RolloutKey, annotations: Mapping[str, str]) -> None:
        """Leave a command on a rollout that exists."""
        self._database.annotate(key, dict(annotations))

    def set_paused(self, key: RolloutKey, paused: bool) -> None:
        """Change `spec.paused` of a rollout that exists."""
        self._database.patch(key, {"paused": paused}, time.time())

    def delete(self, key: RolloutKey) -> bool:
        """Mark a rollout; without a control loop nothing runs for it, and it can go at once."""
        found = self._database.delete(key, time.time())
        if found and not self.awake():
            self._database.forget(key)
        return found

    def awake(self) -> bool:
        """Whether a control loop is running; it looks at the store now."""
        return wake(self._home.control_socket)

    def changes(self, seconds: float) -> Iterator[bool]:
        """Forever, every so many seconds: whether another process has written to the store since the last time."""
        seen = self._database.data_version()
        while True:
            time.sleep(seconds)
            before, seen = seen, self._database.data_version()
            yield seen != before
