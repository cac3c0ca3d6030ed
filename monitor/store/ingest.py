"""Batches of records on their way into the tables, and with them all that follows from a record.

A record brings a line of its own, a place in the sums of its minute, the exposure of its key to its version, and the
answer that feedback may have been waiting for. All of it is one transaction with the number of its batch, so that a
batch is there as a whole, once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import pairs, partitions, senders, sums
from monitor.store.dialect import among, append, chunks, inserting
from monitor.store.entries import Batch, Record
from monitor.store.pairing import first_row
from monitor.store.partitions import DAY
from monitor.store.schema import MICROSECONDS, exposures, feedback, records
from monitor.store.senders import Taken
from monitor.store.sums import Bucket, Sums
from monitor.tallies import agrees

Of = tuple[str, str]
"""A namespace and a model."""


@dataclass(frozen=True, slots=True)
class Found:
    """What records brought together: `feedback` that had waited for one of them, `pairs` of which they are a half."""

    feedback: int = 0
    pairs: int = 0


async def take(connection: AsyncConnection, batches: Sequence[Batch], now: int) -> tuple[list[Taken], Found]:
    """Store batches, in this order. What became of each, and what they brought together."""
    taken = await senders.take(connection, batches, now)
    fresh = [batch for batch, one in zip(batches, taken, strict=True) if not one.repeated]
    rows = [_row(batch, record) for batch in fresh for record in batch.records]
    if not rows:
        return taken, Found()
    await partitions.prepare(connection, {row["at"] // DAY for row in rows})
    await append(connection, records, rows)
    paired = await pairs.join(connection, fresh)
    changes: defaultdict[Bucket, Sums] = defaultdict(Sums)
    for batch in fresh:
        for record in batch.records:
            if not record.mirrored:
                changes[_bucket(batch, record)].add_request(record.status)
    joined = await _join(connection, fresh, changes)
    await sums.add(connection, changes)
    await _expose(connection, fresh)
    return taken, Found(joined, paired)


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
                among(connection, feedback.c.request_id, some),
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
                        "answer": first_row(record.outputs),
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
