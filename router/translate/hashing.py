"""What decides the version of a request, and how the replica is told.

A cookie is looked up by a regular expression over the header `cookie`, whose match is replaced by the salted value, and
that is hashed. Envoy's own hash policy for cookies can neither salt, nor hand out a cookie before it has chosen among
weighted clusters. Here clients without the cookie are decided by their request id, and get it as the cookie: the next
request, decided by the cookie, has the same hash.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2 as h2m
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import any_pb2

from router.ir import Cookie, Route
from router.split import salt
from router.translate.headers import KEY_HEADER, REQUEST_ID, header
from router.translate.values import packed

COOKIE_FILTER = "envoy.filters.http.header_to_metadata"
COOKIE_NAME = re.compile(r"(?!__(?:Host|Secure)-)[A-Za-z0-9_.-]{1,128}")
"""Browsers refuse the two prefixes on cookies without `Secure`, which cookies over plain HTTP cannot have."""

_NAMESPACE, _KEY = "tidegate.cookie", "key"
_COOKIE_OCTETS = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+"  # RFC 6265, section 4.1.1
_REQUEST_ID_AS_COOKIE = "[A-Za-z0-9._~-]{1,128}"


@dataclass(frozen=True, slots=True)
class Draw:
    """Requests whose version is decided in one way: those with all of `headers`."""

    headers: tuple[rc.HeaderMatcher, ...]
    policies: tuple[rc.RouteAction.HashPolicy, ...]
    answer_headers: tuple[base_pb2.HeaderValueOption, ...] = ()


def draws(route: Route) -> tuple[Draw, ...]:
    """All ways in which a request of this route is decided; the first that fits a request is its own."""
    by_request_id = _header_policy(REQUEST_ID)
    if route.sticky_header is not None:
        sticky = _header_policy(route.sticky_header, "^", salt(route.key), terminal=True)
        return (Draw((), (sticky, by_request_id)),)
    if route.sticky_cookie is not None:
        return (*_cookie_draws(route, route.sticky_cookie),)
    return (Draw((), (by_request_id,)),)


def key_headers(route: Route) -> Iterator[base_pb2.HeaderValueOption]:
    """Tells the replica what decided, or would have decided. What comes out empty leaves the one before it."""
    if route.sticky_header is not None:
        yield header(KEY_HEADER, f"%REQ({route.sticky_header}?{REQUEST_ID})%")
    else:
        yield header(KEY_HEADER, f"%REQ({REQUEST_ID})%")
    if route.sticky_cookie is not None:
        yield header(KEY_HEADER, f"%DYNAMIC_METADATA({_NAMESPACE}:{_KEY})%")


def cookie_reader(cookie: Cookie) -> any_pb2.Any:
    """The configuration of the filter that finds the cookie's value for `key_headers`."""
    found = h2m.Config.KeyValuePair(
        metadata_namespace=_NAMESPACE,
        key=_KEY,
        regex_value_rewrite=regex_pb2.RegexMatchAndSubstitute(
            # Without the cookie the whole header is replaced by nothing, and nothing is kept.
            pattern=regex_pb2.RegexMatcher(regex=rf"{_cookie_pattern(cookie)}|^\C*$"),
            substitution=r"\1",
        ),
    )
    return packed(h2m.Config(request_rules=[h2m.Config.Rule(header="cookie", on_header_present=found)]))


def _cookie_draws(route: Route, cookie: Cookie) -> Iterator[Draw]:
    pattern = _cookie_pattern(cookie)
    yield Draw((_matches("cookie", pattern),), (_header_policy("cookie", pattern, salt(route.key) + r"\1"),))
    by_request_id = _header_policy(REQUEST_ID, "^", salt(route.key))
    # The client's own request id may be of any form. One that a cookie cannot have decides, and is not given out.
    yield Draw((_matches(REQUEST_ID, _REQUEST_ID_AS_COOKIE),), (by_request_id,), (_set_cookie(cookie),))
    yield Draw((), (by_request_id,))


def _cookie_pattern(cookie: Cookie) -> str:
    r"""Matches a whole header `cookie` that has this one. `\C` is any byte: other cookies may be no UTF-8."""
    return rf'^(?:\C*?; *)??{re.escape(cookie.name)}="?({_COOKIE_OCTETS})"? *(?:;\C*)?$'


def _set_cookie(cookie: Cookie) -> base_pb2.HeaderValueOption:
    attributes = f"Max-Age={cookie.ttl_seconds}; Path=/; HttpOnly; SameSite=Lax"
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key="set-cookie", value=f"{cookie.name}=%REQ({REQUEST_ID})%; {attributes}"),
        append_action=base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD,
    )


def _matches(name: str, pattern: str) -> rc.HeaderMatcher:
    return rc.HeaderMatcher(
        name=name, string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))
    )


def _header_policy(
    name: str, pattern: str | None = None, substitution: str = "", *, terminal: bool = False
) -> rc.RouteAction.HashPolicy:
    rewrite = None
    if pattern is not None:
        rewrite = regex_pb2.RegexMatchAndSubstitute(
            pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=substitution
        )
    found = rc.RouteAction.HashPolicy.Header(header_name=name, regex_rewrite=rewrite)
    return rc.RouteAction.HashPolicy(header=found, terminal=terminal)
