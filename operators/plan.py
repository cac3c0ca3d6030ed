"""What the operator has decided about one rollout. A plan says what should be; applying it twice changes nothing."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

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
class Promotion:
    """The value of a promotion: `step`, `full` or `variant=NAME`, each with `,force` behind it if checks may fail."""

    full: bool = False
    variant: str | None = None
    force: bool = False

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read an annotation's value. Raises `ValueError`."""
        extent, *options = value.split(",")
        kind, _, name = extent.partition("=")
        if options not in ([], ["force"]) or not (extent in ("step", "full") or (kind == "variant" and name)):
            raise ValueError(f"{value!r} is neither step, full nor variant=NAME, nor one of them with ,force")
        return cls(full=extent == "full", variant=name or None, force=bool(options))

    def __str__(self) -> str:
        """What `parse` reads."""
        extent = "full" if self.full else "step" if self.variant is None else f"variant={self.variant}"
        return f"{extent},force" if self.force else extent


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
