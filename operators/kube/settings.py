"""What the operator is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from operators.providers.settings import ProviderSettings
from router.pod.environment import Environment

PROGRAM: Final = "python -m operators.kube"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operator is, and whose rollouts it follows. No `watched` namespaces means all of them."""

    namespace: str
    watched: tuple[str, ...]
    lease: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Place":
        """Raises `BadEnvironment`."""
        told = Environment(environ, PROGRAM)
        return cls(
            namespace=told.required("TIDEGATE_NAMESPACE"),
            watched=told.namespaces(),
            lease=told.optional("TIDEGATE_LEASE", "tidegate-operator"),
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
    monitor_url: str | None
    monitor_token_file: Path | None
    providers: ProviderSettings

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `BadEnvironment`."""
        told = Environment(environ, PROGRAM)
        return cls(
            place=Place.read(environ),
            pod=told.required("POD_NAME"),
            ray_url=told.required("TIDEGATE_RAY_URL"),
            ray_token_file=_file(told, "TIDEGATE_RAY_TOKEN_FILE"),
            router_selector=told.required("TIDEGATE_ROUTER_SELECTOR"),
            router_port=told.port("TIDEGATE_ROUTER_PORT", 9901),
            http_port=told.port("TIDEGATE_HTTP_PORT", 8081),
            monitor_url=told.optional("TIDEGATE_MONITOR_URL", "") or None,
            monitor_token_file=_file(told, "TIDEGATE_MONITOR_TOKEN_FILE"),
            providers=ProviderSettings.read(told),
        )


def _file(told: Environment, name: str) -> Path | None:
    path = told.optional(name, "")
    return Path(path) if path else None
