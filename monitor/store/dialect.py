"""The one statement that SQLite and PostgreSQL share and standard SQL has not: `INSERT … ON CONFLICT`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

MANY: Final = 500
"""Values in one `IN (…)`: SQLite and PostgreSQL take more, but plan no faster."""

T = TypeVar("T")
_INSERT: Final[Mapping[str, Callable[[Table], Any]]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def inserting(connection: AsyncConnection, table: Table) -> Any:
    """An INSERT that has `excluded`, `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return _INSERT[connection.dialect.name](table)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, `MANY` at a time."""
    for start in range(0, len(values), MANY):
        yield values[start : start + MANY]
