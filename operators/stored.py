"""What goes into a store of rollouts and comes out of it beside them, on one machine as on a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from operators.api import ModelRollout
from operators.plan import Event


@dataclass(frozen=True, slots=True)
class Admitted:
    """A manifest that may be stored.

    `content` is the manifest with an absolute model URI, `rollout` what it means, `resolved` the annotations that
    belong to its spec: what the model's URI stood for just now.
    """

    place: str
    content: Mapping[str, object]
    rollout: ModelRollout
    resolved: Mapping[str, str]

    @property
    def spec(self) -> Mapping[str, object]:
        """The spec as it was written, the model's URI made absolute."""
        spec = self.content["spec"]
        return spec if isinstance(spec, Mapping) else {}


class Applied(Enum):
    """What an `apply` did, in kubectl's words."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, and when it was told (seconds since the epoch)."""

    at: float
    event: Event
