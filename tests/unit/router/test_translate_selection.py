"""Selections, cookies, exposures and feedback, where a real Envoy would not show why."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.route.v3 import route_components_pb2 as rc

from router.bootstrap import bootstrap
from router.config import Address, ListenConfig, RouterPaths
from router.ir import Backend, Condition, Cookie, Endpoint, Mirror, Route, RouteKey, Selection
from router.snapshot import InvalidRoutes, Snapshot, build
from router.translate.forward import BUFFER_FILTER
from router.translate.hashing import COOKIE_FILTER
from router.translate.routes import inference_paths, route_configuration
from router.translate.selection import FEATURES_FILTER, MAX_HEADER_VALUES_BYTES

LISTEN = ListenConfig()
READY = (Endpoint("127.0.0.1", 9001),)
BASE = Route(RouteKey("default", "iris"), "iris", backends=(Backend("b", 0, READY), Backend("a", 10_000, READY)))
HEADER, FEATURE = Condition("x-preview", values=("1",)), Condition(feature=("a", "b"), values=("1",))


def selecting(*matches: tuple[Condition, ...], route: Route = BASE) -> Route:
    return replace(route, selection=Selection("b", matches))


def forwarding(*routes: Route) -> list[rc.Route]:
    (host,) = route_configuration(routes).virtual_hosts
    return [entry for entry in host.routes if entry.HasField("route") and not entry.match.HasField("grpc")]


def built(*routes: Route) -> Snapshot:
    return build(routes, LISTEN)


def test_bodies_are_read_on_the_inference_paths_of_routes_with_features_only() -> None:
    other = replace(BASE, key=RouteKey("default", "other"), model="other")
    reading = {
        entry.match.path
        for entry in forwarding(selecting((HEADER, FEATURE)), selecting((HEADER,), route=other))
        if FEATURES_FILTER in entry.typed_per_filter_config
    }
    assert reading == {*inference_paths("iris")}


def test_a_request_that_is_selected_by_header_is_not_read() -> None:
    selected = [entry for entry in forwarding(selecting((FEATURE,), (HEADER,))) if entry.route.cluster]
    assert [bool(entry.match.dynamic_metadata) for entry in selected[:2]] == [False, True]
    for entry in selected:
        assert [*entry.typed_per_filter_config] == [BUFFER_FILTER]


def test_no_expression_of_one_model_is_tried_for_the_requests_of_another() -> None:
    sticky = replace(selecting((HEADER,), (FEATURE,)), sticky_cookie=Cookie("c", 60), mirror=Mirror("b", 100))
    for entry in forwarding(sticky):
        matchers = [matcher for matcher in entry.match.headers if matcher.name != ":method"]
        if matchers or entry.match.dynamic_metadata:
            assert (matchers[0].name, matchers[0].string_match.prefix) == (":path", entry.match.path)


def test_selected_requests_have_the_limits_of_all_others() -> None:
    route = replace(selecting((HEADER,)), timeout_seconds=3.0, max_body_bytes=77)
    first, *_, last = forwarding(route)
    assert first.route.cluster == "live/default/iris/b"
    for field in ("timeout", "idle_timeout", "retry_policy"):
        assert getattr(first.route, field) == getattr(last.route, field)
    assert first.typed_per_filter_config == last.typed_per_filter_config
    assert first.request_body_buffer_limit == last.request_body_buffer_limit


def test_a_path_is_read_once_however_many_conditions_name_it() -> None:
    matches = (FEATURE,), (FEATURE, Condition(feature=("a", "b"), low=1.0)), (Condition(feature=("a",), prefix="x"),)
    (config,) = {
        entry.typed_per_filter_config[FEATURES_FILTER].value
        for entry in forwarding(selecting(*matches))
        if FEATURES_FILTER in entry.typed_per_filter_config
    }
    assert config.count(b'["a", "b"]') == 1
    assert config.count(b'["a"]') == 1


def test_cookies_are_read_for_exposures_only() -> None:
    sticky = replace(BASE, sticky_cookie=Cookie("c", 60))
    reading = [
        [entry for entry in forwarding(route) if COOKIE_FILTER in entry.typed_per_filter_config]
        for route in (sticky, replace(sticky, exposures=True))
    ]
    assert reading[0] == []
    assert {entry.match.path for entry in reading[1]} == {*inference_paths("iris")}


def test_a_change_of_what_is_selected_changes_routes_only() -> None:
    before = built(BASE)
    for route in (
        selecting((HEADER,)),
        selecting((FEATURE,)),
        replace(BASE, sticky_cookie=Cookie("c", 60), exposures=True),
    ):
        after = built(route)
        assert after.routes.version != before.routes.version
        for kind in ("clusters", "endpoints", "listeners"):
            assert getattr(after, kind) == getattr(before, kind)


def test_the_selected_cluster_is_named_by_the_routes_while_it_has_endpoints() -> None:
    selected = selecting((HEADER,))
    assert built(selected).referenced == {"live/default/iris/a", "live/default/iris/b"}
    without = replace(selected, backends=(Backend("b", 0), BASE.backends[1]))
    assert built(without).referenced == {"live/default/iris/a"}
    assert built(without).routes == built(replace(without, selection=None)).routes


def test_a_model_that_is_not_ready_answers_nobody_selected_or_not() -> None:
    not_ready = replace(selecting((HEADER,)), backends=(Backend("b", 0, READY), Backend("a", 0)))
    assert forwarding(not_ready) == []
    assert built(not_ready).referenced == frozenset()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"selection": ((),)}, "a match without conditions would select every request for b; give it weight"),
        ({"selection": ((Condition("x y"),),)}, "'x y' is no header name"),
        ({"selection": ((Condition(":path"),),)}, "':path' is no header name"),
        ({"selection": ((Condition("x_user"),),)}, "the header x_user never arrives"),
        ({"selection": ((Condition("Tidegate-Mirror"),),)}, "the header Tidegate-Mirror is Tidegate's own"),
        ({"selection": ((Condition("x", prefix=""),),)}, "leave it out"),
        ({"selection": ((Condition("x", values=("v" * 9_000, "w" * 9_000)),),)}, f"{MAX_HEADER_VALUES_BYTES} are"),
        ({"selection": ((Condition(feature=("a", "")),),)}, 'the feature ["a", ""] has an empty key'),
        ({"selection": ((Condition(feature=("a",), low=math.nan),),)}, "no finite number: nan"),
        ({"selection": ((Condition(feature=("a",), values=(math.inf,)),),)}, "no finite number: inf"),
        ({"selection": ((Condition(feature=("a",), values=(10**400,)),),)}, "no finite number: 1000"),
        ({"selection": ((Condition(feature=("a",), low=2, high=2),),)}, "no number is at least 2 and below 2"),
        ({"sticky_cookie": Cookie("a b", 60)}, "'a b' is no name that a cookie over plain HTTP can have"),
        ({"sticky_cookie": Cookie("", 60)}, "'' is no name"),
        ({"sticky_cookie": Cookie("__Host-a", 60)}, "'__Host-a' is no name"),
        ({"sticky_cookie": Cookie("a", 0)}, "is gone before it comes back"),
        ({"sticky_header": "a%b", "exposures": True}, "cannot be told to replicas"),
    ],
)
def test_what_envoy_would_refuse_or_misunderstand_is_refused_with_the_reason(
    fields: dict[str, Any], reason: str
) -> None:
    if "selection" in fields:
        fields = fields | {"selection": Selection("b", fields["selection"])}
    with pytest.raises(InvalidRoutes) as caught:
        built(replace(BASE, **fields))
    assert reason in caught.value.errors[BASE.key]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("monitor.tidegate.svc:8000", Address("monitor.tidegate.svc", 8000)),
        (" 127.0.0.1:1\n", Address("127.0.0.1", 1)),
        ("[::1]:65535", Address("::1", 65_535)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", ":80", "host:", "host:0", "host:65536", "host:x", "host:²", "::1:80", "[]:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address like"):
        Address.parse(text)


def test_envoy_knows_the_monitor_from_its_start(tmp_path: Path) -> None:
    def names(listen: ListenConfig) -> list[str]:
        return [found["name"] for found in bootstrap(RouterPaths(tmp_path), listen)["static_resources"]["clusters"]]

    assert names(ListenConfig()) == ["ads"]
    assert names(ListenConfig(monitor=Address("monitor", 8000))) == ["ads", "monitor"]
