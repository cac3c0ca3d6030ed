"""The one way out of a process: no connection but to addresses that were judged, whatever library asks for it.

Names are resolved once. An address that was judged is remembered with its name's verdict, and the interpreter's own
audit event `socket.connect` (PEP 578) lets nothing pass that is not remembered. So a name that resolves to something
else a moment later gains nothing: the address that was judged is the one that is connected to. An audit hook cannot be
taken back; the gate is for processes that do nothing but download.
"""

import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from serving.artifacts.hosts import Hosts, is_link_local

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
Say = Callable[[str], None]


class Refused(OSError):
    """A connection that may not be; the message says to whom, and why."""


class Gate:
    """Judges what is resolved and connected to."""

    def __init__(self, hosts: Hosts, say: Say, resolve: Resolve = socket.getaddrinfo) -> None:
        """`say` hears of refusals, which libraries bury or take for a bad moment, but not of link-local addresses: many
        ask there for credentials, to go on when there are none. `resolve` has the signature of `socket.getaddrinfo`.
        """
        self.hosts = hosts
        self._resolve = resolve
        self._say = say
        self._known: set[str] = set()

    def install(self) -> None:
        """From here on everything in this process goes through the gate, for good."""
        socket.getaddrinfo = self.getaddrinfo
        sys.addaudithook(self.audit)

    def getaddrinfo(self, host: Any, port: Any, *arguments: Any, **named: Any) -> list[tuple[Any, ...]]:
        """`socket.getaddrinfo` without the addresses that may not be connected to. Raises `Refused` if none is left."""
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        found = self._resolve(host, port, *arguments, **named)
        verdicts = [(entry, self.hosts.refuses(name, str(entry[4][0]))) for entry in found]
        allowed = [entry for entry, refusal in verdicts if refusal is None]
        if not allowed:
            (entry, refusal) = verdicts[0]
            raise self._refused(refusal or "", str(entry[4][0]))
        self._known.update(str(entry[4][0]) for entry in allowed)
        return allowed

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Let connections and what is sent without one go to judged addresses only: a hook for `sys.addaudithook`.

        Raises `Refused`.
        """
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = arguments[1]
        if event == "socket.sendmsg" and address is None:
            return  # to where the socket is connected
        if not isinstance(address, tuple):
            raise Refused("only TCP and UDP are spoken here")
        host = str(address[0])
        if host not in self._known and (refusal := self.hosts.refuses(host, host)) is not None:
            raise self._refused(refusal, host)

    def _refused(self, why: str, address: str) -> Refused:
        if not is_link_local(address):
            self._say(why)
        return Refused(why)
