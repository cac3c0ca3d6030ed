"""Where local mode keeps what it must find again: one folder, named by `TIDEGATE_HOME` or `~/.tidegate`."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The paths below one state folder. Nothing is created by naming it."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Home":
        """`TIDEGATE_HOME`, else `.tidegate` in the user's home folder."""
        named = environ.get("TIDEGATE_HOME")
        return cls(Path(named).expanduser().absolute() if named else Path.home() / ".tidegate")

    @property
    def store(self) -> Path:
        """The SQLite file with rollouts, their status and events."""
        return self.root / "store.db"

    @property
    def router(self) -> Path:
        """The router's folder: Envoy's bootstrap, its sockets and the last good snapshot."""
        return self.root / "router"

    @property
    def control_socket(self) -> Path:
        """A datagram socket: whoever wrote to the store says so here, and the control loop looks at once."""
        return self.root / "run" / "control.sock"

    @property
    def stack_file(self) -> Path:
        """The process that runs the stack and its port, as JSON; locked by that process while it lives."""
        return self.root / "run" / "stack.json"

    @property
    def monitor_url(self) -> Path:
        """Where the monitor that runs now answers, as text."""
        return self.root / "run" / "monitor.url"

    @property
    def logs(self) -> Path:
        """What the child processes print."""
        return self.root / "logs"

    @property
    def artifacts(self) -> Path:
        """Model files by their SHA-256."""
        return self.root / "artifacts"

    @property
    def ray_token(self) -> Path:
        """The bearer token of the local Ray cluster; readable by its owner only."""
        return self.root / "ray.token"

    @property
    def monitor_token(self) -> Path:
        """The bearer token of the local monitor; readable by its owner only."""
        return self.root / "monitor.token"


def secret(path: Path) -> str:
    """The secret in this file. It is made once, readable by its owner only."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(token)
    return token
