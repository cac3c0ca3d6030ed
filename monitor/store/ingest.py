"""Batches of records on their way into the tables, and with them all that follows from a record.

A record brings a line of its own, a place in the sums of its minute, the exposure of its key to its version, and the
answer that feedback may have been waiting for. All of it is one transaction with the number of its batch, so that a
batch is there as a whole, once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import sums
from monitor.store.dialect import chunks, inserting
from monitor.store.entries import Batch, Record
from monitor.store.schema import MICROSECONDS, exposures, feedback, records, senders
from monitor.store.sums import Bucket, Sums
from monitor.tallies import agrees

Of = tuple[str, str]
"""A namespace and a model."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch. `dropped`: the records that its sender has lost since the batch before."""

    accepted: int
    dropped: int = 0
    repeated: bool = False


async def take(connection: AsyncConnection, batches: Sequence[Batch], now: int) -> tuple[list[Taken], int]:
    """Store batches, in this order. What became of each, and how much feedback has found its record among them."""
    taken = await _number(connection, batches, now)
    fresh = [batch for batch, one in zip(batches, taken, strict=True) if not one.repeated]
    rows = [_row(batch, record) for batch in fresh for record in batch.records]
    if not rows:
        return taken, 0
    await connection.execute(insert(records), rows)
    changes: defaultdict[Bucket, Sums] = defaultdict(Sums)
    for batch in fresh:
        for record in batch.records:
            if not record.mirrored:
                changes[_bucket(batch, record)].add_request(record.status)
    joined = await _join(connection, fresh, changes)
    await sums.add(connection, changes)
    await _expose(connection, fresh)
    return taken, joined


async def _number(connection: AsyncConnection, batches: Sequence[Batch], now: int) -> list[Taken]:
    """Tell new batches from retransmissions, and remember the last one of each sender."""
    names = list({batch.replica for batch in batches})
    known: dict[str, tuple[int, int]] = {}
    for some in chunks(names):
        query = select(senders.c.replica, senders.c.batch, senders.c.dropped).where(senders.c.replica.in_(some))
        known |= {replica: (last, dropped) for replica, last, dropped in await connection.execute(query)}
    taken = []
    for batch in batches:
        last, dropped = known.get(batch.replica, (0, 0))
        if batch.batch <= last:
            taken.append(Taken(0, repeated=True))
        else:
            known[batch.replica] = (batch.batch, max(dropped, batch.dropped))
            taken.append(Taken(len(batch.records), dropped=max(0, batch.dropped - dropped)))
    rows = [
        {"replica": name, "batch": known[name][0], "dropped": known[name][1], "seen_at": now} for name in sorted(names)
    ]
    statement = inserting(connection, senders)
    newest = {name: statement.excluded[name] for name in ("batch", "dropped", "seen_at")}
    await connection.execute(statement.on_conflict_do_update(index_elements=["replica"], set_=newest), rows)
    return taken


async def _join(connection: AsyncConnection, batches: Sequence[Batch], changes: dict[Bucket, Sums]) -> int:
    """Give feedback that came before its record what it waited for; how much did."""
    answers: defaultdict[Of, dict[str, tuple[Batch, Record]]] = defaultdict(dict)
    for batch, record in _answers(batches):
        answers[batch.namespace, batch.model].setdefault(record.id, (batch, record))
    found = []
    for (namespace, model), by_id in answers.items():
        for some in chunks(list(by_id)):
            query = select(feedback.c.request_id, feedback.c.label, feedback.c.reward).where(
                feedback.c.namespace == namespace,
                feedback.c.model == model,
                feedback.c.request_id.in_(some),
                feedback.c.version.is_(None),
            )
            for name, label, reward in await connection.execute(query):
                batch, record = by_id[name]
                correct = None if label is None else agrees(label, record.outputs)
                bucket = changes[_bucket(batch, record)]
                if label is not None:
                    bucket.add_label(correct)
                if reward is not None:
                    bucket.add_reward(reward)
                found.append(
                    {
                        "of_namespace": namespace,
                        "of_model": model,
                        "of_request": name,
                        "version": batch.version,
                        "share": record.share,
                        "at": _time(record),
                        "correct": correct,
                    }
                )
    if found:
        same = (
            feedback.c.namespace == bindparam("of_namespace"),
            feedback.c.model == bindparam("of_model"),
            feedback.c.request_id == bindparam("of_request"),
        )
        await connection.execute(update(feedback).where(*same), found)
    return len(found)


async def _expose(connection: AsyncConnection, batches: Sequence[Batch]) -> None:
    first: dict[tuple[str, str, str, str], Record] = {}
    for batch, record in _answers(batches):
        if record.key is not None:
            exposure = (batch.namespace, batch.model, record.key, batch.version)
            known = first.get(exposure)
            if known is None or record.at < known.at:
                first[exposure] = record
    if not first:
        return
    names = ("namespace", "model", "key", "version")
    rows = [
        dict(zip(names, exposure, strict=True)) | {"share": record.share, "first_at": _time(record)}
        for exposure, record in first.items()
    ]
    statement = inserting(connection, exposures)
    earlier = {name: statement.excluded[name] for name in ("share", "first_at")}
    statement = statement.on_conflict_do_update(
        index_elements=names, set_=earlier, where=statement.excluded.first_at < exposures.c.first_at
    )
    await connection.execute(statement, rows)


def _answers(batches: Sequence[Batch]) -> Iterator[tuple[Batch, Record]]:
    return ((batch, record) for batch in batches for record in batch.records if record.is_answer)


def _bucket(batch: Batch, record: Record) -> Bucket:
    return Bucket.of(batch.namespace, batch.model, batch.version, record.share, _time(record))


def _time(record: Record) -> int:
    return round(record.at * MICROSECONDS)


def _row(batch: Batch, record: Record) -> dict[str, Any]:
    return {
        "namespace": batch.namespace,
        "model": batch.model,
        "version": batch.version,
        "request_id": record.id,
        "at": _time(record),
        "status": record.status,
        "ms": record.ms,
        "mirrored": record.mirrored,
        "rows": record.rows,
        "key": record.key,
        "share": record.share,
        "inputs": record.inputs,
        "outputs": record.outputs,
    }
