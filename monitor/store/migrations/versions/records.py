"""The first tables: records, feedback, exposures, senders, tallies."""

import sqlalchemy as sa
from alembic import op

revision = "records"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "records",
        sa.Column("id", _ID, primary_key=True),
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
    op.create_index("records_by_request", "records", ["namespace", "model", "request_id"])
    op.create_index("records_by_time", "records", ["namespace", "model", "at"])
    op.create_table(
        "feedback",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("label", sa.Text),
        sa.Column("reward", sa.Double),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("share", sa.Integer),
        sa.Column("at", sa.BigInteger),
        sa.Column("correct", sa.Boolean),
    )
    op.create_index("feedback_by_time", "feedback", ["namespace", "model", "at"])
    op.create_index("feedback_by_arrival", "feedback", ["received_at"])
    waiting = sa.text("version IS NULL")
    op.create_index(
        "feedback_waiting",
        "feedback",
        ["namespace", "model", "request_id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "exposures",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("share", sa.Integer),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("namespace", "model", "key", "version", name="exposures_once"),
    )
    op.create_index("exposures_in_order", "exposures", ["namespace", "model", "id"])
    op.create_index("exposures_by_time", "exposures", ["first_at"])
    op.create_table(
        "senders",
        sa.Column("replica", sa.Text, primary_key=True),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_index("senders_by_time", "senders", ["seen_at"])
    op.create_table(
        "tallies",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("share", sa.Integer, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("rewards", sa.BigInteger, nullable=False),
        sa.Column("reward_sum", sa.Double, nullable=False),
        sa.Column("reward_squares", sa.Double, nullable=False),
        sa.Column("other_rewards", sa.BigInteger, nullable=False),
        sa.Column("labels", sa.BigInteger, nullable=False),
        sa.Column("correct", sa.BigInteger, nullable=False),
    )
