"""The tables, the same in SQLite and PostgreSQL. Times are whole microseconds since the epoch.

Changes are made by a migration (`monitor/store/migrations`); a test compares its outcome with what is written here.
"""

from typing import Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

MICROSECONDS: Final = 1_000_000
MINUTE: Final = 60 * MICROSECONDS
NO_SHARE: Final = -1
"""Stands in a key for a share that is not known: keys hold no NULL."""

metadata = MetaData()


class Json(TypeDecorator[Any]):
    """JSON as text; None is NULL. A JSON column of SQLite would turn the text `3` into a number."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _: object) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, _: object) -> Any:
        return None if value is None else orjson.loads(value)


_Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself for this very type only

records = Table(
    "records",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("ms", Double, nullable=False),
    Column("mirrored", Boolean, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("key", Text),
    Column("share", Integer),
    Column("inputs", Json),
    Column("outputs", Json),
    Index("records_by_request", "namespace", "model", "request_id"),
    Index("records_by_time", "namespace", "model", "at"),
)
"""Requests as replicas saw them. An id may be there twice: mirrored, retried, or used again by a client."""

feedback = Table(
    "feedback",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("label", Json),
    Column("reward", Double),
    Column("received_at", BigInteger, nullable=False),
    Column("version", Text),
    Column("share", Integer),
    Column("at", BigInteger),
    Column("correct", Boolean),
    Index("feedback_by_time", "namespace", "model", "at"),
    Index("feedback_by_arrival", "received_at"),
    Index(
        "feedback_waiting",
        "namespace",
        "model",
        "request_id",
        sqlite_where=text("version IS NULL"),
        postgresql_where=text("version IS NULL"),
    ),
)
"""What became of requests. The last four columns are the answer's that it belongs to; without `version` it waits."""

exposures = Table(
    "exposures",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("share", Integer),
    Column("first_at", BigInteger, nullable=False),
    UniqueConstraint("namespace", "model", "key", "version", name="exposures_once"),
    Index("exposures_in_order", "namespace", "model", "id"),
    Index("exposures_by_time", "first_at"),
)
"""Which version answered which key, and with what share it was chosen the first time."""

senders = Table(
    "senders",
    metadata,
    Column("replica", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("senders_by_time", "seen_at"),
)
"""The last batch of every server that sends."""

tallies = Table(
    "tallies",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("share", Integer, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("rewards", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("reward_squares", Double, nullable=False),
    Column("other_rewards", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
    Column("correct", BigInteger, nullable=False),
)
"""Live requests and their feedback by the minute in which the request came; `other_rewards` are neither 0 nor 1."""
