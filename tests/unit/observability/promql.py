"""What an expression of PromQL is about: its metrics, and the labels that it selects or groups by."""

import re
from collections.abc import Iterator

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTED = re.compile(r"\{([^}]*)\}")
_GROUPED = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w.$])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "e", "Inf", "NaN"})


def named(expression: str) -> set[str]:
    """The names of metrics: what is neither a function, nor a word of the language, nor inside of brackets."""
    bare = _STRING.sub("", expression)
    for pattern in (_SELECTED, _GROUPED, re.compile(r"\[[^]]*\]"), re.compile(r"\boffset\s+\w+")):
        bare = pattern.sub("", bare)
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def selected(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric that has a selector, with the labels in it."""
    for name, inside in _SELECTOR.findall(_STRING.sub('""', expression)):
        yield name, set(_LABEL.findall(inside))


def grouped(expression: str) -> set[str]:
    """Labels that series are grouped or joined by; not `le`, which every histogram has."""
    found = (names for _, names in _GROUPED.findall(_STRING.sub('""', expression)))
    return {name.strip() for names in found for name in names.split(",") if name.strip()} - {"le"}
