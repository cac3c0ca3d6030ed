"""Labels and rewards on their way into the table, each to the answer that it is about.

A piece of feedback is taken as a whole or not at all. The same said again changes nothing; a label and a reward of one
request may come one after the other. Another value for what is there already is a conflict, unless it is said to
replace it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from sqlalchemy import false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import sums
from monitor.store.dialect import among, chunks, inserting
from monitor.store.entries import Feedback, Item
from monitor.store.pairing import first_row
from monitor.store.schema import feedback, records
from monitor.store.sums import Bucket, Sums
from monitor.tallies import agrees, same

_NAMED: Final = 3
"""Requests that the message about a conflict names."""


class FeedbackConflict(Exception):
    """Some of it contradicts what is there; none of it was taken."""

    def __init__(self, requests: Sequence[str]) -> None:
        more = f" and {len(requests) - _NAMED} more" if len(requests) > _NAMED else ""
        super().__init__(
            f"another label or reward is known already for request {', '.join(requests[:_NAMED])}{more}; nothing was "
            "taken: send it without them, or with `replace` set to true"
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """`accepted` items; `unknown` of them are about requests that no record is known of so far."""

    accepted: int
    unknown: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the user got."""

    version: str
    share: int | None
    at: int
    outputs: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class _Said:
    """A row of the table, as far as it can change."""

    label: object
    reward: float | None
    version: str | None
    share: int | None
    at: int | None
    correct: bool | None
    answer: object


_NOTHING: Final = _Said(None, None, None, None, None, None, None)


async def take(connection: AsyncConnection, given: Feedback, now: int) -> Heard:
    """Store feedback. Raises `FeedbackConflict`; then nothing has been written."""
    names = list({item.request_id for item in given.items})
    before = await _known(connection, given, names)
    answers = await _answers(connection, given, names)
    after = dict(before)
    conflicts = []
    for item in given.items:
        old = after.get(item.request_id)
        if old is not None and _contradicts(item, old) and not given.replace:
            conflicts.append(item.request_id)
        after[item.request_id] = _merged(item, old, answers.get(item.request_id))
    if conflicts:
        raise FeedbackConflict(sorted(set(conflicts)))
    changed = {name: said for name, said in after.items() if not _equal(said, before.get(name))}
    if changed:
        await _write(connection, given, changed, now)
        await _sum_up(connection, given, before, changed)
    return Heard(len(given.items), sum(after[item.request_id].version is None for item in given.items))


def _equal(said: _Said, old: _Said | None) -> bool:
    """Python has 1 and True for equal, JSON has not."""
    return old is not None and said == old and same(said.label, old.label)


def _contradicts(item: Item, old: _Said) -> bool:
    label = item.label is not None and old.label is not None and not same(item.label, old.label)
    return label or (item.reward is not None and old.reward is not None and item.reward != old.reward)


def _merged(item: Item, old: _Said | None, answer: _Answer | None) -> _Said:
    """What is known of a request once this has been said too."""
    if old is None:
        if answer is None:
            return replace(_NOTHING, label=item.label, reward=item.reward)
        correct = None if item.label is None else agrees(item.label, answer.outputs)
        said = first_row(answer.outputs)
        return _Said(item.label, item.reward, answer.version, answer.share, answer.at, correct, said)
    reward = old.reward if item.reward is None else item.reward
    if item.label is None or same(item.label, old.label):
        return replace(old, reward=reward)
    correct = None if answer is None else agrees(item.label, answer.outputs)
    return replace(old, label=item.label, reward=reward, correct=correct)


async def _known(connection: AsyncConnection, given: Feedback, names: Sequence[str]) -> dict[str, _Said]:
    """What has been said about these requests."""
    columns = [feedback.c[field.name] for field in fields(_Said)]
    known: dict[str, _Said] = {}
    for some in chunks(names):
        query = select(feedback.c.request_id, *columns).where(
            feedback.c.namespace == given.namespace,
            feedback.c.model == given.model,
            among(connection, feedback.c.request_id, some),
        )
        known |= {name: _Said(*values) for name, *values in await connection.execute(query)}
    return known


async def _answers(connection: AsyncConnection, given: Feedback, names: Sequence[str]) -> dict[str, _Answer]:
    """The first live answer to each of these requests."""
    columns = [records.c[field.name] for field in fields(_Answer)]
    found: dict[str, _Answer] = {}
    for some in chunks(names):
        query = select(records.c.request_id, *columns).where(
            records.c.namespace == given.namespace,
            records.c.model == given.model,
            among(connection, records.c.request_id, some),
            records.c.mirrored == false(),
            records.c.status < 500,
        )
        for name, *values in await connection.execute(query.order_by(records.c.id)):
            found.setdefault(name, _Answer(*values))
    return found


async def _write(connection: AsyncConnection, given: Feedback, changed: Mapping[str, _Said], now: int) -> None:
    fixed = {"namespace": given.namespace, "model": given.model, "received_at": now}
    columns = [field.name for field in fields(_Said)]
    rows = [
        fixed | {"request_id": name} | {column: getattr(said, column) for column in columns}
        for name, said in changed.items()
    ]
    statement = inserting(connection, feedback)
    newest = {name: statement.excluded[name] for name in ("received_at", *columns)}
    keys = ["namespace", "model", "request_id"]
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=newest), rows)


async def _sum_up(
    connection: AsyncConnection, given: Feedback, before: Mapping[str, _Said], changed: Mapping[str, _Said]
) -> None:
    """Add to the sums what was said for the first time, and count anew where something was replaced."""
    added: defaultdict[Bucket, Sums] = defaultdict(Sums)
    replaced = set()
    for name, said in changed.items():
        if said.version is None or said.at is None:
            continue
        bucket = Bucket.of(given.namespace, given.model, said.version, said.share, said.at)
        old = before.get(name, _NOTHING)
        if (old.label is not None and not same(old.label, said.label)) or (old.reward not in (None, said.reward)):
            replaced.add(bucket)
            continue
        if old.label is None and said.label is not None:
            added[bucket].add_label(said.correct)
        if old.reward is None and said.reward is not None:
            added[bucket].add_reward(said.reward)
    await sums.add(connection, added)
    await sums.recount(connection, sorted(replaced))
