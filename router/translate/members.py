"""Routes of versions that are many models, which requests name as MODEL.MEMBER: where they come in, and which replica
of a version gets them.

The version is drawn as ever. Within a version, the member's name decides: a ring of hashes gives each to one replica,
where it is loaded once and stays warm, and only the members of a replica that comes or goes move. A replica that has
more than its share of the requests under way passes further ones on along the ring (consistent hashing with bounded
loads, https://arxiv.org/abs/1608.01350): so a hot member spreads. A retry goes along the ring as well.
"""

import re
from collections.abc import Iterator
from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.load_balancing_policies.common.v3 import common_pb2
from envoy.extensions.load_balancing_policies.ring_hash.v3 import ring_hash_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import wrappers_pb2

from router.ir import Route
from router.translate.headers import MEMBER_HEADER
from router.translate.places import Place
from router.translate.values import packed

BALANCE_PERCENT: Final = 150
"""How much of the mean number of requests under way a replica may have, until others get what is meant for it."""

_IN_PATH: Final = r"^(?:/api)?/v[12]/models/([^/:?]+)\C*$"
_IN_LIST: Final = r'^\["([^"]*)"\]$'
"""What was read out of a message is a list of texts. The name alone is hashed, as that in a path."""


def balanced_by_member() -> cluster_pb2.LoadBalancingPolicy:
    """The policy of a cluster whose replicas host many models. It looks at the path, or for gRPC at a header."""
    name = _part_of(MEMBER_HEADER, _IN_LIST)
    path = _part_of(":path", _IN_PATH)
    ring = ring_hash_pb2.RingHash(
        consistent_hashing_lb_config=common_pb2.ConsistentHashingLbConfig(
            hash_balance_factor=wrappers_pb2.UInt32Value(value=BALANCE_PERCENT),
            hash_policy=[
                rc.RouteAction.HashPolicy(header=name, terminal=True),
                rc.RouteAction.HashPolicy(header=path),
            ],
        )
    )
    extension = extension_pb2.TypedExtensionConfig(
        name="envoy.load_balancing_policies.ring_hash", typed_config=packed(ring)
    )
    return cluster_pb2.LoadBalancingPolicy(
        policies=[cluster_pb2.LoadBalancingPolicy.Policy(typed_extension_config=extension)]
    )


def member_places(route: Route) -> Iterator[Place]:
    """Where members are asked, for predictions and for anything else; nowhere if the route has none."""
    if route.members:
        for prefix in ("/v2/models", "/v1/models", "/api/v1/models"):
            yield Place(f"{prefix}/{route.model}.", below=True)


def list_places(route: Route) -> Iterator[Place]:
    """Where a replica says which members there are."""
    if route.members:
        yield Place(f"/v2/models/{route.model}/members")


def model_name(route: Route) -> string_pb2.StringMatcher:
    """What names the route's model, or a member of it, in a gRPC call."""
    if not route.members:
        return string_pb2.StringMatcher(exact=route.model)
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=rf"{re.escape(route.model)}(\..+)?"))


def _part_of(header: str, pattern: str) -> rc.RouteAction.HashPolicy.Header:
    """What the pattern finds in a header, or the whole of it."""
    rewrite = regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=r"\1")
    return rc.RouteAction.HashPolicy.Header(header_name=header, regex_rewrite=rewrite)
