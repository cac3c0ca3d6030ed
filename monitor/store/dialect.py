"""What SQLite and PostgreSQL do each in their own way: `INSERT … ON CONFLICT`, and many rows at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Table, Text, any_, insert, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

MANY: Final = 500
"""Values in one `IN (…)`: SQLite and PostgreSQL take more, but plan no faster."""

T = TypeVar("T")
_INSERT: Final[Mapping[str, Callable[[Table], Any]]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def inserting(connection: AsyncConnection, table: Table) -> Any:
    """An INSERT that has `excluded`, `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return _INSERT[connection.dialect.name](table)


def among(connection: AsyncConnection, column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    """Whether the column is one of these texts.

    PostgreSQL gets an array: `IN (…)` would be parsed and planned anew for every number of values.
    """
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(values), postgresql.ARRAY(Text)))
    return column.in_(values)


async def append(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, each with the same columns. PostgreSQL takes them as one stream (COPY), four times as fast."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        await connection.execute(insert(table), rows)
        return
    columns = [table.c[name] for name in rows[0]]
    binds = [(column.name, column.type.bind_processor(connection.dialect)) for column in columns]
    values = (tuple(bind(row[name]) if bind else row[name] for name, bind in binds) for row in rows)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(table.name, columns=[column.name for column in columns], records=values)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, `MANY` at a time."""
    for start in range(0, len(values), MANY):
        yield values[start : start + MANY]
