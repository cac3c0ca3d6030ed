"""What the operator is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LARGEST_PORT: Final = 65_535


class BadEnvironment(Exception):
    """A variable of the environment is missing or makes no sense; the message names it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operator is, and whose rollouts it follows. No `watched` namespaces means all of them."""

    namespace: str
    watched: tuple[str, ...]
    lease: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Place":
        """Raises `BadEnvironment`."""
        namespace = _required(environ, "TIDEGATE_NAMESPACE")
        watched = environ.get("TIDEGATE_WATCH_NAMESPACES", namespace)
        return cls(
            namespace=namespace,
            watched=tuple(sorted({name.strip() for name in watched.split(",") if name.strip()})),
            lease=environ.get("TIDEGATE_LEASE") or "tidegate-operator",
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `python -m operators.kube` needs to know."""

    place: Place
    pod: str
    ray_url: str
    ray_token_file: Path | None
    router_selector: str
    router_port: int
    http_port: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `BadEnvironment`."""
        token = environ.get("TIDEGATE_RAY_TOKEN_FILE")
        return cls(
            place=Place.read(environ),
            pod=_required(environ, "POD_NAME"),
            ray_url=_required(environ, "TIDEGATE_RAY_URL"),
            ray_token_file=Path(token) if token else None,
            router_selector=_required(environ, "TIDEGATE_ROUTER_SELECTOR"),
            router_port=_port(environ, "TIDEGATE_ROUTER_PORT", 9901),
            http_port=_port(environ, "TIDEGATE_HTTP_PORT", 8081),
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise BadEnvironment(f"{name} is not set; `python -m operators.kube --help` lists what the operator needs")
    return value


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_PORT:
        raise BadEnvironment(f"{name} is {text!r}; it must be a port, 1 to {LARGEST_PORT}")
    return int(text)
