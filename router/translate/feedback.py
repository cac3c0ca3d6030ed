"""The way of feedback: from the clients of a model to the monitor, if there is one."""

import re
from collections.abc import Iterator

from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import wrappers_pb2

from router.ir import Route
from router.translate.answers import not_found, wrong_method
from router.translate.forward import BUFFER_FILTER
from router.translate.headers import ROUTE_HEADER, header
from router.translate.values import duration, packed

MONITOR_CLUSTER = "monitor"
MAX_BYTES = 1 << 20
TIMEOUT_SECONDS = 5.0
_NO_MONITOR = "feedback goes to a monitor, and this router was started without one (TIDEGATE_MONITOR_ADDRESS)"


def feedback_path(model: str) -> str:
    """Where clients say what an answer was worth."""
    return f"/api/v1/models/{model}/feedback"


def no_monitor() -> rc.Route:
    """What becomes of feedback when nobody takes it."""
    anybody = regex_pb2.RegexMatcher(regex=feedback_path("[^/]+"))
    return not_found(rc.RouteMatch(safe_regex=anybody), _NO_MONITOR)


def feedback_routes(route: Route) -> Iterator[rc.Route]:
    """Feedback about this model, to the monitor. It concerns past answers, so the model need not be ready."""
    yield _to_monitor(route, rc.RouteMatch(path=feedback_path(route.model)))
    yield wrong_method(feedback_path(route.model), "POST")
    if route.members:
        members = regex_pb2.RegexMatcher(regex=feedback_path(rf"{re.escape(route.model)}\.[^/]+"))
        yield _to_monitor(route, rc.RouteMatch(safe_regex=members))


def _to_monitor(route: Route, match: rc.RouteMatch) -> rc.Route:
    match.headers.add(name=":method", string_match=string_pb2.StringMatcher(exact="POST"))
    limit = wrappers_pb2.UInt32Value(value=MAX_BYTES)
    return rc.Route(
        match=match,
        route=rc.RouteAction(
            cluster=MONITOR_CLUSTER,
            timeout=duration(TIMEOUT_SECONDS),
            # What may have been recorded is not sent again.
            retry_policy=rc.RetryPolicy(retry_on="connect-failure", num_retries=wrappers_pb2.UInt32Value(value=1)),
        ),
        request_headers_to_add=[header(ROUTE_HEADER, f"{route.key.namespace}/{route.key.name}")],
        typed_per_filter_config={
            BUFFER_FILTER: packed(buffer_pb2.BufferPerRoute(buffer=buffer_pb2.Buffer(max_request_bytes=limit)))
        },
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=MAX_BYTES),
    )
