"""A port of this machine whose connections go on elsewhere, as those of `kubectl port-forward` do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
_PIECE: Final = 1 << 16

Dial = Callable[[], Any]
"""Makes a connection to the other end: what it gives behaves as a socket."""


@contextmanager
def forwarded(dial: Dial) -> Iterator[int]:
    """A free port that leads there for as long as the block lasts.

    The first connection is made at once, so that whatever stands in its way is known before anybody uses the port. One
    that cannot be made later is closed.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        Thread(target=_accept, args=(listener, dial, dial()), name="port forward", daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # or the thread would go on waiting for a connection


def _accept(listener: socket.socket, dial: Dial, first: Any) -> None:
    far = first
    while True:
        try:
            near, _ = listener.accept()
        except OSError:  # the block is over
            if far is not None:
                far.close()
            return
        try:
            far = far or dial()
        except Exception:  # noqa: BLE001 - whoever connected sees that it is closed, and says so
            near.close()
            continue
        for one, other in ((near, far), (far, near)):
            Thread(target=_pass_on, args=(one, other), name="port forward", daemon=True).start()
        far = None


def _pass_on(one: Any, other: Any) -> None:
    """Until one of them ends; both end then, as no end of a stream can be told apart from that of a connection here."""
    try:
        while piece := one.recv(_PIECE):
            other.sendall(piece)
    except OSError:
        pass
    finally:
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
