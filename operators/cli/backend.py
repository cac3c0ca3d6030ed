"""What the commands need from wherever rollouts are kept. Kubernetes brings another one than a single machine."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from operators.api import ModelRollout, RolloutKey
from operators.local.admission import Admitted
from operators.local.database import Applied, StoredEvent
from operators.manifests import Document


class Backend(Protocol):
    """A store of rollouts as a person uses it. Methods raise `PortUnavailable` when it cannot be reached."""

    def rollouts(self) -> Sequence[ModelRollout]:
        """All rollouts with their status, by key."""

    def rollout(self, key: RolloutKey) -> ModelRollout | None:
        """One rollout, None when there is none of this name."""

    def events(self, key: RolloutKey) -> Sequence[StoredEvent]:
        """What has been told about a rollout, oldest first."""

    def admit(self, document: Document) -> Admitted:
        """Complete and check a manifest without storing it. Raises `InvalidManifest`."""

    def applied(self, admitted: Admitted) -> ModelRollout:
        """The rollout as it would be if the manifest was stored now."""

    def apply(self, admitted: Admitted) -> Applied:
        """Store a manifest."""

    def annotate(self, key: RolloutKey, annotations: Mapping[str, str]) -> None:
        """Leave a command on a rollout that exists."""

    def set_paused(self, key: RolloutKey, paused: bool) -> None:
        """Change `spec.paused` of a rollout that exists."""

    def delete(self, key: RolloutKey) -> bool:
        """Ask for the end of a rollout. False when there is none of this name."""

    def awake(self) -> bool:
        """Whether an operator is there to act on what is stored; it is told to look."""

    def changes(self, seconds: float) -> Iterator[bool]:
        """Forever, every so many seconds: whether something was written since the last time."""
