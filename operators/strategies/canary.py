"""Canary: the candidate gets more of the traffic step by step, and waits for time, evidence or people in between."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from operators.api import Step
from operators.api.fields import basis_points, format_duration
from operators.status import Verdict
from operators.strategies.base import Abort, Advance, Move, Shares, Stage, Wait

_EVERYTHING: Final = 100
"""Percent."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The steps as they were written. When a step's time is over without enough evidence, `on_inconclusive` decides.

    That holds for timed pauses and for analysis steps alike: too little evidence never advances a step by itself.
    `selects`: from its first step on the candidate answers the requests that the manifest selects for it. `kind` is
    another one where the steps stand for another strategy.
    """

    steps: Sequence[Step]
    on_inconclusive: Literal["hold", "abort", "pause"] = "hold"
    selects: bool = False
    kind: str = "canary"

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
        if one.set_replicas is not None:
            return f"setReplicas {one.set_replicas}"
        if one.pause is not None:
            return "pause" if one.pause.duration is None else f"pause {format_duration(one.pause.duration)}"
        return "analysis"

    def shares(self, step: int, before: Shares) -> Shares:
        """What the step sets; what it does not set stays."""
        one, shares = self.steps[step], replace(before, selected=self.selects)
        if one.set_weight is not None:
            return replace(shares, weight=basis_points(one.set_weight))
        if one.set_shadow is not None:
            return replace(shares, shadow=basis_points(one.set_shadow))
        if one.set_replicas is not None:
            return replace(shares, replicas=one.set_replicas)
        return shares

    def min_samples(self, step: int) -> int:
        """Those of an analysis step."""
        analysis = self.steps[step].analysis
        return 0 if analysis is None else analysis.min_samples

    def judge(self, stage: Stage) -> Move:
        """Shares and sizes are set once they are in force; waits end with time, evidence, or a person's word."""
        step = self.steps[stage.step]
        if step.pause is None and step.analysis is None:
            if not stage.settled:
                return Wait("waiting for the routers to acknowledge it")
            if step.set_replicas is not None:
                return Advance() if stage.sized else Wait("waiting for its replicas")
            return Advance(fresh=True)
        if stage.promoted:
            return Advance()
        if step.pause is not None:
            if step.pause.duration is None:
                return _person("waits for a person")
            end = stage.started_at + step.pause.duration
            return Wait("until its time is over", until=end) if stage.now < end else self._after(stage)
        if self._held(stage):
            return _person("waits for a person")
        if stage.verdict is Verdict.PASS:
            return Advance()
        longest = step.analysis.max_duration if step.analysis is not None else None
        if longest is None:
            return Wait("waiting for evidence")
        end = stage.started_at + longest
        return Wait("waiting for evidence", until=end) if stage.now < end else self._after(stage)

    def _held(self, stage: Stage) -> bool:
        """Whether a person was asked for because of the evidence: what comes in later does not take that back."""
        return stage.awaits_promotion and self.on_inconclusive == "pause"

    def _after(self, stage: Stage) -> Move:
        """What happens when a step's time is over."""
        if self._held(stage):
            return _person("waits for a person")
        if stage.verdict is not Verdict.INCONCLUSIVE:
            return Advance()
        if self.on_inconclusive == "abort":
            return Abort("the step's time is over and the evidence is still inconclusive")
        if self.on_inconclusive == "pause":
            return _person("its time is over and the evidence is still inconclusive: waits for a person")
        return Wait("its time is over, holding until the evidence is conclusive")


def _person(message: str) -> Wait:
    return Wait(message, person=True)


def sized(steps: Sequence[Step], full: int) -> Sequence[Step]:
    """The steps, and those that bring a candidate to `full` size before it gets everything, if others sized it.

    One of them is the last step, so that there is one to go to for who promotes past all others.
    """
    if all(step.set_replicas is None for step in steps):
        return steps
    grown, size, weight = list[Step](), full, 0.0
    for step in steps:
        if step.set_replicas is not None:
            size = step.set_replicas
        weight = weight if step.set_weight is None else step.set_weight
        if weight == _EVERYTHING and size != full:
            grown.append(Step(set_replicas=full))
            size = full
        if step.set_replicas is None or weight < _EVERYTHING:
            grown.append(step)
    return grown if grown[-1].set_replicas == full else (*grown, Step(set_replicas=full))
