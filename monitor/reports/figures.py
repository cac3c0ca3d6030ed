"""Estimates and tests, as they are answered. Pure."""

from typing import Final

from monitor.answers.figures import Figure, Planned, finite
from monitor.fixed_horizon import Comparison
from monitor.performance import Estimate

_EFFECTS: Final = {"Welch t": "Cohen's d", "Mann-Whitney": "P(candidate > stable)"}


def figure(estimate: Estimate) -> Figure:
    """An estimate."""
    return Figure.within(estimate.value, estimate.interval, estimate.samples)


def planned(found: Comparison) -> Planned:
    """A test for one look."""
    return Planned(
        test=found.test,
        verdict=found.verdict,
        statistic=finite(found.statistic),
        p_value=found.p_value,
        difference=Figure.within(found.difference, found.interval, sum(found.samples)),
        effect=finite(found.effect),
        effect_name=_EFFECTS.get(found.test, "Cohen's h"),
        samples=found.samples,
        message=found.message,
    )
