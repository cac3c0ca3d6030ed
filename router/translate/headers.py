"""The headers in which the router tells the replicas and the monitor what only it knows."""

import re

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.type.matcher.v3 import string_pb2

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""

REQUEST_ID = "x-request-id"
MIRROR_HEADER = "tidegate-mirror"
"""On copies of a request, whose answer nobody waits for."""

KEY_HEADER = "tidegate-key"
"""What decided the version: the value of the sticky header or cookie, or the request id."""

SHARE_HEADER = "tidegate-share"
"""The share of the version that was drawn, in basis points; selected requests are not drawn, and have none."""

MODEL_HEADER = "tidegate-model"
"""In a gRPC call: which model is meant. Clients say so, and need not: see `router.translate.grpc`."""

MEMBER_HEADER = "tidegate-member"
"""In a gRPC call for one of many models: its name, by which the replica is chosen."""

ROUTE_HEADER = "tidegate-route"
"""On feedback: the route of the model that it is about, as NAMESPACE/NAME."""

CODE_HEADER = "tidegate-code"
"""In the metadata of a failed gRPC call: the code that other protocols have in the body of an error."""

OWN_HEADERS = (MIRROR_HEADER, KEY_HEADER, SHARE_HEADER, ROUTE_HEADER, MEMBER_HEADER)
"""Taken from every request that comes in, before anything looks at it."""


def path_first(path: str) -> rc.HeaderMatcher:
    """To stand before other matchers of headers, on entries for exactly this path.

    Of every entry up to the one that fits, Envoy looks at headers before it looks at the path. This matcher is cheap,
    and keeps it from trying an expression of every model for the requests of one.
    """
    return rc.HeaderMatcher(name=":path", string_match=string_pb2.StringMatcher(prefix=path))


def header(name: str, value: str) -> base_pb2.HeaderValueOption:
    """A header to set, whatever it was before. A `value` that comes out empty leaves the header as it is."""
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
