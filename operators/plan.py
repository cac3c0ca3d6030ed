"""What the operator has decided about one rollout. A plan says what should be; applying it twice changes nothing."""

from dataclasses import dataclass
from enum import Enum

from operators.status import RolloutStatus
from router.ir import Route
from serving.spec import ServeTarget


class Command(Enum):
    """What a person asked for, by annotation (`tidegate.dev/<value>`) or by the CLI."""

    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"
    UNDO = "undo"

    @property
    def annotation(self) -> str:
        """The annotation that carries the command on a rollout."""
        return f"tidegate.dev/{self.value}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling: becomes a Kubernetes Event and a line of `tidegate describe`."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision about one rollout.

    `targets` are all versions that must run, `route` what the routers must do (None: the route must go). `status` is
    the new status. `requeue_after` is the number of seconds after which time alone may change the decision.
    `consumed` are the commands that have been carried out or refused. `finished`: a deleted rollout holds nothing any
    more and may be forgotten.
    """

    targets: tuple[ServeTarget, ...]
    route: Route | None
    status: RolloutStatus
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    consumed: tuple[Command, ...] = ()
    finished: bool = False
