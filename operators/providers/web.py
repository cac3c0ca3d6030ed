"""Numbers from JSON documents on the web.

Whoever may write a rollout chooses the address, and the operator, which asks, may reach more than they can. Hence only
hosts that the operator's own settings name are asked; and what a name stands for is looked at when the connection is
made, on the very address that it goes to, so that no answer of a name server can lead elsewhere.
"""

import asyncio
import errno
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Self

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from operators.api import WebQuery
from operators.ports import NotMeasured
from operators.providers.http import get, session

ANY: Final = "*"
"""The pattern of all hosts."""
LOOKUPS: Final = 4
"""Names that are looked up at a time."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is routed between networks (RFC 4291, section 2.4 and IANA's registry)."""
_METADATA: Final = tuple(
    map(ip_network, ("100.100.100.200", "168.63.129.16", "192.0.0.0/24", "fd00:ec2::/32", "fd20:ce::254"))
)
"""Where clouds answer their machines beside 169.254.0.0/16: Alibaba, Azure, Oracle, Amazon and Google (IPv6)."""
_INDEX: Final = re.compile("0|[1-9][0-9]{0,8}")
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_AddressInfo = tuple[Any, ...]
_Address = IPv4Address | IPv6Address


class Web:
    """Documents on hosts that fit one of the patterns: a name, `*.` and the end of names, or `*` for all.

    Unless `guarded` is false, nobody is asked at an address of the operator's own or of its link, or where clouds keep
    credentials; and hosts that no pattern but `*` fits are asked at public addresses only. Use it as a context.
    """

    def __init__(self, patterns: Sequence[str], *, guarded: bool = True) -> None:
        self._patterns = frozenset(patterns)
        self._guarded = guarded
        self._stack = AsyncExitStack()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        resolver = _Resolver()
        self._stack.push_async_callback(resolver.close)
        for named in (False, True):
            make = partial(_socket, named) if self._guarded else None
            connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, socket_factory=make)
            self._sessions[named] = await self._stack.enter_async_context(session(connector))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def value(self, asked: WebQuery) -> float:
        """The number at `value` in the document. Raises `NotMeasured`."""
        try:
            url = URL(asked.url)
            host = (url.host or "").rstrip(".")
        except ValueError as error:
            raise NotMeasured(f"web.url is no address: {error}") from error
        if url.scheme not in ("http", "https") or not host or url.user is not None or url.password is not None:
            raise NotMeasured("web.url is not asked: http or https, a host and neither user nor password are expected")
        named = any(one == host or (one.startswith("*.") and host.endswith(one[1:])) for one in self._patterns)
        if not named and ANY not in self._patterns:
            raise NotMeasured(f"the operator does not ask {host}: TIDEGATE_WEB_METRIC_HOSTS does not name it")
        status, content = await get(self._sessions[named], host, url)
        if status != 200:
            raise NotMeasured(f"{host} answered {status} where 200 is expected")
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise NotMeasured(f"the answer of {host} is not JSON") from error
        return _number(at(document, asked.value), asked.value)


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own: a name server that does not answer must not keep others' threads busy."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(hostname=host, host=str(to[0]), port=port, family=kind, proto=proto, flags=_NUMERIC)
            for kind, _, proto, _, to in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _socket(named: bool, info: _AddressInfo) -> socket.socket:
    """A socket for a connection to this address, if there may be one; `named`: the settings name the host."""
    kind, style, protocol, _, (text, *_) = info
    address = _plain(text)
    if _is_guarded(address):
        raise OSError(errno.EACCES, f"the operator asks nobody at {text}, which is its own, its link's or its cloud's")
    if not named and not _is_public(address):
        raise OSError(errno.EACCES, f"the operator does not ask {text}, which is not public, unless the host is named")
    return socket.socket(kind, style, protocol)


def _is_guarded(address: _Address) -> bool:
    """Whether it is none of another machine's, or one where secrets are given to whoever is on this one."""
    alone = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return alone or any(address in network for network in _METADATA)


def _is_public(address: _Address) -> bool:
    return address.is_global and (isinstance(address, IPv4Address) or address in _UNICAST)


def _plain(text: str) -> _Address:
    """The address itself, if it is one of IPv4 within one of IPv6 (RFC 4291, 3056, 6052)."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def at(document: object, pointer: str) -> object:
    """What a JSON pointer (RFC 6901) names in a document. Raises `NotMeasured`."""
    found = document
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            raise NotMeasured(f"the document has nothing at {pointer}")
    return found


def _number(found: object, pointer: str) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise NotMeasured(f"what stands at {pointer or 'the root'} is no number")
    return float(found)
