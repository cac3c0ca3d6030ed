"""One HTTP connection to the monitor, kept open between batches. It blocks its thread."""

import http.client
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

RECORDS: Final = "/internal/v1/records"
BASELINES: Final = "/internal/v1/baselines"
"""Where profiles go."""
LATER: Final = frozenset({429, 502, 503, 504})
"""Answers that say: not now. Every other one but 2xx is about what was sent, and would be the same again."""

_EXCERPT = 300
"""Bytes of a refusal that are kept for the log."""


class Unreachable(Exception):
    """What was sent has perhaps not arrived and may be sent again; the message says why."""


class Refused(Exception):
    """The monitor does not want this."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Collector:
    """Posts JSON to the monitor. Belongs to one thread."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        parts = urlsplit(url)
        self._token_file = token_file
        self._base = parts.path.rstrip("/")
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connect(parts.hostname or "", parts.port)

    def post(self, path: str, body: bytes, seconds: float) -> None:
        """Return when the monitor has it. No single wait takes over `seconds`.

        Raises `Unreachable` and `Refused`.
        """
        connection = self._connection
        kept = connection.sock is not None
        connection.timeout = seconds
        if kept:
            connection.sock.settimeout(seconds)
        try:
            connection.request("POST", self._base + path, body, self._headers())
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if kept and not isinstance(error, TimeoutError):
                return self.post(path, body, seconds)  # the monitor may have closed it since, as servers do
            raise Unreachable(str(error) or type(error).__name__) from error
        if 200 <= status < 300:
            return None
        reason = f"status {status} {text[:_EXCERPT].decode(errors='replace')}".rstrip()
        raise Unreachable(reason) if status in LATER else Refused(status, reason)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._token_file is not None:
            try:
                token = self._token_file.read_text("ascii").strip()
            except (OSError, UnicodeError) as error:
                raise Unreachable(f"the token in {self._token_file} cannot be read ({type(error).__name__})") from None
            if not token.isprintable() or not token:
                raise Unreachable(f"{self._token_file} must hold a token, on one line")
            headers["authorization"] = f"Bearer {token}"
        return headers
