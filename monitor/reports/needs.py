"""What a comparison needs: samples for one look and for an interval that may be watched, and time. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from monitor import fixed_horizon, planning
from monitor.answers.plan import Needed, Plan
from monitor.means import START

Planned = Literal["feedback-accuracy", "feedback-reward", "error-rate", "shadow-agreement"]
"""A metric that a comparison can be planned for."""
SAMPLES: Final[dict[Planned, str]] = {
    "feedback-accuracy": "labels",
    "feedback-reward": "rewards",
    "error-rate": "requests",
    "shadow-agreement": "copies",
}


class Unplannable(ValueError):
    """There is no such comparison; `parameter` is what to change."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Wish:
    """A difference of `effect` is to be found with probability `power`.

    `share` is the candidate's of the requests, or the part of them that is copied to it; None is half of them, or all
    copied. Of agreement, `effect` is how far below the usual one the bound is that it is to be told from.
    """

    metric: Planned
    effect: float
    share: float | None = None
    confidence: float = 0.95
    power: float = 0.8

    @property
    def copies(self) -> bool:
        """Whether samples are requests that both versions answer."""
        return self.metric == "shadow-agreement"

    @property
    def part(self) -> float:
        """The share, also where none was said."""
        return self.share if self.share is not None else 1.0 if self.copies else 0.5


@dataclass(frozen=True, slots=True)
class Usual:
    """What a metric is without the candidate: a share, whose `deviation` is None, or a mean, None if it is not known.

    It rests on so many samples of a version, or on what somebody said.
    """

    mean: float | None
    deviation: float | None = None
    basis: int = 0
    version: str = ""


def said(wish: Wish, rate: float | None, deviation: float | None) -> Usual | None:
    """What somebody says is usual: a rate of successes, or the standard deviation of rewards. Raises `Unplannable`."""
    if rate is not None and deviation is not None:
        raise Unplannable("sd", "a rate has no other standard deviation than its own: leave one of them out")
    if deviation is not None and wish.metric != "feedback-reward":
        raise Unplannable("sd", f"{wish.metric} is a rate: say how large it usually is")
    if rate is None and deviation is None:
        return None
    return Usual(rate, deviation)


def planned(wish: Wish, usual: Usual | None, traffic: float | None = None, of: tuple[str, str] = ("", "")) -> Plan:
    """The plan for a model at so many samples a second. Raises `Unplannable`."""
    if not wish.copies and wish.part >= 1:
        raise Unplannable("share", "the stable version needs samples, too: it must be below 1")
    try:
        one_look, watched = (None, None) if usual is None else _samples(wish, usual)
    except Unplannable:
        raise
    except (ValueError, ArithmeticError) as error:  # less than one sample, or more than floats can count
        raise Unplannable(
            "effect", f"a difference of {wish.effect:.4g} is too small or too large for a plan"
        ) from error
    return Plan(
        *of,
        version=usual.version if usual else "",
        metric=wish.metric,
        samples=SAMPLES[wish.metric],
        usual=usual.mean if usual else None,
        deviation=usual.deviation if usual else None,
        basis=usual.basis if usual else 0,
        effect=wish.effect,
        share=wish.part,
        confidence=wish.confidence,
        power=wish.power,
        traffic=traffic,
        one_look=_needed(wish, one_look, traffic),
        watched=_needed(wish, watched, traffic),
    )


_Samples = tuple[int, int]


def _samples(wish: Wish, usual: Usual) -> tuple[_Samples, _Samples]:
    """Those of the stable version and of the candidate, for one look and watched."""
    alpha, power = 1 - wish.confidence, wish.power
    if wish.copies:
        share = usual.mean or 0.0
        bound = share - wish.effect
        if bound <= 0:
            raise Unplannable("effect", f"an agreement of {share:.4g} cannot be so far above any bound")
        one, more = (
            fixed_horizon.plan_share(bound, share, alpha, power),
            planning.plan_share(bound, share, alpha, power),
        )
        return (one, one), (more, more)
    ratio = wish.part / (1 - wish.part)
    if usual.deviation is not None:
        if usual.deviation <= 0:
            raise Unplannable("sd", f"values of {wish.metric} that never differ leave nothing to chance")
        look = fixed_horizon.plan_means(wish.effect, usual.deviation, alpha, power, ratio)
        watch = planning.plan_means(wish.effect, usual.deviation, alpha, power, ratio)
        return (look.base_samples, look.variant_samples), (watch.base_samples, watch.variant_samples)
    base = usual.mean or 0.0
    others = [other for other in (base - wish.effect, base + wish.effect) if 0 <= other <= 1]
    if not others:
        raise Unplannable("effect", f"{wish.metric} is usually {base:.4g} and can neither rise nor fall so far")
    # Better or worse: enough for whichever takes longer.
    looks = [fixed_horizon.plan_proportions(base, other, alpha, power, ratio) for other in others]
    watches = [planning.plan_proportions(base, other, alpha, power, ratio) for other in others]
    least = START if wish.metric == "feedback-reward" else 0  # fewer rewards are not known to be zeros and ones
    return (
        (max(one.base_samples for one in looks), max(one.variant_samples for one in looks)),
        (max(least, *(one.base_samples for one in watches)), max(least, *(one.variant_samples for one in watches))),
    )


def _needed(wish: Wish, samples: _Samples | None, traffic: float | None) -> Needed | None:
    if samples is None:
        return None
    stable, candidate = samples
    if not traffic:
        return Needed(stable, candidate, None)
    own = candidate / (wish.part * traffic)
    return Needed(stable, candidate, own if wish.copies else max(own, stable / ((1 - wish.part) * traffic)))
