"""The backend for one machine: the SQLite file in the state folder, and a tap on the control loop's shoulder."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from operators.api import ModelRollout, RolloutKey
from operators.cli.backend import Door, Idle
from operators.cli.errors import CliError
from operators.local.admission import admit
from operators.local.database import Database, Row
from operators.local.home import Home
from operators.local.preflight import LOOPBACK
from operators.local.store import parse_row
from operators.local.wake import wake
from operators.manifests import Document
from operators.stored import Admitted, Applied, StoredEvent

LOOK_SECONDS: Final = 0.25
"""How often the file is asked whether another process wrote to it, while somebody follows."""
_IDLE: Final = Idle("nothing is running here", "at the next `tidegate up`", "start it: tidegate up")


class LocalBackend:
    """Rollouts of this machine's user."""

    namespace: Final = "default"

    def __init__(self, home: Home) -> None:
        """Open the store; make it when there is none."""
        self._home = home
        self._database = Database(home.store)

    def rollouts(self, namespace: str | None) -> Sequence[ModelRollout]:
        """The rollouts of a namespace, or of all."""
        return [parse_row(row) for row in self._database.rows() if namespace in (None, row.key.namespace)]

    def rollout(self, key: RolloutKey) -> ModelRollout | None:
        """One rollout, None when there is none of this name."""
        row = self._database.row(key)
        return None if row is None else parse_row(row)

    def follow(self, namespace: str | None, name: str | None, seconds: float) -> Iterator[Sequence[ModelRollout]]:
        """The rollouts, again whenever another process wrote to the file."""
        while True:
            seen, end = self._database.data_version(), time.monotonic() + seconds
            yield [rollout for rollout in self.rollouts(namespace) if name in (None, rollout.key.name)]
            while self._database.data_version() == seen and time.monotonic() < end:
                time.sleep(min(seconds, LOOK_SECONDS))

    def events(self, rollout: ModelRollout) -> Sequence[StoredEvent]:
        """What has been told about a rollout, oldest first."""
        return self._database.events(rollout.key)

    def admit(self, document: Document, force: bool = False) -> Admitted:  # noqa: ARG002 - there is nobody else
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

    def apply(self, admitted: Admitted, force: bool = False) -> Applied:  # noqa: ARG002
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
        if found and self.idle():
            self._database.forget(key)
        return found

    def idle(self) -> Idle | None:
        """Tap the control loop on the shoulder: it looks at the store now."""
        return None if wake(self._home.control_socket) else _IDLE

    @contextmanager
    def monitor(self, namespace: str) -> Iterator[Door]:  # noqa: ARG002 - there is one for all
        """The monitor that `tidegate up` has started; its address and token are in the state folder."""
        try:
            url, token = (path.read_text().strip() for path in (self._home.monitor_url, self._home.monitor_token))
        except FileNotFoundError as error:
            raise CliError(_IDLE.reason, _IDLE.hint) from error
        yield Door(url, token)

    @contextmanager
    def router(self, namespace: str) -> Iterator[Door]:  # noqa: ARG002
        """Envoy, at the port that `tidegate up` was told."""
        try:
            port = int(json.loads(self._home.stack_file.read_text())["port"])
        except (FileNotFoundError, ValueError) as error:
            raise CliError(_IDLE.reason, _IDLE.hint) from error
        yield Door(f"http://{LOOPBACK}:{port}")
