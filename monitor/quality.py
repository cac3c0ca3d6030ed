"""Is the data what the model was made for? A batch of records against a schema of its fields.

These are facts and not estimates: a value is out of range or it is not. Each finding names the rule, the field and the
first rows. A rule is broken when the share of rows that break it exceeds what the schema tolerates, which is none by
default.
The rules are those of N. Polyzotis, M. Zinkevich, S. Roy, E. Breck, S. Whang, Data validation for machine learning,
MLSys 2019.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite, isnan
from typing import Any, Final

import numpy as np

from monitor.profiles import Column, NumericColumn, Profile, category
from monitor.verdict import Verdict

_SHOWN: Final = 5
"""Rows that a finding names."""


class Type(Enum):
    """What a present value must be. An integer is a number, also when written 1.0; a boolean is not."""

    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"


class Rule(Enum):
    """What can be wrong with a field."""

    ABSENT = "absent"
    UNEXPECTED = "unexpected"
    MISSING = "missing"
    TYPE = "type"
    RANGE = "range"
    CATEGORY = "category"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class Field:
    """What is expected of a field. None means that anything is allowed.

    `max_missing` and `max_invalid` are shares of rows; `categories` are names as `profiles.category` makes them.
    """

    type: Type | None = None
    low: float | None = None
    high: float | None = None
    categories: frozenset[str] | None = None
    unique: bool = False
    max_missing: float = 0.0
    max_invalid: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` of the batch's rows break the rule; `rows` are the first of them, counted from 0.

    `tolerated` findings are within the schema's shares and break nothing.
    """

    field: str
    rule: Rule
    count: int
    share: float
    rows: tuple[int, ...]
    tolerated: bool
    message: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was found, in the order of fields and rules; inconclusive without rows."""

    verdict: Verdict
    rows: int
    findings: tuple[Finding, ...]
    message: str


def schema_of(reference: Profile, slack: float = 0.5) -> dict[str, Field]:
    """What a reference suggests: ranges widened by `slack` times their width on both sides, categories as they were.

    Twice the reference's share of missing values is tolerated, and of unseen categories twice the share of those that
    occurred once, which estimates how likely the next value is a new one (I. Good, The population frequencies of
    species, Biometrika 40 (1953) 237-264): nearly every value of a text or an id is. No types are asked of categories,
    and no category of those that had too many to keep.
    """
    fields: dict[str, Field] = {}
    for name, column in reference.columns.items():
        total = column.count + column.missing
        missing = min(1.0, 2 * column.missing / total) if total else 1.0
        if isinstance(column, NumericColumn):
            width = (column.high - column.low) * slack
            low, high = (column.low - width, column.high + width) if column.count else (None, None)
            fields[name] = Field(Type.NUMBER, low, high, max_missing=missing)
        else:
            known = frozenset(column.categories) if column.count and not column.other else None
            once = sum(count == 1 for count in column.categories.values())
            unseen = min(1.0, 2 * once / column.count) if column.count else 0.0
            fields[name] = Field(categories=known, max_missing=missing, max_invalid=unseen)
    return fields


def check(columns: Mapping[str, Column], schema: Mapping[str, Field]) -> QualityReport:
    """Check a batch, given by columns of one length; None and NaN stand for missing values.

    Raises `ValueError` if columns differ in length.
    """
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns must have one length, not {sorted(lengths)}")
    rows = lengths.pop() if lengths else 0
    if not rows:
        return QualityReport(Verdict.INCONCLUSIVE, 0, (), "there are no rows to check")
    findings: list[Finding] = []
    for name, field in schema.items():
        if name in columns:
            findings += _field(name, field, columns[name])
        elif field.max_missing < 1:
            findings.append(_finding(name, Rule.ABSENT, range(rows), rows, 0.0, what="the field is absent"))
    for name in columns.keys() - schema.keys():
        findings.append(_finding(name, Rule.UNEXPECTED, range(rows), rows, 0.0, what="the schema has no such field"))
    broken = [finding for finding in findings if not finding.tolerated]
    verdict = Verdict.FAIL if broken else Verdict.PASS
    message = "; ".join(finding.message for finding in broken) or f"{rows} rows are as the schema says"
    return QualityReport(verdict, rows, tuple(findings), message)


def _field(name: str, field: Field, column: Column) -> Iterator[Finding]:
    present = [(row, value) for row, value in enumerate(column) if not _missing(value)]
    total = len(column)
    if len(present) < total:
        there = {row for row, _ in present}
        gone = [row for row in range(total) if row not in there]
        yield _finding(name, Rule.MISSING, gone, total, field.max_missing, what="has no value")
    if field.type is not None:
        kind = field.type
        wrong = [row for row, value in present if not _is(value, kind)]
        present = [(row, value) for row, value in present if _is(value, kind)]
        if wrong:
            yield _finding(name, Rule.TYPE, wrong, total, field.max_invalid, what=f"is no {kind.value}")
    outside = [row for row, value in present if not _within(value, field.low, field.high)]
    if outside:
        limits = f"{-inf if field.low is None else field.low:g} to {inf if field.high is None else field.high:g}"
        yield _finding(name, Rule.RANGE, outside, total, field.max_invalid, what=f"is outside {limits}")
    if field.categories is not None:
        unseen = {row: seen for row, value in present if (seen := category(value)) not in field.categories}
        if unseen:
            names = ", ".join(repr(one) for one in sorted({*map(str, unseen.values())})[:_SHOWN])
            yield _finding(
                name, Rule.CATEGORY, [*unseen], total, field.max_invalid, what=f"is an unseen category ({names})"
            )
    if field.unique and (repeated := [*_repeated(present)]):
        yield _finding(name, Rule.UNIQUE, repeated, total, field.max_invalid, what="repeats an earlier value")


def _finding(name: str, rule: Rule, broken: Sequence[int], total: int, allowed: float, *, what: str) -> Finding:
    share = len(broken) / total
    first = tuple(broken[:_SHOWN])
    listed = ", ".join(map(str, first)) + (", …" if len(broken) > _SHOWN else "")
    message = f"{name} {what} in {len(broken)} of {total} rows ({listed}); {allowed:.2%} allowed"
    if rule in (Rule.ABSENT, Rule.UNEXPECTED):
        message = f"{name}: {what}"
    return Finding(name, rule, len(broken), share, first, share <= allowed, message)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and isnan(value))


def _is(value: object, kind: Type) -> bool:
    if isinstance(value, bool | np.bool_):
        return kind is Type.BOOLEAN
    match kind:
        case Type.NUMBER:
            return isinstance(value, int | float | np.integer | np.floating)
        case Type.INTEGER:
            return isinstance(value, int | np.integer) or (
                isinstance(value, float | np.floating) and value == value // 1
            )
        case Type.STRING:
            return isinstance(value, str)
        case Type.BOOLEAN:
            return False


def _within(value: Any, low: float | None, high: float | None) -> bool:
    """Infinities are out of any range; what is no number has none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return True
    if isinstance(value, float | np.floating) and not isfinite(value):
        return False
    return (low is None or bool(value >= low)) and (high is None or bool(value <= high))


def _repeated(present: Sequence[tuple[int, object]]) -> Iterator[int]:
    seen: set[str | None] = set()
    for row, value in present:
        key = category(value)
        if key in seen:
            yield row
        seen.add(key)
