"""What checks on predictions decide by (`monitor.evidence`), counted from the tables."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Double, Text, and_, case, cast, func, or_, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import DriftTally, ErrorTally, Evidence, PairTally
from monitor.profiles import Profile
from monitor.reports.following import WINDOW, Entry, Family, Follower
from monitor.reports.references import Reference, References
from monitor.reports.rows import Of, raw
from monitor.store import sums
from monitor.store.schema import feedback, pairs, records
from monitor.store.service import Store
from monitor.tallies import VersionTally

Metric = Literal[
    "shadow-agreement", "feedback-accuracy", "feedback-reward", "feedback-error", "feature-drift", "prediction-drift"
]
"""A metric of checks that there is evidence for."""
METRICS: Final = frozenset[Metric](get_args(Metric))
_BUDGET: Final = 0.5
"""Seconds for which one question may read records that it had not read; it then answers by those that it has."""
_BACKLOG: Final = 2 * WINDOW
"""Records that may wait to be read; older ones are passed over. Which those are does not depend on their values, so
what is said of the others is as true as before."""
_FOLLOWED: Final = 64
"""Families of columns that are followed at once; whoever was not asked about longest is read again from the start."""
_LARGEST: Final = 1e150
"""Squares of larger numbers, and their sums, could not be represented."""


@dataclass(slots=True)
class _Followed:
    follower: Follower
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class EvidenceReports:
    """Answers about a stable version and a candidate. For one event loop."""

    def __init__(self, store: Store, references: References, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._references = references
        self._clock = clock
        self._followed: OrderedDict[tuple[object, ...], _Followed] = OrderedDict()

    async def about(
        self, of: Of, versions: tuple[str, str], metrics: frozenset[Metric], tolerances: Sequence[float]
    ) -> Evidence:
        """What these metrics need of `versions` (stable, candidate), and nothing else. Of no model known: nothing."""
        tallies: Mapping[str, VersionTally] = {}
        errors: Mapping[str, ErrorTally] = {}
        counted: tuple[PairTally, ...] = ()
        async with self._store.reading() as connection:
            if metrics & {"feedback-accuracy", "feedback-reward"}:
                every = await sums.total(connection, of.namespace, of.model, of.since, of.until)
                tallies = {version: tally for version, tally in every.items() if version in versions}
            if "feedback-error" in metrics:
                errors = await _errors(connection, of, versions)
            if "shadow-agreement" in metrics:
                counted = await _pairs(connection, of, versions, tolerances)
        return Evidence(
            versions=tallies,
            errors=errors,
            pairs=counted,
            features=await self._drift(of, versions, Family.FEATURES) if "feature-drift" in metrics else None,
            predictions=await self._drift(of, versions, Family.PREDICTIONS) if "prediction-drift" in metrics else None,
        )

    async def _drift(self, of: Of, versions: tuple[str, str], family: Family) -> DriftTally:
        reference = await self._references.of_candidate(of.namespace, of.model, versions, of.since, family)
        if reference.profile is None:
            return DriftTally(reference_samples=reference.samples)
        followed = self._follow(of, versions[1], family, reference, reference.profile)
        async with followed.lock:
            await self._catch_up(of, versions[1], family, followed.follower)
        moves = await asyncio.to_thread(followed.follower.moves)
        return DriftTally(reference.source, reference.samples, followed.follower.samples, moves)

    def _follow(self, of: Of, version: str, family: Family, reference: Reference, profile: Profile) -> _Followed:
        key = (
            of.namespace,
            of.model,
            of.since,
            version,
            family,
            reference.version,
            reference.source,
            reference.made_at,
        )
        if (known := self._followed.get(key)) is not None:
            self._followed.move_to_end(key)
            return known
        followed = self._followed[key] = _Followed(Follower(profile, family))
        if len(self._followed) > _FOLLOWED:
            self._followed.popitem(last=False)
        return followed

    async def _catch_up(self, of: Of, version: str, family: Family, follower: Follower) -> None:
        """Read what has been stored since the last question, in transactions and pieces of work that are short."""
        content = raw(records.c[family.recorded])
        mine = of.within(records), records.c.version == version
        query = select(records.c.id, records.c.request_id, content).where(*mine)
        waiting = select(records.c.id).where(*mine, records.c.id > follower.cursor).order_by(records.c.id.desc())
        async with self._store.reading() as connection:
            passed = (await connection.execute(waiting.offset(_BACKLOG).limit(1))).scalar()
        follower.pass_over(passed or 0)
        until = self._clock() + _BUDGET
        while True:
            some = query.where(records.c.id > follower.cursor).order_by(records.c.id).limit(follower.step)
            async with self._store.reading() as connection:
                rows = (await connection.execute(some)).all()
            await asyncio.to_thread(follower.take, [Entry(*row) for row in rows])
            if len(rows) < follower.step or self._clock() >= until:
                return


async def _pairs(
    connection: AsyncConnection, of: Of, versions: tuple[str, str], tolerances: Sequence[float]
) -> tuple[PairTally, ...]:
    within = [or_(pairs.c.agree, pairs.c.relative <= tolerance) for tolerance in tolerances]
    query = select(func.count(), *(func.count(case((agree, 1))) for agree in within)).where(
        of.within(pairs), pairs.c.stable == versions[0], pairs.c.candidate == versions[1]
    )
    every, *agreeing = (await connection.execute(query)).one()
    return tuple(PairTally(one, every, count) for one, count in zip(tolerances, agreeing, strict=True))


async def _errors(connection: AsyncConnection, of: Of, versions: tuple[str, str]) -> dict[str, ErrorTally]:
    label, answer = _number(feedback.c.label), _number(feedback.c.answer)
    apart = func.abs(answer - label)
    counted = and_(label.between(-_LARGEST, _LARGEST), answer.between(-_LARGEST, _LARGEST))
    query = (
        select(feedback.c.version, func.count(), func.sum(apart), func.sum(apart * apart))
        .where(of.within(feedback), feedback.c.version.in_(versions), counted)
        .group_by(feedback.c.version)
    )
    return {version: ErrorTally(*sums) for version, *sums in await connection.execute(query)}


def _number(column: ColumnElement[Any]) -> ColumnElement[float]:
    """The number that this JSON is, NULL for other JSON: only a number begins with a digit or a minus sign."""
    text = type_coerce(column, Text)
    return case((func.substr(text, 1, 1).in_([*"-0123456789"]), cast(text, Double)))
