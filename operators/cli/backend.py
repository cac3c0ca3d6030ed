"""What the commands need from wherever rollouts are kept: on this machine (`local`) or in a cluster (`kube`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from operators.api import ModelRollout, RolloutKey
from operators.manifests import Document
from operators.stored import Admitted, Applied, StoredEvent


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody acts on what is stored: why, when that ends, and what to do about it."""

    reason: str
    until: str
    hint: str


@dataclass(frozen=True, slots=True)
class Door:
    """A URL that answers, and the bearer token that it wants, None for none."""

    url: str
    token: str | None = field(default=None, repr=False)


class Backend(Protocol):
    """A store of rollouts as a person uses it.

    Methods raise `PortUnavailable` when it cannot be reached, and `CliError` when it refuses.
    """

    @property
    def namespace(self) -> str:
        """The namespace that is meant when none is named."""

    def rollouts(self, namespace: str | None) -> Sequence[ModelRollout]:
        """The rollouts of a namespace, or of all (None), with their status, by key."""

    def rollout(self, key: RolloutKey) -> ModelRollout | None:
        """One rollout, None when there is none of this name."""

    def follow(self, namespace: str | None, name: str | None, seconds: float) -> Iterator[Sequence[ModelRollout]]:
        """The rollouts (only that of this name, if one is given): now, after every change and every so many seconds."""

    def events(self, rollout: ModelRollout) -> Sequence[StoredEvent]:
        """What has been told about a rollout, oldest first."""

    def admit(self, document: Document, force: bool = False) -> Admitted:
        """Complete and check a manifest without storing it. Raises `InvalidManifest`.

        `force`: fields that somebody else has set are no problem.
        """

    def applied(self, admitted: Admitted) -> ModelRollout:
        """The rollout as it would be if the manifest was stored now."""

    def apply(self, admitted: Admitted, force: bool = False) -> Applied:
        """Store a manifest."""

    def annotate(self, key: RolloutKey, annotations: Mapping[str, str]) -> None:
        """Leave a command on a rollout that exists."""

    def set_paused(self, key: RolloutKey, paused: bool) -> None:
        """Change `spec.paused` of a rollout that exists."""

    def delete(self, key: RolloutKey) -> bool:
        """Ask for the end of a rollout. False when there is none of this name."""

    def idle(self) -> Idle | None:
        """Tell the operator to look; an answer only when it is certain that there is none."""

    def monitor(self, namespace: str) -> AbstractContextManager[Door]:
        """The way to the monitor of a namespace's rollouts, for as long as the block lasts."""

    def router(self, namespace: str) -> AbstractContextManager[Door]:
        """The way that requests to a namespace's models take, for as long as the block lasts."""
