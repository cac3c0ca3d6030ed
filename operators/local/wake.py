"""A tap on the shoulder: whoever wrote to the local store says so, and the control loop looks at once.

One empty datagram on a Unix socket. It carries nothing, so it can be lost, doubled or forged without harm: the control
loop reads the store again, and looks there by itself now and then.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

_ABSENT = {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}


class WakeError(Exception):
    """The control socket could not be used; the message says why and what to do."""


def wake(path: Path) -> bool:
    """Tell the control loop that listens on `path` to look at the store; False when none is running."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(b"", str(path))
        except BlockingIOError:
            return True  # its queue is full of taps: it will look anyway
        except OSError as error:
            if error.errno in _ABSENT or error.errno is None:  # no errno: a path too long to be a socket's
                return False
            raise WakeError(f"cannot reach the control loop at {path}: {error.strerror}") from error
    return True


@contextlib.contextmanager
def listening(path: Path, on_wake: Callable[[], None]) -> Iterator[None]:
    """Call `on_wake` on the running event loop for every tap on `path`, until the block is left.

    Raises `WakeError` when another control loop listens there already, or when the path is no place for a socket.
    """
    loop = asyncio.get_running_loop()
    with _bound(path) as receiver:

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    receiver.recv(1)
            on_wake()

        loop.add_reader(receiver, drain)
        try:
            yield
        finally:
            loop.remove_reader(receiver)


@contextlib.contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    if wake(path):
        raise WakeError(f"another control loop is running: it listens on {path}; stop it first")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.unlink(missing_ok=True)  # left behind by a process that was killed
            receiver.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            raise WakeError(
                f"cannot listen on {path}: {error.strerror or error}; name a shorter, writable folder in TIDEGATE_HOME"
            ) from error
        try:
            yield receiver
        finally:
            path.unlink(missing_ok=True)
