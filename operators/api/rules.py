"""What several fields of a manifest can get wrong together. The CRD says the same in CEL where it can."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from operators.api.checkrules import broken_check_rules
from operators.api.fields import parse_quantity
from operators.api.problem import Problem
from operators.api.strategies import Condition, Match
from operators.api.strategyrules import broken_strategy_rules, given_strategies
from operators.api.types import ModelRollout, RolloutSpec, Sticky

LARGEST_BODY: Final = 1 << 30
"""Bytes. Bodies are held in memory."""
LARGEST_VALUES: Final = 1 << 14
"""Bytes of all values of one condition on a header: they become one regular expression, whose size Envoy bounds."""
OWN_HEADERS: Final = "tidegate-"
"""What the headers begin with that Tidegate takes from every request, before anything looks at them."""
KEPT_COOKIES: Final = ("__Host-", "__Secure-")
"""What names of cookies begin with that browsers take over https only."""
_BIASED: Final = "would bias the comparison, since the requests it selects are no chance sample: leave it out"
NO_MATCH: Final = {
    "blueGreen": "is for canary; write spec.strategy.blueGreen.previewMatch",
    "shadow": "is for canary: with shadow no user may reach the candidate; leave it out",
    "abTest": f"is for canary: in an abTest it {_BIASED}",
    "bandit": f"is for canary: with a bandit it {_BIASED}",
}
"""Why `traffic.match` does not go with a strategy."""


def broken_rules(rollout: ModelRollout) -> Iterator[Problem]:
    """All that is wrong across fields."""
    spec = rollout.spec
    yield from _repeated("spec.model.inputs", (entry.name for entry in spec.model.inputs))
    yield from _repeated("spec.variants", (variant.name for variant in spec.variants))
    for index, variant in enumerate(spec.variants):
        yield from _repeated(f"spec.variants[{index}].model.inputs", (entry.name for entry in variant.model.inputs))
    yield from _repeated("spec.analysis.checks", (check.name for check in spec.analysis.checks))
    yield from _repeated("spec.traffic.hosts", spec.traffic.hosts)
    yield from broken_strategy_rules(rollout)
    yield from broken_check_rules(spec)
    if parse_quantity(spec.serving.resources.cpu) == 0 and parse_quantity(spec.serving.resources.gpu) == 0:
        yield Problem(
            "spec.serving.resources.cpu", "is 0: without a GPU a replica needs a share of a CPU, such as 100m"
        )
    if not 1 <= spec.traffic.max_body_bytes <= LARGEST_BODY:
        yield Problem(
            "spec.traffic.limits.maxBodyBytes", f"is {spec.traffic.limits.max_body_bytes}; 1 to 1Gi are possible"
        )
    if spec.traffic.sticky is not None:
        yield from _sticky("spec.traffic.sticky", spec.traffic.sticky)
    yield from _matches(spec)


def _repeated(field: str, names: Iterable[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(field, f"names {name} {count} times")


def _sticky(field: str, sticky: Sticky) -> Iterator[Problem]:
    if (sticky.header is None) == (sticky.cookie is None):
        found = "is none" if sticky.header is None else "are both"
        yield Problem(field, f"names exactly one of header, cookie; here {found}")
    if sticky.header is not None:
        yield from _header(f"{field}.header", sticky.header)
    if sticky.cookie is not None and sticky.cookie.startswith(KEPT_COOKIES):
        yield Problem(f"{field}.cookie", f"may not begin with {' or '.join(KEPT_COOKIES)}")
    if sticky.cookie is None and "ttl" in sticky.model_fields_set:
        yield Problem(f"{field}.ttl", "is how long clients keep the cookie; with header it means nothing")
    elif sticky.ttl < 1:
        yield Problem(f"{field}.ttl", "is shorter than a second: cookies last whole seconds")


def _header(field: str, name: str) -> Iterator[Problem]:
    if name.lower().startswith(OWN_HEADERS):
        yield Problem(field, f"may not begin with {OWN_HEADERS}: such headers are Tidegate's own")


def _matches(spec: RolloutSpec) -> Iterator[Problem]:
    given = given_strategies(spec.strategy)
    if spec.traffic.match and not given:
        yield Problem(
            "spec.traffic.match", "is for canary: without a strategy a new version takes over at once; leave it out"
        )
    elif spec.traffic.match and given[0] in NO_MATCH:
        yield Problem("spec.traffic.match", NO_MATCH[given[0]])
    for index, match in enumerate(spec.traffic.match):
        yield from _match(f"spec.traffic.match[{index}]", match)
    if spec.strategy is not None and spec.strategy.blue_green is not None:
        for index, match in enumerate(spec.strategy.blue_green.preview_match):
            yield from _match(f"spec.strategy.blueGreen.previewMatch[{index}]", match)


def _match(field: str, match: Match) -> Iterator[Problem]:
    if not match.all_of:
        yield from _condition(field, match)
        return
    beside = [*_subjects(match), *_demands(match)]
    if beside:
        yield Problem(
            field, f"has allOf and beside it {' and '.join(beside)}: make that a condition of its own within allOf"
        )
    for index, condition in enumerate(match.all_of):
        yield from _condition(f"{field}.allOf[{index}]", condition)


def _condition(field: str, condition: Condition) -> Iterator[Problem]:
    subjects, demands = _subjects(condition), _demands(condition)
    if len(subjects) != 1:
        found = "are both" if subjects else "is none"
        yield Problem(field, f"names exactly one of header, feature; here {found}")
    if len(demands) > 1:
        yield Problem(
            field, f"asks for at most one of exact, in, prefix, a range (min, below); here are {' and '.join(demands)}"
        )
    if condition.min is not None and condition.below is not None and condition.min >= condition.below:
        yield Problem(
            f"{field}.below", f"is {condition.below:g}, but min is {condition.min:g}: no number lies in between"
        )
    if condition.header is not None:
        yield from _header(f"{field}.header", condition.header)
    if subjects == ["header"]:
        if sum(len(value.encode()) for value in condition.in_ if isinstance(value, str)) > LARGEST_VALUES:
            yield Problem(f"{field}.in", f"is more than {LARGEST_VALUES} bytes in all")
        values = [("exact", condition.exact), *((f"in[{index}]", one) for index, one in enumerate(condition.in_))]
        for name, value in values:
            if value is not None and not isinstance(value, str):
                yield Problem(f"{field}.{name}", "must be text, as a header's value is: put it in quotes")
        for name, number in (("min", condition.min), ("below", condition.below)):
            if number is not None:
                yield Problem(f"{field}.{name}", "is for features: a header is text; write exact, in or prefix")


def _subjects(condition: Condition) -> list[str]:
    """What the condition is about."""
    return [name for name, value in (("header", condition.header), ("feature", condition.feature)) if value is not None]


def _demands(condition: Condition) -> list[str]:
    """What it asks of it."""
    given = {
        "exact": condition.exact is not None,
        "in": bool(condition.in_),
        "prefix": condition.prefix is not None,
        "a range": condition.min is not None or condition.below is not None,
    }
    return [name for name, there in given.items() if there]
