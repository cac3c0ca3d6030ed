"""How two versions' answers to the same requests compare. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from monitor.agreement import EXAMPLES, ClassTally, NumberTally, Pair, Tolerance
from monitor.answers.comparison import Cell, ClassPairs, Example, NumberPairs, Shadow
from monitor.answers.figures import Figure, finite
from monitor.evidence import DEFAULT_TOLERANCE
from monitor.profiles import hash_of
from monitor.reports.figures import figure
from monitor.reports.tables import chosen, name_of, quantities
from monitor.sequential import proportion_interval
from monitor.store.pairing import agreement

MOST_CELLS: Final = 400
"""Cells of a confusion between versions, or between labels and answers."""


class Answered(NamedTuple):
    """A pair as it is stored: both first outputs as JSON."""

    request_id: str
    one: str
    other: str
    agree: bool
    relative: float | None


def shadow(pairs: Sequence[Answered], alpha: float, tolerance: float = DEFAULT_TOLERANCE) -> Shadow | None:
    """None without pairs. The inputs of the examples are not known here."""
    if not pairs:
        return None
    apart = [one for one in pairs if not within(one.agree, one.relative, tolerance)]
    agreeing = len(pairs) - len(apart)
    share = Figure.within(agreeing / len(pairs), proportion_interval(agreeing, len(pairs), alpha), len(pairs))
    rows = [_row(one) for one in pairs]
    numbers = quantities(answer for row in rows for answer in row[1:])
    shown = sorted(apart, key=lambda one: (hash_of(one.request_id), one.request_id))[:EXAMPLES]
    return Shadow(
        pairs=len(pairs),
        tolerance=tolerance,
        agreement=share,
        classes=None if numbers else _classes(rows, alpha),
        numbers=_numbers(rows, alpha, tolerance) if numbers else None,
        examples=tuple(_example(one, tolerance) for one in shown),
    )


def within(agree: bool, relative: float | None, tolerance: float) -> bool:
    """Whether answers agree that are the same, or numbers that far apart."""
    return agree or (relative is not None and relative <= tolerance)


def cells(confusion: Mapping[tuple[str, str], int]) -> tuple[Cell, ...]:
    """The largest ones, the largest first."""
    found = sorted(confusion.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Cell(one, other, count) for (one, other), count in found[:MOST_CELLS])


def _classes(rows: Sequence[Pair], alpha: float) -> ClassPairs:
    named = [Pair(row.request_id, name_of(row.stable), name_of(row.candidate)) for row in rows]
    report = ClassTally.of(named).report(alpha)
    return ClassPairs(figure(report.kappa), cells(report.confusion))


def _numbers(rows: Sequence[Pair], alpha: float, tolerance: float) -> NumberPairs:
    report = NumberTally.of(rows, Tolerance(relative=tolerance)).report(alpha)
    return NumberPairs(
        difference=figure(report.difference),
        kolmogorov_smirnov=finite(report.kolmogorov_smirnov),
        psi=finite(report.psi),
        jensen_shannon=finite(report.jensen_shannon),
    )


def _row(pair: Answered) -> Pair:
    """The row that stands for the request; both halves recorded the same number of rows, or they would be no pair."""
    one, other = orjson.loads(pair.one), orjson.loads(pair.other)
    at = chosen(pair.request_id, min(len(one), len(other)))
    return Pair(pair.request_id, one[at], other[at])


def _example(pair: Answered, tolerance: float) -> Example:
    one, other = orjson.loads(pair.one), orjson.loads(pair.other)
    found = (agreement([a], [b]) for a, b in zip(one, other, strict=False))
    at = next((at for at, it in enumerate(found) if not within(it.agree, it.relative, tolerance)), 0)
    return Example(pair.request_id, at, one[at], other[at], None)
