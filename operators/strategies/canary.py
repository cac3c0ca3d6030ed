"""Canary: the candidate gets more of the traffic step by step, and waits for time, evidence or people in between."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from operators.api import Step
from operators.api.fields import basis_points, format_duration
from operators.status import Verdict
from operators.strategies.base import Abort, Advance, Move, Shares, Stage, Wait


@dataclass(frozen=True, slots=True)
class Canary:
    """The steps as they were written. When a step's time is over without enough evidence, `on_inconclusive` decides.

    That holds for timed pauses and for analysis steps alike: too little evidence never advances a step by itself.
    """

    steps: Sequence[Step]
    on_inconclusive: Literal["hold", "abort", "pause"] = "hold"

    @property
    def count(self) -> int:
        """The number of steps."""
        return len(self.steps)

    def title(self, step: int) -> str:
        """As it was written."""
        one = self.steps[step]
        if one.set_weight is not None:
            return f"setWeight {one.set_weight:g} %"
        if one.set_shadow is not None:
            return f"setShadow {one.set_shadow:g} %"
        if one.pause is not None:
            return "pause" if one.pause.duration is None else f"pause {format_duration(one.pause.duration)}"
        return "analysis"

    def shares(self, step: int, before: Shares) -> Shares:
        """What the step sets; what it does not set stays."""
        one = self.steps[step]
        if one.set_weight is not None:
            return replace(before, weight=basis_points(one.set_weight))
        if one.set_shadow is not None:
            return replace(before, shadow=basis_points(one.set_shadow))
        return before

    def min_samples(self, step: int) -> int:
        """Those of an analysis step."""
        analysis = self.steps[step].analysis
        return 0 if analysis is None else analysis.min_samples

    def judge(self, stage: Stage) -> Move:
        """Shares are set once acknowledged; waits end with their time, their evidence, or a person's word."""
        step = self.steps[stage.step]
        if step.pause is None and step.analysis is None:
            return Advance(fresh=True) if stage.settled else Wait("waiting for the routers to acknowledge it")
        if stage.promoted:
            return Advance()
        if stage.awaits_promotion:
            return _person("waits for a person")
        if step.pause is not None:
            if step.pause.duration is None:
                return _person("waits for a person")
            end = stage.started_at + step.pause.duration
            return Wait("until its time is over", until=end) if stage.now < end else self._after(stage)
        if stage.verdict is Verdict.PASS:
            return Advance()
        longest = step.analysis.max_duration if step.analysis is not None else None
        if longest is None:
            return Wait("waiting for evidence")
        end = stage.started_at + longest
        return Wait("waiting for evidence", until=end) if stage.now < end else self._after(stage)

    def _after(self, stage: Stage) -> Move:
        """What happens when a step's time is over."""
        if stage.verdict is not Verdict.INCONCLUSIVE:
            return Advance()
        if self.on_inconclusive == "abort":
            return Abort("the step's time is over and the evidence is still inconclusive")
        if self.on_inconclusive == "pause":
            return _person("its time is over and the evidence is still inconclusive: waits for a person")
        return Wait("its time is over, holding until the evidence is conclusive")


def _person(message: str) -> Wait:
    return Wait(message, person=True)
