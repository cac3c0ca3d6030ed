"""What the environment of a router pod says, and what Envoy is started with there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.bootstrap import bootstrap
from router.config import ListenConfig, RouterPaths
from router.pod.environment import Environment

DEFAULT_FOLDER: Final = "/run/tidegate"
IDLE_SECONDS: Final = 3_900.0
"""Longer than the hour for which proxies keep idle connections. Whoever closes one may meet a request on its way; a
proxy knows not to send any more, a router behind it cannot."""


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the pod's environment says. No `namespaces` means all of them."""

    name: str
    namespaces: tuple[str, ...]
    paths: RouterPaths
    listen: ListenConfig
    http_port: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "PodSettings":
        """Raises `BadEnvironment`."""
        told = Environment(environ, "python -m router")
        return cls(
            namespaces=told.namespaces(),
            name=told.required("POD_NAME"),
            paths=paths(environ),
            listen=ListenConfig(
                host="0.0.0.0",  # noqa: S104 - the pod's own address, whatever it is
                port=told.port("TIDEGATE_LISTEN_PORT", 8080),
                idle_seconds=IDLE_SECONDS,
                max_heap_bytes=told.number("TIDEGATE_ENVOY_MAX_HEAP_BYTES", 1 << 30),
                monitor=told.address("TIDEGATE_MONITOR_ADDRESS"),
            ),
            http_port=told.port("TIDEGATE_HTTP_PORT", 9901),
        )


def paths(environ: Mapping[str, str]) -> RouterPaths:
    """The folder that the two containers share."""
    return RouterPaths(Path(environ.get("TIDEGATE_ROUTER_DIR") or DEFAULT_FOLDER))


def write_bootstrap(settings: PodSettings) -> None:
    """Write what Envoy is started with. Raises `OSError`."""
    settings.paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = bootstrap(settings.paths, settings.listen, settings.name)
    settings.paths.bootstrap.write_text(json.dumps(content, indent=1))
