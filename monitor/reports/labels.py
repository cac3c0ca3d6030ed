"""What labels say of a version's answers. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import ColumnElement

from monitor.answers.comparison import Classification, ClassScore, Labels, Regression
from monitor.performance import ClassificationTally, LabelLag, RegressionTally
from monitor.profiles import number
from monitor.reports.figures import figure
from monitor.reports.rows import raw
from monitor.reports.shadow import cells
from monitor.reports.tables import name_of, quantities
from monitor.store.schema import MICROSECONDS, feedback

MOST_SCORES: Final = 100
"""Classes whose scores are told."""
_LARGEST: Final = 1e70
"""The fourth powers of larger errors could not be represented."""


class Judged(NamedTuple):
    """Feedback with the answer that it is about, as it is stored. Times are in microseconds; label and answer JSON."""

    version: str
    at: int
    received_at: int
    label: str | None
    reward: float | None
    answer: str | None
    correct: bool | None


def judged_columns() -> list[ColumnElement[Any]]:
    """What a `Judged` is read from."""
    return [raw(feedback.c[name]) if name in ("label", "answer") else feedback.c[name] for name in Judged._fields]


class Scored(NamedTuple):
    """A label and the answer that it is held against."""

    at: int
    label: Any
    answer: Any
    correct: bool


def scored(rows: Sequence[Judged]) -> list[Scored]:
    """Those with a label and a recorded answer, in their order."""
    return [
        Scored(row.at, orjson.loads(row.label), orjson.loads(row.answer), row.correct)
        for row in rows
        if row.label is not None and row.answer is not None and row.correct is not None
    ]


def regressive(rows: Sequence[Scored]) -> bool:
    """Whether labels and answers are quantities, whose distance counts, rather than names of classes."""
    return quantities(value for row in rows for value in (row.label, row.answer))


def errors(rows: Sequence[Scored]) -> NDArray[np.float64]:
    """Answer - label of each row; NaN where either is missing or too large to be reckoned with."""
    apart = np.array([number(row.answer) - number(row.label) for row in rows], dtype=np.float64)
    return np.where(np.abs(apart) < _LARGEST, apart, np.nan)


def detectable(rows: Sequence[Scored]) -> tuple[list[Scored], list[float], float]:
    """What detectors of change are shown: rows, the error of each, and the largest error.

    It is 0 or 1 for classes; for numbers the distance, of which those above their 95th percentile count as that, as
    detectors want errors within bounds.
    """
    if not regressive(rows):
        return list(rows), [0.0 if one.correct else 1.0 for one in rows], 1.0
    apart = np.abs(errors(rows))
    usable = np.isfinite(apart)
    apart = apart[usable]
    largest = float(np.quantile(apart, 0.95)) or 1.0 if apart.size else 1.0
    found = [one for one, there in zip(rows, usable, strict=True) if there]
    return found, np.minimum(apart, largest).tolist(), largest


def labels(rows: Sequence[Judged], predictions: int, alpha: float) -> Labels | None:
    """None without labels. `predictions`: the version's answers that could have a label."""
    labelled = [row for row in rows if row.label is not None]
    if not labelled:
        return None
    lag = LabelLag.of(predictions, (max(0, row.received_at - row.at) / MICROSECONDS for row in labelled))
    judged = scored(labelled)
    numbers = regressive(judged)
    return Labels(
        labels=len(labelled),
        scored=len(judged),
        coverage=None if lag.coverage is None else min(lag.coverage, 1.0),
        median_seconds=_seconds(lag, 0.5),
        p90_seconds=_seconds(lag, 0.9),
        classification=_classification(judged, alpha) if judged and not numbers else None,
        regression=_regression(judged, alpha) if numbers else None,
    )


def macro_f1(confusion: Mapping[tuple[str, str], int]) -> float | None:
    """The mean over classes of 2 tp / (2 tp + fp + fn), as `ClassificationTally` has it; None without records."""
    labelled, answered = Counter[str](), Counter[str]()
    for (label, answer), count in confusion.items():
        labelled[label] += count
        answered[answer] += count
    names = labelled.keys() | answered.keys()
    if not names:
        return None
    return sum(2 * confusion.get((name, name), 0) / (labelled[name] + answered[name]) for name in names) / len(names)


def _seconds(lag: LabelLag, q: float) -> float | None:
    found = lag.quantile(q)
    return None if found == inf else found


def _classification(rows: Sequence[Scored], alpha: float) -> Classification:
    pairs = [(name_of(row.label), name_of(row.answer)) for row in rows]
    report = ClassificationTally(dict(Counter(pairs))).report(alpha)
    scores = list(report.classes.values())
    frequent = Counter(label for label, _ in pairs)
    names = sorted(report.classes, key=lambda name: (-frequent[name], name))[:MOST_SCORES]
    return Classification(
        accuracy=figure(report.accuracy),
        precision=float(np.mean([one.precision.value for one in scores])),
        recall=float(np.mean([one.recall.value for one in scores])),
        macro_f1=figure(report.macro_f1),
        classes=tuple(
            ClassScore(name, figure(one.precision), figure(one.recall), figure(one.f1))
            for name in names
            for one in [report.classes[name]]
        ),
        confusion=cells(report.confusion),
    )


def _regression(rows: Sequence[Scored], alpha: float) -> Regression:
    usable = np.isfinite(errors(rows))
    truth = np.array([number(row.label) for row in rows])[usable]
    guess = np.array([number(row.answer) for row in rows])[usable]
    report = RegressionTally.of(truth, guess).report(alpha)
    return Regression(figure(report.mae), figure(report.rmse), figure(report.r2))
