"""What the fields of a check can get wrong together, and with the rest of the spec."""

import re
from collections.abc import Iterator
from typing import Final

from operators.api.checks import METRICS, PLACEHOLDERS, Check, Metric, MetricName
from operators.api.fields import parse_duration
from operators.api.problem import Problem
from operators.api.types import RolloutSpec

SUBJECTS: Final = ("metric", "prometheus", "web")
"""What a check can be about."""
_EXAMPLES: Final = {"share": "a share such as 0.01", "duration": "a duration such as 50ms", "number": "a number"}
_MARGINS: Final = {"share": "0.005", "duration": "20ms", "number": "0.5"}


def broken_check_rules(spec: RolloutSpec) -> Iterator[Problem]:
    """All that is wrong with the checks."""
    for index, check in enumerate(spec.analysis.checks):
        field = f"spec.analysis.checks[{index}]"
        given = [name for name in SUBJECTS if getattr(check, name) is not None]
        if len(given) != 1:
            found = f"are {' and '.join(given)}" if given else "is none"
            yield Problem(field, f"names exactly one of {', '.join(SUBJECTS)}; here {found}")
        elif check.metric is None:
            yield from _measured(field, check, given[0])
        else:
            yield from _metric(field, check, check.metric)
            yield from _reached(field, check.metric, spec)
        if spec.variants and (check.metric is None or METRICS[check.metric].source != "router"):
            yield Problem(
                field,
                f"{check.subject} is not judged beside variants, which the goal compares: write error-rate or latency",
            )


def _metric(field: str, check: Check, name: MetricName) -> Iterator[Problem]:
    metric = METRICS[name]
    bound, other = metric.bound, "min" if metric.bound == "max" else "max"
    fixed = getattr(check, bound)
    if getattr(check, other) is not None:
        yield Problem(f"{field}.{other}", f"means nothing for {name}: its bound is {bound}")
    if check.versus is not None and not metric.versus:
        yield Problem(f"{field}.versus", f"means nothing for {name}: its bound is {bound}")
    elif (fixed is None) == (check.versus is None):
        versus = " or versus: stable with a margin" if metric.versus else ""
        yield Problem(field, f"{name} needs {'either ' if versus else ''}{bound} ({_EXAMPLES[metric.unit]}){versus}")
    elif check.versus is not None and check.margin is None:
        good = f"how much worse than stable is still good, such as {_MARGINS[metric.unit]}"
        yield Problem(f"{field}.margin", f"is required with versus: {good}")
    if check.versus is None and check.margin is not None:
        yield Problem(f"{field}.margin", f"belongs to versus: stable; with {bound} it means nothing")
    if fixed is not None:
        yield from _value(f"{field}.{bound}", metric, fixed)
    if check.versus is not None and check.margin is not None:
        yield from _value(f"{field}.margin", metric, check.margin)
    if check.tolerance is not None and name != "shadow-agreement":
        yield Problem(f"{field}.tolerance", f"is for shadow-agreement; with {name} it means nothing")
    if check.failure_limit:
        yield Problem(f"{field}.failureLimit", f"is for prometheus and web; with {name} it means nothing")


def _value(field: str, metric: Metric, value: float | str) -> Iterator[Problem]:
    """Whether a bound or a margin is of the metric's unit."""
    if metric.unit == "duration":
        if not isinstance(value, str):
            yield Problem(field, "must be a duration such as 50ms")
            return
        try:
            duration = parse_duration(value)
        except ValueError as error:
            yield Problem(field, str(error))
            return
        if duration == 0 and field.endswith("max"):
            yield Problem(field, "is 0: no request is that fast")
    elif metric.unit == "share" and (isinstance(value, str) or not 0 <= value <= 1):
        yield Problem(field, f"is {value!r}; a share between 0 and 1, such as 0.01, is expected")
    elif isinstance(value, str):
        yield Problem(field, f"is {value!r}; a number is expected")
    elif value < 0 and not field.endswith("min"):
        yield Problem(field, f"is {value:g}; a number of at least 0 is expected")


def _measured(field: str, check: Check, source: str) -> Iterator[Problem]:
    if check.min is None and check.max is None:
        yield Problem(field, f"{source} needs min, max or both, which are numbers")
    if isinstance(check.max, str):
        yield Problem(f"{field}.max", f"is {check.max!r}; a number is expected")
    elif check.min is not None and check.max is not None and check.min > check.max:
        yield Problem(f"{field}.max", f"is {check.max:g}, but min is {check.min:g}: no number lies in between")
    for name in ("versus", "margin", "tolerance", "min_samples", "confidence"):
        known = Check.model_fields[name]
        if getattr(check, name) != known.default:
            yield Problem(f"{field}.{known.alias}", f"is for metrics; with {source} it means nothing")
    if check.prometheus is not None:
        yield from _filled(f"{field}.prometheus.query", check.prometheus.query)
    if check.web is not None:
        yield from _filled(f"{field}.web.url", check.web.url)


def _filled(field: str, text: str) -> Iterator[Problem]:
    for name in re.findall(r"\{\{(.*?)\}\}", text):
        if name.strip() not in PLACEHOLDERS:
            known = ", ".join(f"{{{{{one}}}}}" for one in PLACEHOLDERS)
            yield Problem(field, f"has {{{{{name}}}}}, which nothing fills in; known here: {known}")


def _reached(field: str, name: MetricName, spec: RolloutSpec) -> Iterator[Problem]:
    """Whether what the metric needs ever reaches a candidate."""
    strategy, needs = spec.strategy, METRICS[name].needs
    canary = strategy.canary if strategy is not None else None
    if needs == "copies":
        shadowed = strategy is not None and strategy.shadow is not None
        if not shadowed and not (canary is not None and any(step.set_shadow for step in canary.steps)):
            yield Problem(
                field,
                f"{name} would never be judged: no step copies requests to the candidate; write a setShadow step",
            )
    elif needs == "live":
        alone = strategy is None or strategy.shadow is not None
        if alone or (
            canary is not None and not spec.traffic.match and not any(step.set_weight for step in canary.steps)
        ):
            yield Problem(
                field, f"{name} would never be judged: before its promotion no user gets an answer of the candidate"
            )
