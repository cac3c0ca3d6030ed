"""What happened to one request."""

from typing import Final

from sqlalchemy import select

from monitor.answers.audit import RequestHistory, Said, Served
from monitor.reports.rows import Of
from monitor.store.entries import shortened
from monitor.store.schema import MICROSECONDS, feedback, records
from monitor.store.service import Store

_MOST: Final = 100
"""Records of one id: clients may use an id as often as they like."""


async def history(store: Store, namespace: str, model: str, request_id: str) -> RequestHistory:
    """Every record of the id, the first stored one first, and what people said about it."""
    of, name = Of(namespace, model), shortened(request_id)
    entries = select(records).where(of.model_of(records), records.c.request_id == name).order_by(records.c.id)
    about = select(feedback).where(of.model_of(feedback), feedback.c.request_id == name)
    async with store.reading() as connection:
        served = (await connection.execute(entries.limit(_MOST))).all()
        said = (await connection.execute(about)).first()
    return RequestHistory(
        request_id=name,
        records=tuple(
            Served(
                version=row.version,
                mirrored=row.mirrored,
                at=row.at / MICROSECONDS,
                status=row.status,
                ms=row.ms,
                rows=row.rows,
                key=row.key,
                share=row.share,
                inputs=row.inputs,
                outputs=row.outputs,
            )
            for row in served
        ),
        feedback=None
        if said is None
        else Said(said.label, said.reward, said.received_at / MICROSECONDS, said.version, said.correct),
    )
