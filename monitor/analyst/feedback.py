"""What people say about a model's newest answers: figures by version, and whether errors have become more."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.analyst.figures import FeedbackFigures, Pair, PairFigures, Version
from monitor.analyst.findings import concept_changed
from monitor.concept import Adwin, Change, PageHinkleyTest, watch
from monitor.event import Event
from monitor.reports.labels import Judged, Scored, detectable, errors, judged_columns, regressive, scored
from monitor.reports.rows import Of
from monitor.store.schema import MICROSECONDS, feedback, pairs
from monitor.verdict import Verdict

NEWEST: Final = 2_000
"""Feedback of a version, and pairs of a model, that figures are of."""
MOST: Final = 10_000
"""Feedback of a model in which changes are looked for: the newest."""
_LAGS: Final = (0.5, 0.9)


def newest_feedback(namespace: str, model: str) -> Select[Any]:
    """The rows of `Judged`, the newest request first."""
    mine = Of(namespace, model).model_of(feedback), feedback.c.version.is_not(None)
    return select(*judged_columns()).where(*mine).order_by(feedback.c.at.desc()).limit(MOST)


def told(
    namespace: str, model: str, rows: Sequence[Judged], at: float
) -> tuple[dict[Version, FeedbackFigures], list[Event]]:
    """Figures of each version, and events; the rows with the newest request first."""
    figures, events = {}, []
    for name in dict.fromkeys(row.version for row in rows):
        version = Version(namespace, model, name)
        mine = [row for row in rows if row.version == name]
        figures[version] = _figures(mine[:NEWEST])
        events += _changes(version, scored(mine[::-1]), at)
    return figures, events


async def newest_pairs(connection: AsyncConnection, namespace: str, model: str) -> dict[Pair, PairFigures]:
    """How many of the newest pairs agree, by the two versions."""
    mine = Of(namespace, model).model_of(pairs)
    rows = select(pairs.c.stable, pairs.c.candidate, pairs.c.agree).where(mine)
    table = rows.order_by(pairs.c.at.desc()).limit(NEWEST).subquery()
    count = func.count().label("count")
    query = select(table.c.candidate, table.c.stable, table.c.agree, count).group_by(*table.c)
    found: dict[Pair, PairFigures] = {}
    for candidate, stable, agree, number in await connection.execute(query):
        pair = Pair(namespace, model, candidate, stable)
        known = found.get(pair, PairFigures(0, 0))
        found[pair] = PairFigures(known.count + number, known.agreeing + (number if agree else 0))
    return found


def _figures(rows: Sequence[Judged]) -> FeedbackFigures:
    judged = scored(rows)
    numbers = regressive(judged)
    apart = np.abs(errors(judged)) if numbers else np.empty(0)
    apart = apart[np.isfinite(apart)]
    rewards = [row.reward for row in rows if row.reward is not None]
    lags = np.quantile([max(0, row.received_at - row.at) / MICROSECONDS for row in rows], _LAGS)
    return FeedbackFigures(
        count=len(rows),
        accuracy=float(np.mean([row.correct for row in judged])) if judged and not numbers else None,
        absolute_error=float(apart.mean()) if apart.size else None,
        reward=float(np.mean(rewards)) if rewards else None,
        lags=dict(zip(_LAGS, lags.tolist(), strict=True)),
    )


def _changes(version: Version, rows: Sequence[Scored], at: float) -> list[Event]:
    """The last change of the errors, if it was a rise and both detectors say so: one alone is mistaken more often."""
    judged, series, scale = detectable(rows)
    one = watch(PageHinkleyTest(threshold=20 * scale, tolerance=0.05 * scale), series)
    other = watch(Adwin(scale=scale), series) if one.verdict is Verdict.FAIL else one
    if other.verdict is not Verdict.FAIL or one.verdict is not Verdict.FAIL:
        return []
    change: Change = other.changes[-1]
    return [concept_changed(version, change, judged[change.since].at / MICROSECONDS, at)]
