"""Which version a request reaches: Envoy's own choice, foretold.

Envoy walks along a route's weighted clusters until their weights exceed `hash % 10000` (`use_hash_policy` of
`WeightedCluster`), the hash being xxh64 with seed 0 over what decides. The value of a sticky header or cookie is
salted with the route's key first, so that the same users are not the first to meet every model's candidate.

A client without the sticky cookie is decided by its request id, salted as well, and is given that as the cookie: its
first request and all later ones have one hash.
"""

import xxhash

from router.ir import BASIS_POINTS, Route, RouteKey


def salt(key: RouteKey) -> str:
    """What stands before a sticky value when it is hashed."""
    return f"{key.namespace}/{key.name}/"


def choose(route: Route, key: str) -> str | None:
    """The version that answers a request; None while the route's weights are all 0.

    `key` is the value of the route's sticky header or cookie or, for a route without either, the request id.
    """
    sticky = route.sticky_header is not None or route.sticky_cookie is not None
    return _walk(route, salt(route.key) + key if sticky else key)


def choose_without_sticky(route: Route, request_id: str) -> str | None:
    """The version that answers a request without the sticky header or cookie: its request id decides."""
    return _walk(route, request_id if route.sticky_cookie is None else salt(route.key) + request_id)


def _walk(route: Route, hashed: str) -> str | None:
    point = xxhash.xxh64_intdigest(hashed.encode(), seed=0) % BASIS_POINTS
    for backend in route.backends:
        if point < backend.weight:
            return backend.version
        point -= backend.weight
    return None
