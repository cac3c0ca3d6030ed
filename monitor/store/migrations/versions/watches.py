"""What the analyst's watches for drift remember."""

import sqlalchemy as sa
from alembic import op

revision = "watches"
down_revision = "outbound"


def upgrade() -> None:
    """From `outbound`."""
    op.create_table(
        "watches",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("family", sa.Text, primary_key=True),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
