"""The route configuration (RDS): which request goes to which cluster.

Every route of the fleet stands in the virtual host of each of its hosts, and in those of all hosts that its wildcards
cover, since Envoy looks into one virtual host only. Paths are matched exactly, so that `iris` never answers `iris2`.
"""

import re
from collections.abc import Iterator, Sequence

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import struct_pb2, wrappers_pb2

from router.ir import BackendKey, Mirror, Retry, Route
from router.split import salt
from router.translate.clusters import cluster_name
from router.translate.values import duration, packed

ROUTE_CONFIG = "tidegate"
BUFFER_FILTER = "envoy.filters.http.buffer"
METADATA = "tidegate"
"""Envoy's own answers take their `code` from the route's metadata under this name."""

REQUEST_ID = "x-request-id"
MIRROR_HEADER = "tidegate-mirror"
RETRY_AFTER_SECONDS = 1
RETRY_BACKOFF_SECONDS = (0.01, 0.1)
"""The mean of the first pause before a retry, and the longest."""

_ALWAYS_SAFE = "connect-failure,refused-stream,reset-before-request"
_IDEMPOTENT = "connect-failure,refused-stream,reset,retriable-status-codes"
_ANY_HOST = "*"
_HOST = re.compile(r"\*|(\*[.-])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?([.-]\*)?", re.IGNORECASE)
_MODEL = re.compile(r"[A-Za-z0-9._~-]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, section 5.6.2


def route_configuration(routes: Sequence[Route], *, published: bool = True) -> route_pb2.RouteConfiguration:
    """All routes of the fleet.

    `published` is False while nobody has said yet which routes there are: then an unknown model gets 503, not 404.
    """
    domains = sorted({host.lower() for route in routes for host in route.hosts} | {_ANY_HOST})
    return route_pb2.RouteConfiguration(
        name=ROUTE_CONFIG,
        virtual_hosts=[_virtual_host(domain, routes, published=published) for domain in domains],
        request_headers_to_remove=[MIRROR_HEADER],
        # Route lookup is by path; a cluster that is not there is the snapshot's fault, and Envoy shall say so.
        validate_clusters=wrappers_pb2.BoolValue(value=False),
    )


def check(route: Route) -> None:
    """Raise `ValueError` for what Envoy would refuse, or understand differently than it was meant."""
    problems = [
        *(f"{host!r} is no host name" for host in route.hosts if not _HOST.fullmatch(host)),
        *([] if route.hosts else ["a route needs at least one host"]),
        *([] if _MODEL.fullmatch(route.model) else [f"{route.model!r} cannot stand in a path"]),
        *([] if route.max_body_bytes > 0 else [f"a body limit of {route.max_body_bytes} bytes lets nothing in"]),
        *([] if route.timeout_seconds >= 0.001 else [f"a timeout of {route.timeout_seconds:g} s is below 1 ms"]),
        *([] if route.retry.attempts >= 0 else [f"{route.retry.attempts} retries are not possible"]),
    ]
    if route.sticky_header is not None and not _HEADER.fullmatch(route.sticky_header):
        problems.append(f"{route.sticky_header!r} is no header name")
    if route.mirror is not None and route.mirror.max_concurrency < 1:
        problems.append(f"a mirror of {route.mirror.max_concurrency} requests at once copies nothing")
    if problems:
        raise ValueError("; ".join(problems))
    route_configuration([route])


def covers(pattern: str, domain: str) -> bool:
    """Whether every request for `domain` is one for `pattern`: the same, `*`, `*.example.com` or `example.*`."""
    if pattern in (domain, _ANY_HOST):
        return True
    if pattern.startswith("*"):
        return domain.endswith(pattern[1:])
    return pattern.endswith("*") and domain.startswith(pattern[:-1])


def inference_paths(model: str) -> tuple[str, ...]:
    """Where predictions are asked for: v2, v1 and named fields."""
    return f"/v2/models/{model}/infer", f"/v1/models/{model}:predict", f"/api/v1/models/{model}/predict"


def metadata_paths(model: str) -> tuple[str, ...]:
    """Where a model is described."""
    return f"/v2/models/{model}", f"/v2/models/{model}/ready", f"/v1/models/{model}"


def _virtual_host(domain: str, routes: Sequence[Route], *, published: bool) -> rc.VirtualHost:
    # A route that names the host itself comes before those that cover it; among them the longest pattern wins.
    matching: list[tuple[int, Route]] = []
    for route in routes:
        patterns = [host for host in route.hosts if covers(host.lower(), domain)]
        if patterns:
            matching.append((max(map(len, patterns)), route))
    matching.sort(key=lambda found: (-found[0], found[1].key))
    return rc.VirtualHost(
        name=domain,
        domains=[domain],
        routes=[
            *_fleet_routes(published=published),
            *(entry for _, route in matching for entry in _model_routes(route)),
            _no_such_model() if published else _not_published(),
        ],
    )


def _fleet_routes(*, published: bool) -> Iterator[rc.Route]:
    yield from _constant("/v2/health/live", '{"live":true}')
    if published:  # else the last route of the virtual host answers
        yield from _constant("/v2/health/ready", '{"ready":true}')
    yield from _constant("/v2", '{"name":"tidegate","version":"2","extensions":[]}')


def _model_routes(route: Route) -> Iterator[rc.Route]:
    paths = inference_paths(route.model)
    if not any(backend.weight for backend in route.backends):
        for path in (*paths, *metadata_paths(route.model)):
            yield _not_ready(path)
        return
    if route.mirror is not None:
        for path in paths:
            yield _forward(route, path, method="POST", mirror=route.mirror)
    for path in (*paths, *metadata_paths(route.model)):
        yield _forward(route, path)


def _forward(route: Route, path: str, method: str | None = None, mirror: Mirror | None = None) -> rc.Route:
    limit = wrappers_pb2.UInt32Value(value=route.max_body_bytes)
    match = rc.RouteMatch(path=path)
    if method is not None:
        match.headers.add(name=":method", string_match=string_pb2.StringMatcher(exact=method))
    return rc.Route(
        match=match,
        route=rc.RouteAction(
            weighted_clusters=_weighted_clusters(route),
            hash_policy=list(_hash_policies(route)),
            timeout=duration(route.timeout_seconds),
            # The connection manager's own limit must not cut off a model that may take longer.
            idle_timeout=duration(2 * route.timeout_seconds),
            retry_policy=_retry_policy(route.retry),
            request_mirror_policies=[] if mirror is None else [_mirror_policy(route, mirror)],
        ),
        typed_per_filter_config={
            BUFFER_FILTER: packed(buffer_pb2.BufferPerRoute(buffer=buffer_pb2.Buffer(max_request_bytes=limit)))
        },
        # A body that was let in must also fit when it is sent again or copied.
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=route.max_body_bytes),
    )


def _weighted_clusters(route: Route) -> rc.WeightedCluster:
    return rc.WeightedCluster(
        clusters=[
            rc.WeightedCluster.ClusterWeight(
                name=cluster_name(BackendKey(route.key, backend.version, mirrored=False)),
                weight=wrappers_pb2.UInt32Value(value=backend.weight),
            )
            for backend in route.backends
            if backend.weight
        ],
        use_hash_policy=wrappers_pb2.BoolValue(value=True),
    )


def _hash_policies(route: Route) -> Iterator[rc.RouteAction.HashPolicy]:
    if route.sticky_header is not None:
        yield rc.RouteAction.HashPolicy(
            header=rc.RouteAction.HashPolicy.Header(
                header_name=route.sticky_header,
                regex_rewrite=regex_pb2.RegexMatchAndSubstitute(
                    pattern=regex_pb2.RegexMatcher(regex="^"), substitution=salt(route.key)
                ),
            ),
            terminal=True,
        )
    yield rc.RouteAction.HashPolicy(header=rc.RouteAction.HashPolicy.Header(header_name=REQUEST_ID))


def _retry_policy(retry: Retry) -> rc.RetryPolicy | None:
    """Try again on another replica if there is one.

    There is no timeout per try: a slow model is slow on every replica, and trying it again would only add load.
    A full queue (503) of one replica is worth a try on another, after a pause, within the cluster's retry budget.
    """
    if retry.attempts == 0:
        return None
    first, longest = RETRY_BACKOFF_SECONDS
    return rc.RetryPolicy(
        retry_on=_IDEMPOTENT if retry.idempotent else _ALWAYS_SAFE,
        num_retries=wrappers_pb2.UInt32Value(value=retry.attempts),
        retriable_status_codes=[502, 503, 504] if retry.idempotent else [],
        retry_host_predicate=[
            rc.RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=5,
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
        ],
    )


def _constant(path: str, body: str) -> Iterator[rc.Route]:
    """What is always the same, for those who ask for it by the right method."""
    match = rc.RouteMatch(path=path)
    match.headers.add(
        name=":method", string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex="GET|HEAD"))
    )
    yield _answer(match, 200, body)
    refusal = _answer(rc.RouteMatch(path=path), 405, f"{path} answers GET, HEAD", "method_not_allowed")
    refusal.response_headers_to_add.append(header("allow", "GET, HEAD"))
    yield refusal


def _answer(match: rc.RouteMatch, status: int, body: str, code: str | None = None) -> rc.Route:
    route = rc.Route(
        match=match,
        direct_response=rc.DirectResponseAction(status=status, body=base_pb2.DataSource(inline_string=body)),
    )
    if code is None:
        route.response_headers_to_add.append(header("content-type", "application/json"))
    else:
        value = struct_pb2.Struct()
        value.update({"code": code})
        route.metadata.filter_metadata[METADATA].CopyFrom(value)
    return route


def _not_ready(path: str) -> rc.Route:
    route = _answer(rc.RouteMatch(path=path), 503, "no version of the model is ready yet; try again", "model_not_ready")
    route.response_headers_to_add.append(header("retry-after", str(RETRY_AFTER_SECONDS)))
    return route


def _not_published() -> rc.Route:
    text = "the router has not been told yet which models there are; try again"
    route = _answer(rc.RouteMatch(prefix="/"), 503, text, "starting")
    route.response_headers_to_add.append(header("retry-after", str(RETRY_AFTER_SECONDS)))
    return route


def _no_such_model() -> rc.Route:
    text = "there is no such model or path; models answer at /v2/models/NAME/infer"
    return _answer(rc.RouteMatch(prefix="/"), 404, text, "not_found")


def header(name: str, value: str) -> base_pb2.HeaderValueOption:
    """A header to set, whatever it was before."""
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
