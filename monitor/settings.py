"""What the monitor is told by its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from monitor.store.database import BadUrl, database_url

DATABASE: Final = "TIDEGATE_MONITOR_DATABASE"
LARGEST_PORT: Final = 65_535
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")


class BadEnvironment(Exception):
    """A variable of the environment makes no sense; the message names it, and repeats no secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `python -m monitor` needs to know. `retention` is in seconds; without a token everybody is let in."""

    database: URL = field(repr=False)
    host: str
    port: int
    token: str | None = field(repr=False)
    retention: float

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `BadEnvironment`."""
        return cls(
            database=_database(environ),
            host=environ.get("TIDEGATE_MONITOR_HOST") or "127.0.0.1",
            port=_port(environ, "TIDEGATE_MONITOR_PORT", 8090),
            token=_token(environ, "TIDEGATE_MONITOR_TOKEN_FILE"),
            retention=_seconds(environ, "TIDEGATE_MONITOR_RETENTION", "30d"),
        )


def _database(environ: Mapping[str, str]) -> URL:
    given = environ.get(DATABASE)
    if not given:
        named = environ.get("TIDEGATE_HOME")
        home = Path(named).expanduser().absolute() if named else Path.home() / ".tidegate"
        return URL.create("sqlite+aiosqlite", database=str(home / "records.db"))
    try:
        return database_url(given)
    except BadUrl as error:
        raise BadEnvironment(f"{DATABASE} {error}") from None  # the cause may repeat the password


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_PORT:
        raise BadEnvironment(f"{name} is {text!r}; it must be a port, 1 to {LARGEST_PORT}")
    return int(text)


def _token(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(name)
    if not path:
        return None
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment(f"{name} names {path}, which cannot be read: {error}") from error
    if not token:
        raise BadEnvironment(f"{name} names {path}, which is empty: write the token into it")
    return token


def _seconds(environ: Mapping[str, str], name: str, default: str) -> float:
    text = environ.get(name) or default
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise BadEnvironment(f"{name} is {text!r}; it must be a duration above zero such as 12h or 30d (s, m, h, d)")
    return float(found[1]) * _UNITS[found[2]]
