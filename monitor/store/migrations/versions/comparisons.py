"""What versions are compared by: pairs, answers beside labels, baselines; events; records by day on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

from monitor.store.partitions import DAY, attach

revision = "comparisons"
down_revision = "records"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RECORDS = (
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("ms", sa.Double, nullable=False),
    sa.Column("mirrored", sa.Boolean, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("share", sa.Integer),
    sa.Column("inputs", sa.Text),
    sa.Column("outputs", sa.Text),
)


def upgrade() -> None:
    """From `records`."""
    if op.get_bind().dialect.name == "postgresql":
        _part_records()
    op.create_index("records_by_version", "records", ["namespace", "model", "version", "id"])
    op.create_index(
        "records_mirrored",
        "records",
        ["namespace", "model", "request_id"],
        sqlite_where=sa.text("mirrored = 1"),
        postgresql_where=sa.text("mirrored"),
    )
    op.add_column("feedback", sa.Column("answer", sa.Text))
    op.add_column("senders", sa.Column("gaps", sa.Text))
    op.create_table(
        "pairs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("stable", sa.Text, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("one", sa.Text, nullable=False),
        sa.Column("other", sa.Text, nullable=False),
        sa.Column("agree", sa.Boolean, nullable=False),
        sa.Column("difference", sa.Double),
        sa.Column("relative", sa.Double),
        sa.UniqueConstraint("namespace", "model", "request_id", "stable", "candidate", name="pairs_once"),
    )
    op.create_index("pairs_by_time", "pairs", ["namespace", "model", "at"])
    op.create_table(
        "baselines",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("features", sa.Text),
        sa.Column("predictions", sa.Text),
    )
    op.create_table(
        "events",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("details", sa.Text),
        sa.UniqueConstraint("key", name="events_once"),
    )
    op.create_index("events_by_time", "events", ["at"])
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("error", sa.Text),
    )
    op.create_index("deliveries_due", "deliveries", ["done_at", "next_at"])


def _part_records() -> None:
    """Move the rows into partitions, a day at a time: a statement must not take long."""
    connection = op.get_bind()
    for index in ("pkey", "by_request", "by_time"):
        op.execute(f"ALTER INDEX records_{index} RENAME TO unparted_{index}")
    op.execute("ALTER SEQUENCE records_id_seq OWNED BY NONE")
    op.rename_table("records", "unparted")
    op.create_table(
        "records",
        sa.Column("id", sa.BigInteger, nullable=False, server_default=sa.text("nextval('records_id_seq')")),
        *_RECORDS,
        sa.PrimaryKeyConstraint("id", "at"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("records_by_request", "records", ["namespace", "model", "request_id"])
    op.create_index("records_by_time", "records", ["namespace", "model", "at"])
    op.execute("ALTER SEQUENCE records_id_seq OWNED BY records.id")
    names = ", ".join(("id", *(column.name for column in _RECORDS)))
    days = sa.text("SELECT DISTINCT at / :day FROM unparted").bindparams(day=DAY)
    for day in connection.scalars(days).all():
        attach(connection, day)
        part = f"at >= {day * DAY} AND at < {(day + 1) * DAY}"
        op.execute(f"INSERT INTO records ({names}) SELECT {names} FROM unparted WHERE {part} ORDER BY id")  # noqa: S608 - all of it is written here
    op.drop_table("unparted")
