"""What must be true of a machine before anything is started on it. Each failure is a sentence with a way out."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def alone(home: Home, port: int) -> Iterator[None]:
    """Keep every other stack off the state folder during the block. Raises `CannotStart` when one is there already.

    The lock goes with the process, however it ends: the kernel takes it back, and no child inherits it.
    """
    try:
        home.stack_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = home.stack_file.open("a+")
    except OSError as error:
        raise CannotStart(f"{home.stack_file} cannot be used ({error.strerror}): remove it") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(
                f"Tidegate already runs on {home.root}{_process_in(home.stack_file)}: "
                "stop it with Ctrl-C where it runs, or set TIDEGATE_HOME to another folder"
            ) from error
        file.truncate(0)
        json.dump({"pid": os.getpid(), "port": port}, file)
        file.flush()
        yield
        file.truncate(0)


def _process_in(stack_file: Path) -> str:
    """The process that a stack file names, in brackets; nothing while its owner has not written it yet."""
    try:
        return f" (process {int(json.loads(stack_file.read_text())['pid'])})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
