"""A/B test and bandit between a candidate and stable: shares side by side until one of them has won."""

from dataclasses import dataclass
from typing import Literal

from operators.api.fields import format_share
from operators.api.strategies import CANDIDATE, AbTest, Bandit
from operators.strategies.base import Abort, Advance, Move, Shares, Stage, Wait
from router.ir import BASIS_POINTS

_DIVIDE = 0
"""The step that divides the traffic; the one after it compares."""


@dataclass(frozen=True, slots=True)
class Versus:
    """Two steps: the traffic is divided, then the arms are compared until there is a winner or a person decides.

    `kind` says what is compared: samples of something else are no evidence. `weight` is the candidate's first share in
    basis points; `fixed` says that it stays. `on_winner` and `max_duration` (seconds) are those of the manifest's test;
    a bandit has no end of its own but its `promoteAt`.
    """

    title_of: str
    kind: str
    weight: int
    fixed: bool
    on_winner: Literal["hold", "promote"]
    max_duration: float | None = None

    @property
    def count(self) -> int:
        """The number of steps."""
        return 2

    def title(self, step: int) -> str:
        """What the step does."""
        return f"{self.title_of}, {format_share(self.weight)} at first" if step == _DIVIDE else self.title_of

    def shares(self, step: int, before: Shares) -> Shares:
        """A test's share is fixed; a bandit's is what was computed last."""
        return Shares(self.weight if step == _DIVIDE or self.fixed else before.weight)

    def min_samples(self, step: int) -> int:  # noqa: ARG002 - of every step
        """Checks beside the experiment ask for what they ask themselves."""
        return 0

    def judge(self, stage: Stage) -> Move:
        """Whoever has won, or the end of the time, ends the comparison."""
        if stage.step == _DIVIDE:
            return Advance(fresh=True) if stage.settled else Wait("waiting for the routers to acknowledge it")
        if stage.promoted:
            return Advance()
        if stage.winner and self.on_winner == "hold":
            return Wait(f"{stage.winner} has won, waits for a person", person=True)
        if stage.winner:
            return Advance() if stage.winner == CANDIDATE else Abort("stable has won the experiment")
        if self.max_duration is None:
            return Wait("comparing")
        end = stage.started_at + self.max_duration
        if stage.now < end:
            return Wait("comparing", until=end)
        return Wait("its time is over and nobody has won: waits for a person", person=True)


def ab_test(test: AbTest) -> Versus:
    """The A/B test of a candidate."""
    weight = BASIS_POINTS // 2 if test.weight is None else round(test.weight * 100)
    goal = test.goal
    kind = f"abTest {goal.metric} {goal.within} {goal.direction}"
    return Versus(f"A/B test of {goal.metric}", kind, weight, True, test.on_winner, test.max_duration)


def bandit(manifest: Bandit) -> Versus:
    """The bandit between a candidate and stable. `promoteAt`, where it is given, acts by itself."""
    kind = f"bandit {manifest.reward} {manifest.within}"
    return Versus(f"bandit on {manifest.reward}", kind, BASIS_POINTS // 2, False, "promote")
