"""Routes that Envoy answers itself. `router.translate.replies` makes JSON of their sentence and code."""

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import struct_pb2

from router.translate.headers import header

METADATA = "tidegate"
"""Envoy's own answers take their `code` from the route's metadata under this name."""

RETRY_AFTER_SECONDS = 1


def constant(path: str, body: str) -> Iterator[rc.Route]:
    """What is always the same, for those who ask for it by the right method."""
    match = rc.RouteMatch(path=path)
    match.headers.add(
        name=":method", string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex="GET|HEAD"))
    )
    yield _answer(match, 200, body)
    yield wrong_method(path, "GET, HEAD")


def wrong_method(path: str, allowed: str) -> rc.Route:
    """405 for whoever comes this far."""
    refusal = _answer(rc.RouteMatch(path=path), 405, f"{path} answers {allowed}", "method_not_allowed")
    refusal.response_headers_to_add.append(header("allow", allowed))
    return refusal


def not_ready(match: rc.RouteMatch) -> rc.Route:
    """503: the model is known, and nothing can answer for it yet."""
    text = "no version of the model is ready yet; try again"
    return _to_be_tried_again(_answer(match, 503, text, "model_not_ready"))


def not_published() -> rc.Route:
    """503 for everything: whether there is such a model is not known yet."""
    text = "the router has not been told yet which models there are; try again"
    return _to_be_tried_again(_answer(rc.RouteMatch(prefix="/"), 503, text, "starting"))


def no_such_model() -> rc.Route:
    """404 for everything."""
    return not_found(
        rc.RouteMatch(prefix="/"), "there is no such model or path; models answer at /v2/models/NAME/infer"
    )


def not_found(match: rc.RouteMatch, text: str) -> rc.Route:
    """404, and why."""
    return _answer(match, 404, text, "not_found")


def not_implemented(match: rc.RouteMatch, text: str) -> rc.Route:
    """405: gRPC's UNIMPLEMENTED."""
    return _answer(match, 405, text, "not_implemented")


def _to_be_tried_again(route: rc.Route) -> rc.Route:
    route.response_headers_to_add.append(header("retry-after", str(RETRY_AFTER_SECONDS)))
    return route


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
