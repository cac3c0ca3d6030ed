"""The ways in which the controller touches the world. Local mode and Kubernetes each bring their own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.evidence import Evidence
from operators.api import ModelRollout, PrometheusQuery, RolloutKey, WebQuery
from operators.observe import VersionFeedback
from operators.plan import Command, Event, Plan
from operators.status import RolloutStatus
from router.ir import BackendKey, Route, RouteKey, RouteStatus, TrafficCounters
from serving.spec import ServeTarget, TargetKey, TargetState


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""


class RolloutStore(Protocol):
    """Where rollouts come from, and where their status goes."""

    async def list(self) -> Sequence[ModelRollout]:
        """All rollouts, each with its status, commands (annotations) and deletion mark."""

    def changes(self) -> AsyncIterator[RolloutKey | None]:
        """Keys whose manifest or commands changed, as it happens; None when any may have."""

    async def put_status(self, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()) -> None:
        """Replace the status and take back the annotations of the commands that it answers.

        Both or neither: a command that came back after its effect was stored would be carried out twice. Raises
        `StoreUnavailable` when it could not be written.
        """

    async def record(self, key: RolloutKey, events: Sequence[Event]) -> None:
        """Keep events for people to read."""

    async def forget(self, key: RolloutKey) -> None:
        """Let a deleted rollout go: nothing runs for it any more."""


class ServePort(Protocol):
    """Ray Serve."""

    async def apply(self, targets: Sequence[ServeTarget]) -> None:
        """Make exactly these versions run (of those that Tidegate owns). Raises `ServeUnavailable`.

        Idempotent and cheap when nothing changed.
        """

    async def observe(self) -> Mapping[TargetKey, TargetState]:
        """Every version that Ray Serve knows of. Raises `ServeUnavailable`."""


class RouterPort(Protocol):
    """The routers."""

    async def publish(self, routes: Sequence[Route]) -> None:
        """Replace the routes of the whole fleet by these."""

    def published(self) -> Mapping[RouteKey, Route]:
        """The routes that were published last, be it by an earlier process: a restart takes nothing back."""

    def status(self, key: RouteKey) -> RouteStatus:
        """What the routers say about the route that was published last under this key."""

    async def traffic(self) -> Mapping[BackendKey, TrafficCounters] | None:
        """Cumulative traffic per version; None when Envoy cannot be read."""

    def changes(self) -> AsyncIterator[RouteKey | None]:
        """Keys whose status changed, as it happens; None when any may have."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What checks want to know of the answers of two versions: these metrics, and agreement within these tolerances."""

    stable: str
    candidate: str
    metrics: tuple[str, ...]
    tolerances: tuple[float, ...] = ()


class MonitorPort(Protocol):
    """The monitor: what experiments need to know of feedback, and checks of predictions."""

    async def feedback(self, key: RolloutKey, since: float) -> Mapping[str, VersionFeedback] | None:
        """Per version, about live answers given since then (seconds since the epoch); None when it cannot be asked."""

    async def evidence(self, key: RolloutKey, since: float, comparison: Comparison) -> Evidence | None:
        """How the versions' answers since then (seconds since the epoch) compare; None when it cannot be asked."""


class MetricsPort(Protocol):
    """Whoever else keeps figures that checks may be held against."""

    async def measure(self, metric: PrometheusQuery | WebQuery) -> float:
        """The metric's value now, a finite number. Raises `NotMeasured`."""


class Observer(Protocol):
    """Whoever measures the controller. It is told, and must not hold the controller up."""

    def queued(self, depth: int) -> None:
        """So many rollouts wait for a decision."""

    def decided(self, rollout: ModelRollout, plan: Plan | None, seconds: float) -> None:
        """A decision about the rollout as it was before took so long; no plan: it failed or could not be stored."""

    def dropped(self, key: RolloutKey) -> None:
        """A rollout is gone."""


class PortUnavailable(Exception):
    """Something outside could not be reached; the rollouts freeze and go on when it is back."""


class ServeUnavailable(PortUnavailable):
    """Ray Serve's REST API did not answer or refused."""


class StoreUnavailable(PortUnavailable):
    """The store of rollouts did not answer or refused."""


class StoreRefused(StoreUnavailable):
    """The store answered, and refused what was asked of it for one rollout. The others are not concerned."""


class NotMeasured(Exception):
    """A metric has no value that could be judged; the text says why, and what to do about it."""
