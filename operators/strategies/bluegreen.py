"""Blue-green: the candidate runs beside stable in full size, is previewed, and then gets everything at one moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from operators.api.strategies import BlueGreen as Manifest
from operators.api.strategies import Pause, Step
from operators.strategies.base import Move, Shares, Stage
from operators.strategies.canary import Canary

_PREVIEW, _CHECKED, _PERSON, _SWITCH, _WATCHED = (
    "preview",
    "analysis before the switch",
    "waits for the switch",
    "switch",
    "analysis after the switch",
)


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """The manifest's block as the steps of a canary that goes from 0 to 100 %.

    Until the switch the candidate answers the requests that are selected for its preview. After it stable still runs in
    full size, so that a check that fails switches back as fast as it switched.
    """

    manifest: Manifest
    on_inconclusive: Literal["hold", "abort", "pause"] = "hold"

    @property
    def kind(self) -> str:
        """Not a canary's."""
        return "blueGreen"

    @property
    def count(self) -> int:
        """The number of steps."""
        return len(self._titled)

    def title(self, step: int) -> str:
        """What the step is for."""
        return self._titled[step][0]

    def shares(self, step: int, before: Shares) -> Shares:
        """Nothing but selected requests before the switch, everything from it on."""
        switched = step >= [title for title, _ in self._titled].index(_SWITCH)
        shares = self._canary.shares(step, before)
        return Shares(shares.weight, selected=bool(self.manifest.preview_match) and not switched)

    def min_samples(self, step: int) -> int:
        """Those of the analyses."""
        return self._canary.min_samples(step)

    def judge(self, stage: Stage) -> Move:
        """As a canary's steps."""
        return self._canary.judge(stage)

    @property
    def _canary(self) -> Canary:
        return Canary([step for _, step in self._titled], self.on_inconclusive)

    @property
    def _titled(self) -> list[tuple[str, Step]]:
        return list(self._steps())

    def _steps(self) -> Iterator[tuple[str, Step]]:
        manifest = self.manifest
        if manifest.preview_match:
            yield _PREVIEW, Step(set_weight=0)
        if manifest.pre_promotion_analysis is not None:
            yield _CHECKED, Step(analysis=manifest.pre_promotion_analysis)
        if not manifest.auto_promote:
            yield _PERSON, Step(pause=Pause())
        yield _SWITCH, Step(set_weight=100)
        if manifest.post_promotion_analysis is not None:
            yield _WATCHED, Step(analysis=manifest.post_promotion_analysis)
