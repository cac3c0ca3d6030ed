"""What the operator is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `BadEnvironment`."""
        told = Environment(environ, PROGRAM)
        token = told.optional("TIDEGATE_RAY_TOKEN_FILE", "")
        return cls(
            place=Place.read(environ),
            pod=told.required("POD_NAME"),
            ray_url=told.required("TIDEGATE_RAY_URL"),
            ray_token_file=Path(token) if token else None,
            router_selector=told.required("TIDEGATE_ROUTER_SELECTOR"),
            router_port=told.port("TIDEGATE_ROUTER_PORT", 9901),
            http_port=told.port("TIDEGATE_HTTP_PORT", 8081),
        )
