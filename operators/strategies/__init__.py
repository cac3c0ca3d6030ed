"""How a candidate becomes stable: one file per strategy, chosen here."""

from operators.api import ModelRollout
from operators.strategies.base import ALL, Abort, Advance, Move, Shares, Stage, Strategy, Wait
from operators.strategies.bluegreen import BlueGreen
from operators.strategies.canary import Canary, sized
from operators.strategies.experiment import ab_test, bandit
from operators.strategies.replace import REPLACE
from operators.strategies.shadow import shadow_only

__all__ = ["ALL", "REPLACE", "Abort", "Advance", "Move", "Shares", "Stage", "Strategy", "Wait", "strategy_for"]


def strategy_for(rollout: ModelRollout) -> Strategy:
    """The strategy that the manifest asks for. Beside variants a candidate is only the control that they need."""
    spec = rollout.spec
    strategy, on_inconclusive = spec.strategy, spec.analysis.on_inconclusive
    if strategy is None or spec.variants:
        return REPLACE
    if strategy.canary is not None:
        steps = sized(strategy.canary.steps, spec.serving.least)
        return Canary(steps, on_inconclusive, selects=bool(spec.traffic.match))
    if strategy.blue_green is not None:
        return BlueGreen(strategy.blue_green, on_inconclusive)
    if strategy.shadow is not None:
        return shadow_only(strategy.shadow, spec.analysis.deciding, on_inconclusive)
    if strategy.ab_test is not None:
        return ab_test(strategy.ab_test)
    return REPLACE if strategy.bandit is None else bandit(strategy.bandit)
