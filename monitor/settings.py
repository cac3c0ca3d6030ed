"""What the monitor is told by its environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from monitor.outbound.channels import BadChannels, Channel, is_url, read_channels
from monitor.outbound.forward import Mode, Sink
from monitor.store.database import BadUrl, database_url

DATABASE: Final = "TIDEGATE_MONITOR_DATABASE"
LARGEST_PORT: Final = 65_535
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES: Final = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_QUANTITY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([kMGT]|[KMGT]i)?")
"""As Kubernetes writes it: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""


class BadEnvironment(Exception):
    """A variable of the environment makes no sense; the message names it, and repeats no secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `python -m monitor` needs to know.

    `retention` is in seconds, `spool_size` in bytes; without a token everybody is let in.
    """

    database: URL = field(repr=False)
    host: str
    port: int
    token: str | None = field(repr=False)
    retention: float
    spool: Path
    spool_size: int
    channels: Sequence[Channel] = field(default=(), repr=False)
    sink: Sink | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `BadEnvironment`."""
        return cls(
            database=_database(environ),
            host=environ.get("TIDEGATE_MONITOR_HOST") or "127.0.0.1",
            port=_port(environ, "TIDEGATE_MONITOR_PORT", 8090),
            token=_token(environ, "TIDEGATE_MONITOR_TOKEN_FILE"),
            retention=_seconds(environ, "TIDEGATE_MONITOR_RETENTION", "30d"),
            spool=Path(environ.get("TIDEGATE_MONITOR_SPOOL") or _home(environ) / "spool").absolute(),
            spool_size=_bytes(environ, "TIDEGATE_MONITOR_SPOOL_SIZE", "1Gi"),
            channels=_channels(environ, "TIDEGATE_MONITOR_NOTIFICATIONS"),
            sink=_sink(environ, "TIDEGATE_MONITOR_CLOUDEVENTS"),
        )


def _database(environ: Mapping[str, str]) -> URL:
    given = environ.get(DATABASE)
    if not given:
        return URL.create("sqlite+aiosqlite", database=str(_home(environ) / "records.db"))
    try:
        return database_url(given)
    except BadUrl as error:
        raise BadEnvironment(f"{DATABASE} {error}") from None  # the cause may repeat the password


def _home(environ: Mapping[str, str]) -> Path:
    named = environ.get("TIDEGATE_HOME")
    return Path(named).expanduser().absolute() if named else Path.home() / ".tidegate"


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


def _bytes(environ: Mapping[str, str], name: str, default: str) -> int:
    text = environ.get(name) or default
    found = _QUANTITY.fullmatch(text)
    size = int(float(found[1]) * _SIZES[found[2] or ""]) if found else 0
    if size < 1:
        raise BadEnvironment(f"{name} is {text!r}; it must be a size above zero such as 500M or 1Gi")
    return size


def _channels(environ: Mapping[str, str], name: str) -> Sequence[Channel]:
    path = environ.get(name)
    if not path:
        return ()
    try:
        return read_channels(Path(path))
    except BadChannels as error:
        raise BadEnvironment(f"{name} names {path}, which {error}") from None  # the cause may repeat a secret


def _sink(environ: Mapping[str, str], name: str) -> Sink | None:
    """Where `NAME_URL`, `NAME_TOKEN_FILE` and `NAME_MODE` say that records go."""
    url = environ.get(f"{name}_URL")
    if not url:
        return None
    if not is_url(url):
        raise BadEnvironment(f"{name}_URL must be http:// or https:// and name a host")
    modes: Mapping[str, Mode] = {"": "batch", "batch": "batch", "single": "single"}
    mode = environ.get(f"{name}_MODE", "")
    if mode not in modes:
        raise BadEnvironment(f"{name}_MODE is {mode!r}; it must be batch or single")
    _token(environ, f"{name}_TOKEN_FILE")  # it is read again each time, and should be there now
    token = environ.get(f"{name}_TOKEN_FILE")
    return Sink(url, Path(token) if token else None, modes[mode])
