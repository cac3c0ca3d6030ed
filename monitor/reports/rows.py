"""Reading many rows without holding up others, and without running out of memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, Table, Text, and_, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.schema import MICROSECONDS, records

MOST_ROWS: Final = 100_000
"""Rows that a report is made of."""
MOST_TEXT: Final = 128 << 20
"""Characters in them."""
_STEP: Final = 1_000


@dataclass(frozen=True, slots=True)
class Of:
    """A model, and the period in which requests came: from `since` until before `until`, seconds since the epoch."""

    namespace: str
    model: str
    since: float = 0.0
    until: float | None = None

    def within(self, table: Table) -> ColumnElement[bool]:
        """Whether a row of `table` is about it."""
        of = [self.model_of(table), table.c.at >= round(self.since * MICROSECONDS)]
        return and_(*of, *([] if self.until is None else [table.c.at < round(self.until * MICROSECONDS)]))

    def model_of(self, table: Table) -> ColumnElement[bool]:
        """Whether a row of `table` is about the model, whenever it was."""
        return and_(table.c.namespace == self.namespace, table.c.model == self.model)


@dataclass(frozen=True, slots=True)
class Read:
    """The rows that were read, and whether there were more."""

    rows: Sequence[Any]
    cut: bool


def raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """JSON as it is stored, to be parsed where nobody waits."""
    return type_coerce(column, Text)


def recorded_columns() -> list[ColumnElement[Any]]:
    """What a `Recorded` is read from."""
    return [records.c.id, records.c.request_id, records.c.at, raw(records.c.inputs), raw(records.c.outputs)]


async def read(connection: AsyncConnection, query: Select[Any], most: int = MOST_ROWS, text: int = MOST_TEXT) -> Read:
    """The first rows of a query: `most` at most, and with about `text` characters at most."""
    rows: list[Row[Any]] = []
    async with connection.stream(query.limit(most + 1)) as result:
        async for some in result.partitions(_STEP):
            rows += some
            text -= sum(len(value) for row in some for value in row if isinstance(value, str))
            if text < 0:
                return Read(rows[:most], cut=True)
    return Read(rows[:most], cut=len(rows) > most)
