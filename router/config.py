"""Where the router keeps its files, and where it listens."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RouterPaths:
    """The router's folder and what is in it. Nothing is created by naming it."""

    root: Path

    @property
    def ads_socket(self) -> Path:
        """The Unix socket on which Envoy fetches its configuration."""
        return self.root / "ads.sock"

    @property
    def admin_socket(self) -> Path:
        """The Unix socket of Envoy's admin interface."""
        return self.root / "admin.sock"

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.root / "bootstrap.json"

    @property
    def base_id(self) -> Path:
        """The number that Envoy chose to name its shared memory by."""
        return self.root / "envoy.base-id"

    @property
    def envoy_log(self) -> Path:
        """What Envoy prints."""
        return self.root / "envoy.log"

    @property
    def last_good(self) -> Path:
        """The routes that Envoy acknowledged last, as JSON."""
        return self.root / "last-good.json"


@dataclass(frozen=True, slots=True)
class Address:
    """Where another process of Tidegate listens; `host` is a name or an IP address."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `HOST:PORT`, an IPv6 address in brackets. Raises `ValueError`."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        valid = colon and host.strip("[]") and bracketed == (":" in host) and port.isascii() and port.isdecimal()
        if not valid or not 0 < int(port) < 65_536:
            raise ValueError(f"{text!r} is no address like monitor.example:8000 or [::1]:8000")
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class ListenConfig:
    """How Envoy meets the world.

    `host` is an IP address. `concurrency` is the number of Envoy's worker threads. A client has
    `request_headers_timeout_seconds` to send a request's headers and `request_timeout_seconds` to send it whole;
    then it gets 408. A connection without a request for `idle_seconds` is closed; those beyond `max_connections` are
    closed at once. Near `max_heap_bytes` Envoy first stops keep-alive, then answers 503. Feedback goes to `monitor`.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    concurrency: int = 1
    request_headers_timeout_seconds: float = 10.0
    request_timeout_seconds: float = 30.0
    idle_seconds: float = 300.0
    max_connections: int = 10_000
    max_heap_bytes: int = 1 << 30
    monitor: Address | None = None
