"""The SQLite file behaves like a dictionary that survives being closed."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from operators.api import RolloutKey
from operators.local.database import EVENTS_KEPT, Applied, Database, StoredEvent
from operators.plan import Event

KEYS = st.sampled_from([RolloutKey("default", "a"), RolloutKey("default", "b"), RolloutKey("other", "a")])
NAMES = st.sampled_from(["tidegate.dev/promote", "tidegate.dev/abort", "note"])
TEXT = st.text(max_size=5)
SPECS = st.dictionaries(st.sampled_from(["model", "paused"]), st.one_of(st.booleans(), TEXT), max_size=2)
EVENTS = st.lists(st.builds(Event, reason=TEXT, message=TEXT, warning=st.booleans()), max_size=3)


@dataclass
class Model:
    spec: dict[str, Any]
    annotations: dict[str, str]
    generation: int = 1
    status: dict[str, Any] | None = None
    deleted: float | None = None
    events: list[StoredEvent] = field(default_factory=list)


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidegate-store-"))
        self.database = Database(self.folder / "store.db")
        self.model: dict[RolloutKey, Model] = {}
        self.now = 0.0

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def tick(self) -> float:
        self.now += 1.5
        return self.now

    @rule(key=KEYS, spec=SPECS, annotations=st.dictionaries(NAMES, TEXT, max_size=2), digest=TEXT)
    def apply(self, key: RolloutKey, spec: dict[str, Any], annotations: dict[str, str], digest: str) -> None:
        done = self.database.apply(key, spec, annotations, {"digest": digest}, self.tick())
        before = self.model.get(key)
        added = {**annotations, "digest": digest}
        if before is None:
            self.model[key] = Model(spec, added)
            assert done is Applied.CREATED
            return
        meant = spec != before.spec or before.annotations["digest"] != digest
        after = {**before.annotations, **added}
        assert done is (Applied.CONFIGURED if meant or after != before.annotations else Applied.UNCHANGED)
        before.generation += meant
        before.spec, before.annotations = spec, after

    @rule(key=KEYS, changes=st.dictionaries(NAMES, st.one_of(st.none(), TEXT), max_size=3))
    def annotate(self, key: RolloutKey, changes: dict[str, str | None]) -> None:
        found = self.model.get(key)
        assert self.database.annotate(key, changes) is (found is not None)
        if found is not None:
            merged = {**found.annotations, **changes}
            found.annotations = {name: value for name, value in merged.items() if value is not None}

    @rule(key=KEYS, status=SPECS, consumed=st.sets(NAMES))
    def put_status(self, key: RolloutKey, status: dict[str, Any], consumed: set[str]) -> None:
        self.database.put_status(key, status, consumed)
        if key in self.model:
            found = self.model[key]
            found.status = status
            found.annotations = {name: value for name, value in found.annotations.items() if name not in consumed}

    @rule(key=KEYS)
    def delete(self, key: RolloutKey) -> None:
        now, found = self.tick(), self.model.get(key)
        assert self.database.delete(key, now) is (found is not None)
        if found is not None and found.deleted is None:
            found.deleted = now

    @rule(key=KEYS)
    def forget(self, key: RolloutKey) -> None:
        self.database.forget(key)
        self.model.pop(key, None)

    @rule(key=KEYS, events=EVENTS, often=st.sampled_from([1, EVENTS_KEPT]))
    def record(self, key: RolloutKey, events: list[Event], often: int) -> None:
        now = self.tick()
        self.database.record(key, events * often, now)
        if key in self.model:
            kept = [*self.model[key].events, *(StoredEvent(now, event) for event in events * often)]
            self.model[key].events = kept[-EVENTS_KEPT:]
        else:
            assert self.database.events(key) == []

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.database = Database(self.folder / "store.db")

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "database"):
            return
        stored = {row.key: row for row in self.database.rows()}
        assert list(stored) == sorted(self.model)
        for key, model in self.model.items():
            row = stored[key]
            found = (row.spec, row.annotations, row.generation, row.status, row.deleted_at, self.database.events(key))
            assert found == (
                model.spec,
                model.annotations,
                model.generation,
                model.status,
                model.deleted,
                model.events,
            )


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStore = StoreMachine.TestCase
