"""What a strategy is: how much of the traffic a candidate gets in each step, and when a step is over.

A strategy is a pure value. It knows nothing of routers, replicas or status: `operators.reconcile` asks it about one
step at a time, carries the answer out, and does what is common to all: readiness, acknowledged routes, deadlines,
aborting on failed checks, promoting after the last step. A new strategy is one file with one class, and a line in
`operators.strategies.strategy_for`.
"""

from dataclasses import dataclass
from typing import Protocol

from operators.status import Verdict
from router.ir import BASIS_POINTS


@dataclass(frozen=True, slots=True)
class Shares:
    """What a candidate is meant to get.

    In basis points: `weight` of the live requests, and `shadow` of them as copies. `selected`: the requests that the
    manifest selects for it. `replicas`: its size, where that is not the manifest's.
    """

    weight: int = 0
    shadow: int = 0
    selected: bool = False
    replicas: int | None = None


ALL = Shares(weight=BASIS_POINTS)
"""What a candidate has after the last step, right before it becomes stable."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a candidate stands, as far as a strategy must know it.

    `settled`: every router runs the route that gives the candidate the shares of this step. `sized`: it has all the
    replicas that it is meant to have. `verdict` is the worst of all checks, None when there is nothing to judge: no
    checks, or no requests that could reach the candidate. `winner` is the arm that has won the experiment, if any.
    `awaits_promotion`: the step has come to a point that only a person gets it past. `promoted`: a person does.
    """

    now: float
    step: int
    started_at: float
    settled: bool
    sized: bool
    verdict: Verdict | None
    winner: str = ""
    awaits_promotion: bool = False
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The step goes on. `until` is when time alone may end it; `person`: nothing else than `promote` does."""

    message: str
    until: float | None = None
    person: bool = False


@dataclass(frozen=True, slots=True)
class Advance:
    """The step is over. `fresh`: traffic is divided differently from now on, so evidence begins anew."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Abort:
    """The candidate must go."""

    message: str


Move = Wait | Advance | Abort


class Strategy(Protocol):
    """A way from a ready candidate to a stable version. Steps count from 0."""

    @property
    def kind(self) -> str:
        """What tells its steps from another strategy's. A candidate among the steps of another kind starts over."""

    @property
    def count(self) -> int:
        """The number of steps. After the last one the candidate gets everything and becomes stable."""

    def title(self, step: int) -> str:
        """What the step does, for people."""

    def shares(self, step: int, before: Shares) -> Shares:
        """What the candidate is meant to get in this step, when it was `before` so far."""

    def min_samples(self, step: int) -> int:
        """The number of requests without which no check passes in this step."""

    def judge(self, stage: Stage) -> Move:
        """Whether the step is over. A failed check is not the strategy's business: it aborts before."""
