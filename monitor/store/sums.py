"""Tallies that are kept up to date: sums by version, share and minute, changed with every record and feedback.

Asking for 10 million records is then asking for a few thousand rows. The first and the last minute of a period are
seldom whole; what lies in their parts is counted from the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.dialect import inserting
from monitor.store.schema import MICROSECONDS, MINUTE, NO_SHARE, feedback, records, tallies
from monitor.tallies import LabelTally, RewardTally, ShareTally, VersionTally


class Bucket(NamedTuple):
    """What is summed up in one row: live requests for one version, chosen with one share, of one minute."""

    namespace: str
    model: str
    minute: int
    version: str
    share: int

    @classmethod
    def of(cls, namespace: str, model: str, version: str, share: int | None, at: int) -> "Bucket":
        """The one of a request at `at`, in microseconds."""
        return cls(namespace, model, at // MINUTE, version, NO_SHARE if share is None else share)


@dataclass(slots=True)
class Sums:
    """A row of `tallies` without its key."""

    requests: int = 0
    errors: int = 0
    rewards: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0
    other_rewards: int = 0
    labels: int = 0
    correct: int = 0

    def add_request(self, status: int) -> None:
        """Count a live request."""
        self.requests += 1
        self.errors += status >= 500

    def add_reward(self, reward: float) -> None:
        """Count the reward of a live answer."""
        self.rewards += 1
        self.reward_sum += reward
        self.reward_squares += reward * reward
        self.other_rewards += reward not in (0, 1)

    def add_label(self, correct: bool | None) -> None:
        """Count the label of a live answer; one that could not be compared (None) is not counted."""
        self.labels += correct is not None
        self.correct += correct is True

    def add(self, other: "Sums") -> None:
        """Add all of it."""
        for name in NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


NAMES: Final = tuple(field.name for field in fields(Sums))
_OF_RECORDS: Final = ("requests", "errors")
_FAR: Final = 2 * 10**17 // MINUTE
"""A minute after all records."""


async def add(connection: AsyncConnection, changes: Mapping[Bucket, Sums]) -> None:
    """Add to the rows of these minutes."""
    if changes:
        insert = inserting(connection, tallies)
        grown = {name: tallies.c[name] + insert.excluded[name] for name in NAMES}
        rows = [bucket._asdict() | asdict(sums) for bucket, sums in changes.items()]
        await connection.execute(insert.on_conflict_do_update(index_elements=Bucket._fields, set_=grown), rows)


async def recount(connection: AsyncConnection, buckets: Iterable[Bucket]) -> None:
    """Sum up the feedback of these minutes again, from the rows.

    Taking a replaced reward back from a sum would leave its rounding error behind.
    """
    for bucket in buckets:
        part = (bucket.minute * MINUTE, (bucket.minute + 1) * MINUTE)
        query = _of_feedback(bucket.namespace, bucket.model, part)
        query = query.where(feedback.c.version == bucket.version, _share(feedback) == bucket.share)
        _, _, *values = (await connection.execute(query)).one()
        found = {name: value for name, value in zip(NAMES, values, strict=True) if name not in _OF_RECORDS}
        same = and_(*(tallies.c[name] == value for name, value in bucket._asdict().items()))
        await connection.execute(update(tallies).where(same).values(found))


async def total(
    connection: AsyncConnection, namespace: str, model: str, since: float, until: float | None
) -> dict[str, VersionTally]:
    """The tallies of requests from `since` until before `until`, by version. Seconds since the epoch."""
    start = round(since * MICROSECONDS)
    end = _FAR * MINUTE if until is None else round(until * MICROSECONDS)
    first, last = -(-start // MINUTE), end // MINUTE
    parts = [(start, first * MINUTE), (last * MINUTE, end)] if first <= last else [(start, end)]
    queries = [_of_minutes(namespace, model, first, last)]
    for part in parts:
        if part[0] < part[1]:
            queries += [_of_records(namespace, model, part), _of_feedback(namespace, model, part)]
    found: defaultdict[str, defaultdict[int, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for query in queries:
        for version, share, *values in await connection.execute(query):
            found[version][share].add(Sums(*values))
    return {version: _tally(by_share) for version, by_share in sorted(found.items())}


def _tally(by_share: Mapping[int, Sums]) -> VersionTally:
    every = Sums()
    for sums in by_share.values():
        every.add(sums)
    return VersionTally(
        requests=every.requests,
        errors=every.errors,
        rewards=RewardTally(every.rewards, every.reward_sum, every.reward_squares, zero_one=not every.other_rewards),
        labels=LabelTally(every.labels, every.correct),
        by_share=tuple(
            ShareTally(share, sums.rewards, sums.reward_sum, sums.reward_squares)
            for share, sums in sorted(by_share.items())
            if share != NO_SHARE
        ),
    )


def _of_minutes(namespace: str, model: str, first: int, last: int) -> Select[Any]:
    of, minute = _of_model(tallies, namespace, model), tallies.c.minute
    # PostgreSQL's sum of BIGINT is a NUMERIC.
    sums = {name: cast(func.sum(tallies.c[name]), tallies.c[name].type) for name in NAMES}
    return _grouped(tallies, sums).where(of, minute >= first, minute < last)


def _of_records(namespace: str, model: str, part: tuple[int, int]) -> Select[Any]:
    of, at = _of_model(records, namespace, model), records.c.at
    sums = {"requests": func.count(), "errors": _count(records.c.status >= 500)}
    return _grouped(records, sums).where(of, at >= part[0], at < part[1], records.c.mirrored == false())


def _of_feedback(namespace: str, model: str, part: tuple[int, int]) -> Select[Any]:
    of, at, reward, correct = (
        _of_model(feedback, namespace, model),
        *(feedback.c[it] for it in ("at", "reward", "correct")),
    )
    sums = {
        "rewards": func.count(reward),
        "reward_sum": func.coalesce(func.sum(reward), 0.0),
        "reward_squares": func.coalesce(func.sum(reward * reward), 0.0),
        "other_rewards": _count(reward.not_in((0, 1))),
        "labels": func.count(correct),
        "correct": _count(correct),
    }
    return _grouped(feedback, sums).where(of, at >= part[0], at < part[1])


def _grouped(table: Table, sums: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """Version, share, and the values of a `Sums`; what is not in `sums` is 0."""
    values = [sums.get(name, literal(0)).label(name) for name in NAMES]
    return select(table.c.version, _share(table), *values).group_by(table.c.version, _share(table))


def _of_model(table: Table, namespace: str, model: str) -> ColumnElement[bool]:
    return and_(table.c.namespace == namespace, table.c.model == model)


def _share(table: Table) -> ColumnElement[int]:
    return table.c.share if table is tallies else func.coalesce(table.c.share, literal_column(str(NO_SHARE)))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))
