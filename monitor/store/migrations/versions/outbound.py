"""How far what leaves the monitor has got, and which process sends it."""

import sqlalchemy as sa
from alembic import op

revision = "outbound"
down_revision = "comparisons"


def upgrade() -> None:
    """From `comparisons`."""
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
