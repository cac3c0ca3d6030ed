"""To which hosts and addresses a connection may go. Pure.

A name is judged before it is resolved, and every address that it resolves to: a public name may point into the
cluster, to the node or to a cloud's metadata service.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

INTERNAL: Final = tuple(
    ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""Where the services of a cluster or a company are: RFC 1918, RFC 6598, RFC 4193."""
_TRANSLATED: Final = ip_network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are the IPv4 address to which the packet goes."""
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Who may be connected to.

    `anyone`: every name, at public addresses. `names`: these (`*.NAME`: all below), which may also have internal
    addresses. `networks`: every name whose address lies in one of them, whatever address it is. `plain`: those of
    `names` to which a URI may say http.
    """

    anyone: bool = True
    names: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Hosts":
        """Entries with commas or spaces between them: `*`, `NAME`, `*.NAME`, `http://NAME`, a network or an address.

        Raises `ValueError` with the entry that is none of these.
        """
        anyone, names, plain, networks = False, set[str](), set[str](), list[Network]()
        for entry in re.split(r"[,\s]+", text.strip()):
            name = entry.removeprefix("http://").lower().rstrip(".")
            if entry == "*":
                anyone = True
            elif (network := _network(entry)) is not None:
                networks.append(network)
            elif _NAME.fullmatch(name) or (name != entry and _network(name) is not None):
                names.add(name)
                plain |= {name} if entry.startswith("http://") else set()
            elif entry:
                raise ValueError(f"{entry!r}: write *, NAME, *.NAME, http://NAME or a network, without port and path")
        return cls(anyone, frozenset(names), frozenset(plain), tuple(networks))

    def refuses_name(self, scheme: str, host: str) -> str | None:
        """Why a URI may not name this host; None if it may. Its addresses are still to be judged."""
        if scheme == "http" and not _among(host, self.plain):
            return f"http is not allowed for {host}, which could be read and changed on its way: use https"
        if self.anyone or _among(host, self.names) or _is_in(host, self.networks):
            return None
        if self.networks and _address(host) is None:
            return None  # its addresses decide
        return f"{host} is not among the hosts that models may come from"

    def refuses(self, host: str, address: str) -> str | None:
        """Why there may be no connection to this address of this host; None if there may."""
        at = _address(address)
        if at is None:
            return f"{address} is no address"
        if any(at in network for network in self.networks):
            return None
        if _among(host, self.names):
            if _is_public(at) or any(at in network for network in INTERNAL):
                return None
            return f"{_said(host, address)} neither a public nor an internal address"
        if not self.anyone:
            return f"{host} is not among the hosts that models may come from"
        return None if _is_public(at) else f"{_said(host, address)} not a public address"


def is_link_local(address: str) -> bool:
    """Whether an address is good on one network only, as those of a cloud's metadata services."""
    at = _address(address)
    return at is not None and at.is_link_local


def _said(host: str, address: str) -> str:
    return f"{address} is" if host == address else f"{host} is at {address}, which is"


def _among(host: str, names: frozenset[str]) -> bool:
    name = host.lower().rstrip(".")
    parents = (f"*.{name[index + 1 :]}" for index, letter in enumerate(name) if letter == ".")
    return name in names or any(parent in names for parent in parents)


def _is_in(host: str, networks: tuple[Network, ...]) -> bool:
    at = _address(host)
    return at is not None and any(at in network for network in networks)


def _is_public(address: Address) -> bool:
    """Not private, loopback, link-local, site-local, multicast, unspecified or reserved: the registries of IANA."""
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _address(text: str) -> Address | None:
    """The address to which packets go in the end: that within an IPv4-mapped, 6to4, Teredo or NAT64 one."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        within = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        return within or address
    return address


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
