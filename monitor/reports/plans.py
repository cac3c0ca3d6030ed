"""How much a comparison needs of what a model's records, labels and pairs show."""

import asyncio
from math import sqrt
from typing import Final

from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.answers.plan import Plan
from monitor.evidence import DEFAULT_TOLERANCE
from monitor.reports.needs import Usual, Wish, planned
from monitor.reports.rows import Of
from monitor.store import sums
from monitor.store.schema import MICROSECONDS, pairs, records
from monitor.store.service import Store
from monitor.tallies import VersionTally

TRAFFIC_SECONDS: Final = 3_600.0
"""The time whose requests are the current traffic."""
_SHORTEST: Final = 60.0
"""Seconds that the traffic of a new model is taken over at least."""
_LOOKED_AT: Final = 1_000
"""Records by which it is estimated how many keep their outputs, which pairs are made of."""


async def plan(store: Store, of: Of, wish: Wish, *, version: str | None, given: Usual | None, now: float) -> Plan:
    """What is usual is `given`, or that of a version since `of.since`, by default of the one with the most requests.

    Raises `Unplannable`.
    """
    async with store.reading() as connection:
        tallies = await sums.total(connection, of.namespace, of.model, of.since, None)
        chosen = version or max(tallies, key=lambda name: tallies[name].requests, default="")
        usual = given or await _usual(connection, of, wish, chosen, tallies.get(chosen))
        per_request = await _per_request(connection, of, wish, list(tallies.values()))
        traffic = await _traffic(connection, of, now) * per_request
    return await asyncio.to_thread(planned, wish, usual, traffic or None, (of.namespace, of.model))


async def _usual(
    connection: AsyncConnection, of: Of, wish: Wish, version: str, tally: VersionTally | None
) -> Usual | None:
    """None without samples."""
    if wish.copies:
        agree = case((or_(pairs.c.agree, pairs.c.relative <= DEFAULT_TOLERANCE), 1))
        mine = of.within(pairs), pairs.c.stable == version
        count, good = (await connection.execute(select(func.count(), func.count(agree)).where(*mine))).one()
        return Usual(good / count, None, count, version) if count else None
    if tally is None:
        return None
    if wish.metric == "feedback-reward" and not tally.rewards.zero_one:
        count, total, squares = tally.rewards.count, tally.rewards.sum, tally.rewards.squares
        if count < 2:
            return None
        return Usual(total / count, sqrt(max(squares - total * total / count, 0.0) / (count - 1)), count, version)
    count, ones = {
        "feedback-accuracy": (tally.labels.count, tally.labels.correct),
        "feedback-reward": (tally.rewards.count, round(tally.rewards.sum)),
        "error-rate": (tally.requests, tally.errors),
    }[wish.metric]
    return Usual(ones / count, None, count, version) if count else None


async def _per_request(connection: AsyncConnection, of: Of, wish: Wish, tallies: list[VersionTally]) -> float:
    """Samples that a request leads to, sooner or later."""
    if wish.copies:
        newest = select(records.c.outputs).where(of.model_of(records)).order_by(records.c.at.desc()).limit(_LOOKED_AT)
        found = newest.subquery()
        every, kept = (await connection.execute(select(func.count(), func.count(found.c.outputs)))).one()
        return float(kept / every) if every else 0.0
    requests = sum(tally.requests for tally in tallies)
    counted = {
        "feedback-accuracy": sum(tally.labels.count for tally in tallies),
        "feedback-reward": sum(tally.rewards.count for tally in tallies),
        "error-rate": requests,
    }[wish.metric]
    return counted / requests if requests else 0.0


async def _traffic(connection: AsyncConnection, of: Of, now: float) -> float:
    """Live requests a second, over the last hour or since the model's first one."""
    query = select(records.c.at).where(of.model_of(records)).order_by(records.c.at).limit(1)
    first: int | None = (await connection.execute(query)).scalar()
    if first is None:
        return 0.0
    since = max(now - TRAFFIC_SECONDS, first / MICROSECONDS)
    counted = await sums.total(connection, of.namespace, of.model, since, None)
    return sum(tally.requests for tally in counted.values()) / max(now - since, _SHORTEST)
