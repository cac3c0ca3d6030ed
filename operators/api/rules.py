"""What several fields of a manifest can get wrong together. The CRD says the same in CEL where it can."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from operators.api.fields import parse_duration, parse_quantity
from operators.api.types import Check, ModelRollout, Step

STRATEGIES: Final = ("canary", "blueGreen", "shadow", "abTest", "bandit")
"""All strategies of the API."""
AVAILABLE_STRATEGIES: Final = ("canary",)
"""Those of this release."""
STEP_KINDS: Final = ("setWeight", "setShadow", "pause", "analysis")
LARGEST_BODY: Final = 1 << 30
"""Bytes. Bodies are held in memory."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. `field` is a path such as `spec.strategy.canary.steps[2].setWeight`."""

    field: str
    reason: str

    def __str__(self) -> str:
        """A sentence."""
        return f"{self.field}: {self.reason}"


def strategy_problem(unknown: str, given: Sequence[str]) -> Problem | None:
    """What to say about a strategy that the types do not know; None when the API does not know it either."""
    if unknown not in STRATEGIES:
        return None
    several = [name for name in given if name in STRATEGIES]
    if len(several) > 1:
        return Problem(
            "spec.strategy", f"names exactly one of {', '.join(STRATEGIES)}; here are {' and '.join(several)}"
        )
    return Problem(
        f"spec.strategy.{unknown}",
        f"is not available in this release; available: {', '.join(AVAILABLE_STRATEGIES)}, or no strategy at all "
        "(a new version then takes over as soon as it is ready)",
    )


def broken_rules(rollout: ModelRollout) -> Iterator[Problem]:
    """All that is wrong across fields."""
    spec = rollout.spec
    yield from _repeated("spec.model.inputs", (entry.name for entry in spec.model.inputs))
    yield from _repeated("spec.analysis.checks", (check.name for check in spec.analysis.checks))
    yield from _repeated("spec.traffic.hosts", spec.traffic.hosts)
    if spec.strategy is not None:
        if spec.strategy.canary is None:
            yield Problem("spec.strategy", f"names exactly one of {', '.join(STRATEGIES)}; here is none")
        else:
            yield from _steps("spec.strategy.canary.steps", spec.strategy.canary.steps, spec.analysis.checks)
    for index, check in enumerate(spec.analysis.checks):
        yield from _check(f"spec.analysis.checks[{index}]", check)
    if parse_quantity(spec.serving.resources.cpu) == 0 and parse_quantity(spec.serving.resources.gpu) == 0:
        yield Problem(
            "spec.serving.resources.cpu", "is 0: without a GPU a replica needs a share of a CPU, such as 100m"
        )
    if not 1 <= spec.traffic.max_body_bytes <= LARGEST_BODY:
        yield Problem(
            "spec.traffic.limits.maxBodyBytes", f"is {spec.traffic.limits.max_body_bytes}; 1 to 1Gi are possible"
        )


def _repeated(field: str, names: Iterable[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(field, f"names {name} {count} times")


def _steps(field: str, steps: Sequence[Step], checks: Sequence[Check]) -> Iterator[Problem]:
    weight = shadow = 0.0
    for index, step in enumerate(steps):
        given = [name for name, value in zip(STEP_KINDS, _values(step), strict=True) if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield Problem(f"{field}[{index}]", f"must be exactly one of {', '.join(STEP_KINDS)}; here is {found}")
            continue
        if step.set_weight is not None:
            if step.set_weight < weight:
                yield Problem(
                    f"{field}[{index}].setWeight",
                    f"falls from {weight:g} to {step.set_weight:g}: weights must not fall along the steps "
                    "(a candidate that should get less is aborted)",
                )
            weight = step.set_weight
        elif step.set_shadow is not None:
            shadow = step.set_shadow
        elif step.analysis is not None:
            if not checks:
                yield Problem(f"{field}[{index}].analysis", "has nothing to wait for: spec.analysis.checks is empty")
            elif weight == shadow == 0:
                yield Problem(
                    f"{field}[{index}].analysis",
                    "would wait forever: the candidate gets no requests before a setWeight or setShadow above 0",
                )


def _values(step: Step) -> tuple[object, ...]:
    return (step.set_weight, step.set_shadow, step.pause, step.analysis)


def _check(field: str, check: Check) -> Iterator[Problem]:
    if check.quantile is not None:
        if check.versus is not None or check.margin is not None:
            yield Problem(field, f"{check.metric} is held against max; versus and margin are for error-rate")
        if not isinstance(check.max, str):
            yield Problem(f"{field}.max", "must be a duration such as 50ms")
            return
        try:
            duration = parse_duration(check.max)
        except ValueError as error:
            yield Problem(f"{field}.max", str(error))
            return
        if duration == 0:
            yield Problem(f"{field}.max", "is 0: no request is that fast")
        return
    if (check.max is None) == (check.versus is None):
        yield Problem(field, "error-rate needs either max (a share such as 0.01) or versus: stable with a margin")
    elif check.versus is not None and check.margin is None:
        yield Problem(
            f"{field}.margin", "is required with versus: how much worse than stable is still good, such as 0.005"
        )
    elif check.max is not None and check.margin is not None:
        yield Problem(f"{field}.margin", "belongs to versus: stable; with max it means nothing")
    if check.max is not None and (isinstance(check.max, str) or not 0 <= check.max <= 1):
        yield Problem(f"{field}.max", f"is {check.max!r}; a share between 0 and 1, such as 0.01, is expected")
