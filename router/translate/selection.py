"""Requests that are selected for a version: how Envoy finds them by header, and by what their JSON body says.

The filter `json_to_metadata` reads the body, keeps what stands at the wanted paths, and has Envoy look for the route
again. Envoy wants the whole body for this, so the filter is on for no route but those that ask for a feature. Clients
have no other way to these values.
"""

import json
import math
import re
import sys
from collections.abc import Iterator

from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.json_to_metadata.v3 import json_to_metadata_pb2 as j2m
from envoy.type.matcher.v3 import metadata_pb2, number_pb2, regex_pb2, string_pb2, value_pb2
from envoy.type.v3 import range_pb2
from google.protobuf import any_pb2

from router.ir import Condition, Route, Selection
from router.translate.headers import HEADER_NAME, OWN_HEADERS
from router.translate.places import Place
from router.translate.values import packed

FEATURES_FILTER = "envoy.filters.http.json_to_metadata"
MAX_HEADER_VALUES_BYTES = 16_384
"""All values of one condition on a header are one regular expression, and Envoy bounds its size."""

_NAMESPACE = "tidegate.features"


def in_effect(route: Route) -> Selection | None:
    """The route's selection while its version has endpoints: else the others answer, by weight."""
    if route.selection is None:
        return None
    (version,) = (backend for backend in route.backends if backend.version == route.selection.version)
    return route.selection if version.endpoints else None


def features(route: Route) -> tuple[tuple[str, ...], ...]:
    """The paths in the body that the selection in effect asks for, each once."""
    selection = in_effect(route)
    matches = () if selection is None else selection.matches
    return (*dict.fromkeys(condition.feature for match in matches for condition in match if condition.feature),)


def header_matches(selection: Selection, place: Place) -> Iterator[rc.RouteMatch]:
    """Those of the matches that need no body."""
    return _matches(selection, place, by_features=False)


def all_matches(selection: Selection, place: Place) -> Iterator[rc.RouteMatch]:
    """All of them, and last those that need the body."""
    yield from header_matches(selection, place)
    yield from _matches(selection, place, by_features=True)


def feature_reader(route: Route) -> any_pb2.Any:
    """The configuration of the filter that reads the features.

    Any content type will do, since the replicas ask for none. A body that is no JSON has no features.
    """
    rules = [
        j2m.JsonToMetadata.Rule(
            selectors=[j2m.JsonToMetadata.Selector(key=key) for key in feature],
            on_present=j2m.JsonToMetadata.KeyValuePair(metadata_namespace=_NAMESPACE, key=_feature_name(feature)),
        )
        for feature in features(route)
    ]
    return packed(
        j2m.JsonToMetadata(
            request_rules=j2m.JsonToMetadata.MatchRules(
                rules=rules,
                allow_content_types_regex=regex_pb2.RegexMatcher(regex=r"\C*"),
                allow_empty_content_type=True,
            )
        )
    )


def problems(selection: Selection) -> Iterator[str]:
    """What Envoy would refuse, or understand differently than it was meant."""
    for match in selection.matches:
        if not match:
            yield f"a match without conditions would select every request for {selection.version}; give it weight"
        for condition in match:
            yield from _condition_problems(condition)


def _condition_problems(condition: Condition) -> Iterator[str]:
    name = condition.header
    if name is not None and not HEADER_NAME.fullmatch(name):
        yield f"{name!r} is no header name"
    elif name is not None and "_" in name:
        yield f"the header {name} never arrives: requests with underscores in the names of headers are refused"
    elif name is not None and name.lower() in OWN_HEADERS:
        yield f"the header {name} is Tidegate's own and taken from every request"
    size = sum(len(str(value).encode()) for value in condition.values)
    if name is not None and size > MAX_HEADER_VALUES_BYTES:
        yield f"the values of {name} are {size} bytes; {MAX_HEADER_VALUES_BYTES} are possible"
    if "" in condition.feature:
        yield f"the feature {_feature_name(condition.feature)} has an empty key"
    if condition.prefix == "":
        yield "every text begins with an empty prefix; leave it out"
    for value in (condition.low, condition.high, *condition.values):
        if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
            yield f"{_feature_name(condition.feature)} is compared with no finite number: {value}"
    if condition.low is not None and condition.high is not None and condition.low >= condition.high:
        yield f"no number is at least {condition.low:g} and below {condition.high:g}"


def _matches(selection: Selection, place: Place, *, by_features: bool) -> Iterator[rc.RouteMatch]:
    for match in selection.matches:
        if any(condition.feature for condition in match) == by_features:
            yield place.match(
                [_header_matcher(condition) for condition in match if condition.header is not None],
                [_feature_matcher(condition) for condition in match if condition.feature],
            )


def _header_matcher(condition: Condition) -> rc.HeaderMatcher:
    if condition.values:
        text = string_pb2.StringMatcher(
            safe_regex=regex_pb2.RegexMatcher(regex="|".join(re.escape(str(value)) for value in condition.values))
        )
    elif condition.prefix is not None:
        text = string_pb2.StringMatcher(prefix=condition.prefix)
    else:
        return rc.HeaderMatcher(name=condition.header, present_match=True)
    return rc.HeaderMatcher(name=condition.header, string_match=text)


def _feature_matcher(condition: Condition) -> metadata_pb2.MetadataMatcher:
    wanted = [*_values(condition)]
    return metadata_pb2.MetadataMatcher(
        filter=_NAMESPACE,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=_feature_name(condition.feature))],
        value=(
            wanted[0]
            if len(wanted) == 1
            else value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=wanted))
        ),
    )


def _values(condition: Condition) -> Iterator[value_pb2.ValueMatcher]:
    """Any of these will do."""
    for value in condition.values:
        if isinstance(value, bool):
            yield value_pb2.ValueMatcher(bool_match=value)
        elif isinstance(value, str):
            yield value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(exact=value))
        else:
            yield value_pb2.ValueMatcher(double_match=number_pb2.DoubleMatcher(exact=value))
    if condition.prefix is not None:
        yield value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(prefix=condition.prefix))
    elif condition.low is not None or condition.high is not None:
        between = range_pb2.DoubleRange(
            start=-math.inf if condition.low is None else condition.low,
            end=math.inf if condition.high is None else condition.high,
        )
        yield value_pb2.ValueMatcher(double_match=number_pb2.DoubleMatcher(range=between))
    elif not condition.values:
        yield value_pb2.ValueMatcher(present_match=True)


def _feature_name(feature: tuple[str, ...]) -> str:
    """One text for a path, and never the same for two."""
    return json.dumps(feature, ensure_ascii=False)
