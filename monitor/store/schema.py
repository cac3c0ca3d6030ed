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
"""No number is given again, not even when all rows have been deleted: for SQLite that is `sqlite_autoincrement`."""

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
    Index("records_by_version", "namespace", "model", "version", "id"),
    Index(
        "records_mirrored",
        "namespace",
        "model",
        "request_id",
        sqlite_where=text("mirrored = 1"),
        postgresql_where=text("mirrored"),
    ),
    sqlite_autoincrement=True,
)
"""Requests as replicas saw them. An id may be there twice: mirrored, retried, or used again by a client.

In PostgreSQL each day of `at` is a partition (`monitor.store.partitions`), and the primary key is (id, at).
"""

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
    Column("answer", Json),
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
"""What became of requests. The last five columns are the answer's that it belongs to; without `version` it waits.

`answer` is the first row of its first output, NULL when none was recorded.
"""

pairs = Table(
    "pairs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("stable", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("one", Json, nullable=False),
    Column("other", Json, nullable=False),
    Column("agree", Boolean, nullable=False),
    Column("difference", Double),
    Column("relative", Double),
    UniqueConstraint("namespace", "model", "request_id", "stable", "candidate", name="pairs_once"),
    Index("pairs_by_time", "namespace", "model", "at"),
    sqlite_autoincrement=True,
)
"""Requests that two versions answered: `stable` the user, `candidate` a copy. `at` is when the user's came.

`one` and `other` are the rows of their first outputs, `agree` whether all are the same; for numbers `difference` and
`relative` say how far apart the farthest are (`monitor.store.pairing`).
"""

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
    sqlite_autoincrement=True,
)
"""Which version answered which key, and with what share it was chosen the first time."""

senders = Table(
    "senders",
    metadata,
    Column("replica", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("gaps", Json),
    Index("senders_by_time", "seen_at"),
)
"""The last batch of every server that sends, and the numbers before it that have not come (`monitor.store.senders`)."""

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

baselines = Table(
    "baselines",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("features", Text),
    Column("predictions", Text),
)
"""What drift is measured from: profiles as JSON (`monitor.profiles`). `source`: `file` or `records`."""

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("details", Json),
    UniqueConstraint("key", name="events_once"),
    Index("events_by_time", "at"),
    sqlite_autoincrement=True,
)
"""What people should hear of, once for each `key`.

`kind`: `rollout`, `drift`, `degradation`, `quality` or `anomaly`. `severity`: `info` or `warning`.
"""

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("error", Text),
    Index("deliveries_due", "done_at", "next_at"),
)
"""Where an event has to go, and how far that has got: the next attempt, or when it arrived; the last failure."""

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""The last row that whoever follows a table, by its name, has dealt with."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""Work that one process does at a time: whose it is until when, unless it is renewed."""

watches = Table(
    "watches",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("state", Json, nullable=False),
)
"""Watches for drift from a `reference`: their state by column, after the record `position`."""
