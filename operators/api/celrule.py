"""How a rule in CEL is written in a definition: `x-kubernetes-validations`."""

from collections.abc import Iterable

Rule = dict[str, str]


def rule(expression: str, message: str, field: str = "") -> Rule:
    """What must be true. `field` is what is complained about, where that is not the field that the rule stands at."""
    return {"rule": expression, "message": message} | ({"fieldPath": f".{field}"} if field else {})


def when(path: str, expression: str, message: str, field: str = "") -> Rule:
    """A rule for objects that have the field at this path."""
    names = path.split(".")
    missing = [f"!has(self.{'.'.join(names[: index + 1])})" for index in range(len(names))]
    return rule(" || ".join([*missing, expression]), message, field or path)


def count(names: Iterable[str]) -> str:
    """How many of these fields there are."""
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size()"
