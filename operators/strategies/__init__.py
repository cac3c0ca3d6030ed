"""How a candidate becomes stable: one file per strategy, chosen here."""

from operators.api import ModelRollout
from operators.strategies.base import ALL, Abort, Advance, Move, Shares, Stage, Strategy, Wait
from operators.strategies.canary import Canary
from operators.strategies.replace import REPLACE

__all__ = ["ALL", "REPLACE", "Abort", "Advance", "Move", "Shares", "Stage", "Strategy", "Wait", "strategy_for"]


def strategy_for(rollout: ModelRollout) -> Strategy:
    """The strategy that the manifest asks for."""
    spec = rollout.spec
    if spec.strategy is None or spec.strategy.canary is None:
        return REPLACE
    return Canary(spec.strategy.canary.steps, spec.analysis.on_inconclusive)
