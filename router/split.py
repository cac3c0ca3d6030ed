"""Which version a request reaches: Envoy's own choice, foretold.

Envoy walks along a route's weighted clusters until their weights exceed `hash % 10000` (`use_hash_policy` of
`WeightedCluster`), the hash being xxh64 with seed 0 over the header that decides. The value of a sticky header is
salted with the route's key first, so that the same users are not the first to meet every model's candidate.
"""

import xxhash

from router.ir import BASIS_POINTS, Route, RouteKey


def salt(key: RouteKey) -> str:
    """What stands before a sticky value when it is hashed."""
    return f"{key.namespace}/{key.name}/"


def choose(route: Route, key: str) -> str | None:
    """The version that answers a request; None while the route's weights are all 0.

    `key` is the value of the route's sticky header or, for a route without one, the request id.
    """
    return _walk(route, key if route.sticky_header is None else salt(route.key) + key)


def choose_without_sticky(route: Route, request_id: str) -> str | None:
    """The version that answers a request without the sticky header, on any route: its request id decides."""
    return _walk(route, request_id)


def _walk(route: Route, hashed: str) -> str | None:
    point = xxhash.xxh64_intdigest(hashed.encode(), seed=0) % BASIS_POINTS
    for backend in route.backends:
        if point < backend.weight:
            return backend.version
        point -= backend.weight
    return None
