"""The connection to SQLite or PostgreSQL: transactions, migrations, and errors in words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

AGAIN_SECONDS: Final = 1.0
"""The pause between attempts to reach the database."""
CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 30.0
_WRITERS: Final = 0x71DE6A7E
"""The advisory lock of PostgreSQL that whoever writes holds."""
_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_REFUSED: Final = ("22", "23", "54")
"""Classes of SQLSTATE that blame the data: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class BadUrl(ValueError):
    """What is configured is no URL of a database that the monitor can use. The message does not repeat it."""


class StoreUnavailable(Exception):
    """The database cannot be reached or does not work; what was asked may be asked again."""


class StoreRefused(Exception):
    """The database does not take this data; it never will."""


class StoreTooNew(Exception):
    """The tables were made by a newer release."""


def database_url(given: str) -> URL:
    """Raises `BadUrl`. `sqlite:///PATH` and `postgresql://USER:PASSWORD@HOST/NAME` get the driver that is used here."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:  # its text may repeat the password
        raise BadUrl("is no URL; it looks like postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH") from error
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise BadUrl(f"names a database of the kind {url.get_backend_name()!r}; it must be postgresql or sqlite")
    if driver == _DRIVERS["sqlite"] and not url.database:
        raise BadUrl("names no file: records must survive a restart")
    return url.set(drivername=driver)


class Database:
    """Transactions, once `migrate` has made the tables.

    Each method raises `StoreUnavailable` or `StoreRefused` with a sentence.
    """

    def __init__(self, url: URL) -> None:
        """Nothing is opened yet."""
        self.name = url.render_as_string(hide_password=True)
        self._sqlite = url.get_backend_name() == "sqlite"
        self._file = Path(url.database or "") if self._sqlite else None
        arguments: dict[str, object] = (
            {"timeout": CONNECT_SECONDS}
            if self._sqlite
            else {
                "timeout": CONNECT_SECONDS,
                "command_timeout": STATEMENT_SECONDS,
                # Tables grow from nothing to millions of rows: a plan that was good for the first is none for the last.
                "server_settings": {"plan_cache_mode": "force_custom_plan", "jit": "off"},
            }
        )
        self._engine = create_async_engine(url, connect_args=arguments, pool_pre_ping=True)
        self._writer = self._engine.execution_options(writes=True)
        self._reader = (
            self._engine if self._sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self.has_partitions = not self._sqlite
        self._turn = asyncio.Lock()  # fair, unlike that of SQLite
        self._migrated = False
        if self._sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed when the block ends. Only one at a time, over all processes.

        What is read in it is therefore still so when it is committed: feedback and the record that it belongs to cannot
        miss each other.
        """
        self.require_tables()
        async with self._writing() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of all tables."""
        self.require_tables()
        with _explained(self.name):
            async with self._reader.connect() as connection:
                yield connection

    def require_tables(self) -> None:
        """Raises `StoreUnavailable` until the tables have been made."""
        if not self._migrated:
            raise StoreUnavailable(f"{self.name} has not been reached yet")

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with _explained(self.name):
            async with self._turn, self._writer.begin() as connection:
                if not self._sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITERS})"))
                yield connection

    async def migrate(self) -> None:
        """Bring the tables to what this release needs. Raises `StoreTooNew`."""
        if self._file is not None:
            with _explained(self.name):
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file.touch(mode=0o600)
        try:
            async with self._writing() as connection:
                await connection.run_sync(_upgrade)
        except CommandError as error:
            raise StoreTooNew(
                f"the tables in {self.name} were made by a newer release ({error}): run that release, or name another "
                "database in TIDEGATE_MONITOR_DATABASE"
            ) from error
        self._migrated = True

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_sqlite(connection: Any, _: object) -> None:
    """A commit is on disk when it is answered; readers do not wait for the writer.

    Transactions are begun by `_begin_sqlite`: the driver would begin them late, and not all of them.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # the latter two from a COPY
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or ""
        said = " ".join(str(cause).split())
        if state.startswith(_REFUSED) or isinstance(error, IntegrityError | DataError | asyncpg.DataError):
            raise StoreRefused(f"{name} does not take it: {said}") from error
        raise StoreUnavailable(f"{name} cannot be used: {said}") from error
    except (OSError, TimeoutError, PoolTimeout, InvalidRequestError) as error:
        raise StoreUnavailable(f"{name} cannot be reached: {error or type(error).__name__}") from error
