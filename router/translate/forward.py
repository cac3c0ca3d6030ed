"""Routes that lead to a model's versions: with what limits, retries, copies, and to which cluster."""

from collections.abc import Iterator, Sequence

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, wrappers_pb2

from router.ir import BackendKey, Mirror, Route
from router.translate.answers import not_ready
from router.translate.clusters import cluster_name
from router.translate.hashing import COOKIE_FILTER, Draw, cookie_reader, draws, key_headers
from router.translate.headers import KEY_HEADER, MIRROR_HEADER, SHARE_HEADER, header
from router.translate.places import Place
from router.translate.selection import (
    FEATURES_FILTER,
    all_matches,
    feature_reader,
    features,
    header_matches,
    in_effect,
)
from router.translate.values import duration, packed

BUFFER_FILTER = "envoy.filters.http.buffer"
HOST_PICKS = 30
"""How often a replica is picked for a retry until it is another one. A dead replica has the fewest requests under way,
so that of two the balancer picks it three times of four: with five picks one retry in five went there again."""
MEMBER_ATTEMPTS = 4
"""How often at least a request to one of many models may be tried again. A replica with more than its share of requests
passes the next one on to another, be that a dead one that was picked before: it is ejected after three failures."""
RETRY_BACKOFF_SECONDS = (0.01, 0.1)
"""The mean of the first pause before a retry, and the longest."""

_ALWAYS_SAFE = "connect-failure,refused-stream,reset-before-request"
_IDEMPOTENT = "connect-failure,refused-stream,reset,retriable-status-codes"


def forwards(route: Route, inference: Sequence[Place] = (), metadata: Sequence[Place] = ()) -> Iterator[rc.Route]:
    """All entries for these places, in the order in which Envoy is to try them: 503 until the route is ready."""
    if not route.ready:
        yield from (not_ready(place.match()) for place in (*inference, *metadata))
        return
    selection = in_effect(route)
    if selection is not None:
        for place in inference:
            matches = header_matches(selection, place) if place.grpc else all_matches(selection, place)
            for match in matches:
                yield _selected(route, selection.version, place, match, inference=True)
        for place in metadata:
            for match in header_matches(selection, place):
                yield _selected(route, selection.version, place, match, inference=False)
    if route.mirror is not None:
        posted = rc.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(exact="POST"))
        for place in inference:
            for draw in draws(route):
                match = place.match(draw.headers, method=posted)
                yield _drawn(route, place, match, draw, inference=True, mirror=route.mirror)
    for place in (*inference, *metadata):
        for draw in draws(route):
            yield _drawn(route, place, place.match(draw.headers), draw, inference=place in inference)


def _selected(route: Route, version: str, place: Place, match: rc.RouteMatch, *, inference: bool) -> rc.Route:
    action = _action(route)
    action.cluster = cluster_name(BackendKey(route.key, version, mirrored=False))
    return _entry(route, place, match, action, inference=inference)


def _drawn(
    route: Route, place: Place, match: rc.RouteMatch, draw: Draw, *, inference: bool, mirror: Mirror | None = None
) -> rc.Route:
    action = _action(route)
    action.weighted_clusters.CopyFrom(_weighted_clusters(route, exposures=route.exposures and inference))
    action.hash_policy.extend(draw.policies)
    if mirror is not None:
        action.request_mirror_policies.append(_mirror_policy(route, mirror))
    entry = _entry(route, place, match, action, inference=inference)
    entry.response_headers_to_add.extend(draw.answer_headers)
    # Every request is one of these at first, so that they alone need the features to be read.
    if inference and not place.grpc and features(route):
        entry.typed_per_filter_config[FEATURES_FILTER].CopyFrom(feature_reader(route))
    return entry


def _entry(route: Route, place: Place, match: rc.RouteMatch, action: rc.RouteAction, *, inference: bool) -> rc.Route:
    if place.rewrite is not None:
        action.prefix_rewrite = place.rewrite  # of an exact match: the whole path, but for the query
    filters: dict[str, any_pb2.Any] = {**place.filters, BUFFER_FILTER: body_limit(route.max_body_bytes)}
    exposed = route.exposures and inference
    if exposed and route.sticky_cookie is not None:
        filters[COOKIE_FILTER] = cookie_reader(route.sticky_cookie)
    return rc.Route(
        match=match,
        route=action,
        request_headers_to_add=[*place.tells, *(key_headers(route) if exposed else [])],
        typed_per_filter_config=filters,
        # A body that was let in must also fit when it is sent again or copied.
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=route.max_body_bytes),
    )


def body_limit(size: int) -> any_pb2.Any:
    """The configuration of the filter that waits for the body, and refuses one of more than `size` bytes."""
    limit = wrappers_pb2.UInt32Value(value=size)
    return packed(buffer_pb2.BufferPerRoute(buffer=buffer_pb2.Buffer(max_request_bytes=limit)))


def _action(route: Route) -> rc.RouteAction:
    return rc.RouteAction(
        timeout=duration(route.timeout_seconds),
        # The connection manager's own limit must not cut off a model that may take longer.
        idle_timeout=duration(2 * route.timeout_seconds),
        retry_policy=_retry_policy(route),
    )


def _weighted_clusters(route: Route, *, exposures: bool) -> rc.WeightedCluster:
    return rc.WeightedCluster(
        clusters=[
            rc.WeightedCluster.ClusterWeight(
                name=cluster_name(BackendKey(route.key, backend.version, mirrored=False)),
                weight=wrappers_pb2.UInt32Value(value=backend.weight),
                request_headers_to_add=[header(SHARE_HEADER, str(backend.weight))] if exposures else [],
            )
            for backend in route.backends
            if backend.weight
        ],
        use_hash_policy=wrappers_pb2.BoolValue(value=True),
    )


def _retry_policy(route: Route) -> rc.RetryPolicy | None:
    """Try again on another replica if there is one.

    There is no timeout per try: a slow model is slow on every replica, and trying it again would only add load.
    A full queue (503) of one replica is worth a try on another, after a pause, within the cluster's retry budget.
    """
    retry = route.retry
    if retry.attempts == 0:
        return None
    attempts = max(retry.attempts, MEMBER_ATTEMPTS) if route.members else retry.attempts
    first, longest = RETRY_BACKOFF_SECONDS
    return rc.RetryPolicy(
        retry_on=_IDEMPOTENT if retry.idempotent else _ALWAYS_SAFE,
        num_retries=wrappers_pb2.UInt32Value(value=attempts),
        retriable_status_codes=[502, 503, 504] if retry.idempotent else [],
        retry_host_predicate=[
            rc.RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=HOST_PICKS,
        retry_back_off=rc.RetryPolicy.RetryBackOff(base_interval=duration(first), max_interval=duration(longest)),
    )


def _mirror_policy(route: Route, mirror: Mirror) -> rc.RouteAction.RequestMirrorPolicy:
    return rc.RouteAction.RequestMirrorPolicy(
        cluster=cluster_name(BackendKey(route.key, mirror.version, mirrored=True)),
        runtime_fraction=base_pb2.RuntimeFractionalPercent(
            default_value=percent_pb2.FractionalPercent(
                numerator=mirror.share, denominator=percent_pb2.FractionalPercent.TEN_THOUSAND
            )
        ),
        disable_shadow_host_suffix_append=True,
        request_headers_mutations=[
            mutation_rules_pb2.HeaderMutation(append=header(MIRROR_HEADER, "1")),
            # A copy exposes nobody to anything.
            *(mutation_rules_pb2.HeaderMutation(remove=name) for name in (KEY_HEADER, SHARE_HEADER) if route.exposures),
        ],
    )
