"""Shadow: the candidate answers copies of live requests, which nobody sees, and then everything or nothing."""

from collections.abc import Sequence
from typing import Literal

from operators.api.checks import Check
from operators.api.strategies import AnalysisStep, Pause, Shadow, Step
from operators.strategies.canary import Canary


def shadow_only(shadow: Shadow, checks: Sequence[Check], on_inconclusive: Literal["hold", "abort", "pause"]) -> Canary:
    """The steps of a canary that copies, waits for its checks (those that decide), and holds for a person if asked to.

    A person's word is asked for where `then: hold` says so or where nothing else could end the shadow: without checks.
    """
    steps = [Step(set_shadow=shadow.percent)]
    if checks:
        analysis = AnalysisStep(min_samples=shadow.min_samples)
        # Copied, as a duration that is written needs a unit and this one is in seconds.
        steps.append(Step(analysis=analysis.model_copy(update={"max_duration": shadow.max_duration})))
    if shadow.then == "hold" or not checks:
        steps.append(Step(pause=Pause()))
    return Canary(steps, on_inconclusive, kind="shadow")
