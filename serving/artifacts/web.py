"""One file over http and https: no proxies, no redirects to other hosts, and taken up again where it broke off."""

import netrc
import os
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from serving.artifacts.hosts import Hosts
from serving.errors import ArtifactNotFound, ArtifactRefused, ArtifactTooLarge, ArtifactUnavailable
from serving.uri import BadUri, Location, parse

REDIRECTS: Final = 5
TRIES: Final = 4
"""How often a download that breaks off is begun or taken up again."""
_CHUNK: Final = 1 << 20
_TIMES: Final = urllib3.Timeout(connect=10.0, read=30.0)
"""Seconds until there is a connection, and between two pieces of the answer."""


class _Changed(Exception):
    """What comes now is not the rest of what has come."""


def fetch(location: Location, target: Path, hosts: Hosts, largest: int) -> None:
    """Write what a URI names into the file `target`. Raises `ModelLoadError`.

    Without an entity tag nobody knows whether the rest belongs to the beginning: then all is asked for again.
    """
    uri = f"{location.scheme}://{location.authority}/{location.path}"
    tag: str | None = None
    with target.open("wb") as file, urllib3.PoolManager(retries=False, timeout=_TIMES) as pool:
        for left in reversed(range(TRIES)):
            offset = file.tell() if tag is not None else 0
            try:
                response = _open(pool, uri, hosts, offset, tag)
                with response:
                    if response.status != 206:
                        offset = 0
                    elif not response.headers.get("content-range", "").startswith(f"bytes {offset}-"):
                        raise _Changed
                    file.seek(offset)
                    file.truncate()
                    tag = _strong(response.headers.get("etag"))
                    _bound(response, offset, largest)
                    for chunk in response.stream(_CHUNK, decode_content=False):
                        if file.tell() + len(chunk) > largest:
                            raise ArtifactTooLarge(f"it is larger than {largest} bytes, the most that is allowed")
                        file.write(chunk)
                    return
            except (ProtocolError, ReadTimeoutError, _Changed) as error:
                if not left:
                    raise ArtifactUnavailable(f"it broke off {TRIES} times, last with: {error}") from error
            except HTTPError as error:
                raise ArtifactUnavailable(f"{type(error).__name__}: {error}") from error


def _open(pool: urllib3.PoolManager, uri: str, hosts: Hosts, offset: int, tag: str | None) -> BaseHTTPResponse:
    """The answer with the model, after redirects within the host."""
    for _ in range(REDIRECTS + 1):
        host = urllib3.util.parse_url(uri).host or ""
        secure = uri.startswith("https:")
        if (refusal := hosts.refuses_name("https" if secure else "http", host)) is not None:
            raise ArtifactRefused(refusal)
        headers = {"accept-encoding": "identity", "user-agent": "tidegate"}
        if offset and tag is not None:
            headers |= {"range": f"bytes={offset}-", "if-range": tag}
        if secure and (credentials := _credentials(host)) is not None:
            headers |= urllib3.util.make_headers(basic_auth=credentials)
        response = pool.request("GET", uri, headers=headers, redirect=False, preload_content=False)
        if response.status not in (301, 302, 303, 307, 308):
            return _checked(response, bool(offset))
        response.close()
        uri = _next(uri, response.headers.get("location", ""))
    raise ArtifactUnavailable(f"it redirects more than {REDIRECTS} times")


def _next(uri: str, told: str) -> str:
    """Where a redirect leads: to the same host, and not from https to http."""
    try:
        target = urljoin(uri, told)
        there, here = (parse(url.partition("?")[0]) for url in (target, uri))  # a server may need a query of its own
    except (BadUri, ValueError) as error:
        raise ArtifactRefused(f"it redirects to a URL that {error}") from None
    if there.scheme == here.scheme and there.authority.lower() == here.authority.lower():
        return target
    if (here.scheme, there.scheme) == ("http", "https") and _host(there) == _host(here):
        return target
    raise ArtifactRefused(f"it redirects to {there.scheme}://{there.authority}: name the place where the model is")


def _host(location: Location) -> str:
    return location.authority.partition(":")[0].lower()


def _checked(response: BaseHTTPResponse, resumed: bool) -> BaseHTTPResponse:
    """The answer, if it is one that brings the model as it is."""
    status = response.status
    coding = response.headers.get("content-encoding", "identity")
    if (status == 200 or (status == 206 and resumed)) and coding == "identity":
        return response
    response.close()
    if status in (404, 410):
        raise ArtifactNotFound(f"there is nothing: the server answered {status}")
    if status in (401, 403):
        raise ArtifactRefused(f"the server answered {status}: name a netrc file with credentials in NETRC")
    if status == 200:
        raise ArtifactUnavailable(f"the server answered in the coding {coding}, which was not asked for")
    raise ArtifactUnavailable(f"the server answered {status}")


def _bound(response: BaseHTTPResponse, offset: int, largest: int) -> None:
    length = response.headers.get("content-length", "")
    if length.isdecimal() and offset + int(length) > largest:
        raise ArtifactTooLarge(f"it has {offset + int(length)} bytes, {largest} are allowed")


def _strong(tag: str | None) -> str | None:
    """An entity tag that stands for the same bytes: RFC 9110, 8.8.3."""
    return tag if tag is not None and tag.startswith('"') else None


def _credentials(host: str) -> str | None:
    """User and password for this host from the file that `NETRC` names."""
    path = os.environ.get("NETRC")
    if not path:
        return None
    try:
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError) as error:
        raise ArtifactRefused(f"the netrc file {path} cannot be read ({type(error).__name__})") from None
    return f"{found[0]}:{found[2]}" if found is not None else None
