"""What must be true of a machine before anything is started on it. Each failure is a sentence with a way out."""

import json
import os
import socket
from pathlib import Path

from operators.local.home import Home

LOOPBACK = "127.0.0.1"
MEMORY_NEEDED_BYTES = 1_500_000_000
"""Ray's head, Serve's controller and proxy, and two replicas of a small model use about 1.1 GB."""


class CannotStart(Exception):
    """The stack cannot run here as things are; the text says why and what to do."""


def require_memory(meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raise `CannotStart` when less than `MEMORY_NEEDED_BYTES` is available; a system that does not tell passes."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    if available is not None and available < MEMORY_NEEDED_BYTES:
        raise CannotStart(
            f"only {available / 1e6:,.0f} MB of memory are available and Ray needs about "
            f"{MEMORY_NEEDED_BYTES / 1e6:,.0f} MB: close something, then run the command again"
        )


def require_port(port: int) -> None:
    """Raise `CannotStart` when something listens on `port` of 127.0.0.1 already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise CannotStart(
                f"port {port} of {LOOPBACK} cannot be used ({error.strerror}): stop what listens there "
                f"(`ss -ltnp 'sport = :{port}'` names it), or choose another with `--port`"
            ) from error


def require_alone(home: Home) -> None:
    """Raise `CannotStart` when a stack already runs on this state folder."""
    try:
        pid = int(json.loads(home.stack_file.read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return
    if pid != os.getpid() and b"tidegate" in command:
        raise CannotStart(
            f"Tidegate already runs on {home.root} (process {pid}): stop it with Ctrl-C where it runs, "
            "or set TIDEGATE_HOME to another folder"
        )
