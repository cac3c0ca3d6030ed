"""Which records are the two halves of a pair, and how far the halves are apart. Pure.

A pair is a request that one version answered to the user and another one in the shadow, both with recorded outputs and
without failing. Who compares reads how far apart they are instead of the answers: with any tolerance.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from monitor.tallies import same

Rows = list[Any]
"""An output's values, one for each recorded row."""


class Half(NamedTuple):
    """A record that may be half of a pair. `at`: when the request came, in microseconds."""

    request_id: str
    version: str
    mirrored: bool
    at: int
    outputs: Mapping[str, object] | None

    @property
    def rows(self) -> Rows:
        """The first output; empty when none was recorded."""
        return first_output(self.outputs)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the first outputs of two answers are apart.

    `agree`: all rows are the same. When all of them are numbers, or lists of numbers, `difference` is the largest
    |a - b|, and `relative` the largest |a - b| / max(|a|, |b|), which is 0 for equal ones: the two agree within a
    tolerance when `relative` is not above it. Both are None when anything is no number, but for what is null on both
    sides.
    """

    agree: bool
    difference: float | None
    relative: float | None


@dataclass(frozen=True, slots=True)
class Paired:
    """Both answers to a request, and how far they are apart; `at` is when the user's request came."""

    request_id: str
    at: int
    stable: str
    candidate: str
    one: Rows
    other: Rows
    agreement: Agreement


def first_output(outputs: Mapping[str, object] | None) -> Rows:
    """The rows of the first output, by which versions are compared; empty when none was recorded."""
    rows = next(iter(outputs.values()), None) if outputs else None
    return rows if isinstance(rows, list) else []


def first_row(outputs: Mapping[str, object] | None) -> object:
    """The first row of the first output, which labels are held against; None when none was recorded."""
    rows = first_output(outputs)
    return rows[0] if rows else None


def paired(halves: Iterable[Half]) -> Iterator[Paired]:
    """The pairs among the halves, which come in the order in which they were stored.

    When an id was used several times, the first answer of each version is its half, and of live ones the first of all.
    """
    live: dict[str, Half] = {}
    mirrored: dict[tuple[str, str], Half] = {}
    for half in halves:
        if half.rows:
            if half.mirrored:
                mirrored.setdefault((half.request_id, half.version), half)
            else:
                live.setdefault(half.request_id, half)
    for (request_id, version), copy in mirrored.items():
        answer = live.get(request_id)
        if answer is not None and answer.version != version:
            one, other = answer.rows, copy.rows
            yield Paired(request_id, answer.at, answer.version, version, one, other, agreement(one, other))


def agreement(one: Rows, other: Rows) -> Agreement:
    """Hold two first outputs against each other, row by row."""
    agree = same(one, other)
    difference = relative = 0.0
    seen = False
    for pair in _numbers(one, other):
        if pair is None:
            return Agreement(agree, None, None)
        a, b = pair
        seen = True
        if gap := abs(a - b):
            difference, relative = max(difference, gap), max(relative, gap / max(abs(a), abs(b)))
    return Agreement(agree, difference, relative) if seen else Agreement(agree, None, None)


def _numbers(one: object, other: object) -> Iterator[tuple[float, float] | None]:
    """The numbers at the same places of both, None where either has something else."""
    if one is None and other is None:
        return
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield None
            return
        for a, b in zip(one, other, strict=True):
            yield from _numbers(a, b)
    elif _is_number(one) and _is_number(other):
        yield one, other
    else:
        yield None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
