"""Numbers of rows that are never given again: whoever follows a table goes by them. PostgreSQL's never were."""

from typing import Final

from alembic import op

revision = "numbers"
down_revision = "watches"

_FOLLOWED: Final = ("records", "pairs", "exposures", "events")


def upgrade() -> None:
    """From `watches`. SQLite has to copy the rows into tables that are made anew."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in _FOLLOWED:
        with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    # Records that somebody has dealt with may be deleted already: new ones come after them all the same.
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'records'")
    op.execute("""
        INSERT INTO sqlite_sequence (name, seq) SELECT 'records', coalesce(max(place), 0) FROM (
            SELECT max(id) AS place FROM records
            UNION ALL SELECT max(position) FROM cursors UNION ALL SELECT max(position) FROM watches
        )
    """)
