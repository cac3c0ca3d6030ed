"""Snapshots: versions, consistency, and routes that cannot be translated."""

from dataclasses import replace

import pytest

from router.config import ListenConfig
from router.ir import Backend, Endpoint, Mirror, Paths, Retry, Route, RouteKey
from router.snapshot import InconsistentSnapshot, InvalidRoutes, Resources, Snapshot, build

LISTEN = ListenConfig()
ONE, TWO = Endpoint("127.0.0.1", 9001), Endpoint("127.0.0.1", 9002)
BASE = Route(
    RouteKey("default", "iris"),
    "iris",
    backends=(Backend("b", 500, (ONE, TWO)), Backend("a", 9_500, (TWO,))),
    mirror=Mirror("b", 100),
)


def versions(*routes: Route) -> dict[str, str]:
    snapshot = build(routes, LISTEN)
    return {
        "clusters": snapshot.clusters.version,
        "endpoints": snapshot.endpoints.version,
        "listeners": snapshot.listeners.version,
        "routes": snapshot.routes.version,
    }


def changed(*after: Route) -> set[str]:
    before, now = versions(BASE), versions(*after)
    return {kind for kind in before if before[kind] != now[kind]}


def test_a_weight_change_touches_only_routes() -> None:
    backends = (replace(BASE.backends[0], weight=1_000), replace(BASE.backends[1], weight=9_000))
    assert changed(replace(BASE, backends=backends)) == {"routes"}


def test_an_endpoint_change_touches_only_endpoints() -> None:
    backends = (replace(BASE.backends[0], endpoints=(ONE,)), BASE.backends[1])
    assert changed(replace(BASE, backends=backends)) == {"endpoints"}


def test_the_order_of_endpoints_and_routes_means_nothing() -> None:
    backends = (replace(BASE.backends[0], endpoints=(TWO, ONE, ONE)), BASE.backends[1])
    assert changed(replace(BASE, backends=backends)) == set()
    other = Route(RouteKey("default", "digits"), "digits")
    assert versions(BASE, other) == versions(other, BASE)


def test_the_version_is_the_same_in_every_process() -> None:
    assert Resources({"b": b"2", "a": b"1"}).version == Resources({"a": b"1", "b": b"2"}).version
    assert Resources({"a": b"1", "b": b"2"}).version != Resources({"a": b"1b", "": b"2"}).version
    assert Resources({}).version == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_version_without_weight_has_its_cluster_and_is_not_named_by_the_routes() -> None:
    route = replace(BASE, backends=(replace(BASE.backends[0], weight=0), replace(BASE.backends[1], weight=10_000)))
    snapshot = build([replace(route, mirror=None)], LISTEN)
    assert snapshot.clusters.items.keys() == {"live/default/iris/a", "live/default/iris/b"}
    assert snapshot.referenced == {"live/default/iris/a"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sticky_header": "x y"}, "'x y' is no header name"),
        ({"sticky_header": ""}, "'' is no header name"),
        ({"model": "a/b"}, "'a/b' cannot stand in a path"),
        ({"model": ""}, "'' cannot stand in a path"),
        ({"hosts": ()}, "a route needs at least one host"),
        ({"hosts": ("a b",)}, "'a b' is no host name"),
        ({"hosts": ("a.*.b",)}, "is no host name"),
        ({"max_body_bytes": 0}, "a body limit of 0 bytes lets nothing in"),
        ({"max_body_bytes": 1 << 40}, "out of range"),
        ({"timeout_seconds": 0.0}, "a timeout of 0 s is below 1 ms"),
        ({"retry": Retry(attempts=-1)}, "-1 retries are not possible"),
        ({"mirror": Mirror("b", 100, max_concurrency=0)}, "copies nothing"),
        ({"paths": Paths(predict="/a b")}, "'/a b' is no path of a model's own"),
        ({"paths": Paths(predict="/a/")}, "'/a/' is no path of a model's own"),
        ({"paths": Paths(docs="/v2")}, "the path /v2 belongs to a protocol"),
        ({"paths": Paths(health="/v1/models/iris")}, "the path /v1/models/iris belongs to a protocol"),
        ({"paths": Paths(info="/a", docs="/a")}, "the path /a stands for 2 things"),
        ({"backends": (Backend("a", 0, (Endpoint("localhost", 1),)),), "mirror": None}, "IPv4 or IPv6"),
        ({"backends": (Backend("a", 0, (Endpoint("::1", 0),)),), "mirror": None}, "0 is no TCP port"),
    ],
)
def test_a_route_that_cannot_be_sent_is_named_with_the_reason(fields: dict[str, object], reason: str) -> None:
    bad = replace(BASE, **fields)  # type: ignore[arg-type]
    good = Route(RouteKey("default", "digits"), "digits")
    with pytest.raises(InvalidRoutes, match="default/iris: ") as caught:
        build([good, bad], LISTEN)
    assert caught.value.errors.keys() == {bad.key}
    assert reason in caught.value.errors[bad.key]


def test_the_second_claim_to_a_host_and_model_is_refused() -> None:
    second = replace(BASE, key=RouteKey("other", "iris"), hosts=("a.test", "*"))
    with pytest.raises(InvalidRoutes) as caught:
        build([second, BASE], LISTEN)
    assert caught.value.errors == {second.key: "model iris on host * belongs to default/iris"}


def test_the_second_claim_to_a_host_and_path_is_refused() -> None:
    first = replace(BASE, paths=Paths("/predict", "/health"))
    second = Route(RouteKey("other", "digits"), "digits", ("A.TEST", "*"), paths=Paths(docs="/health"))
    with pytest.raises(InvalidRoutes) as caught:
        build([second, replace(first, hosts=("a.test",))], LISTEN)
    assert caught.value.errors == {second.key: "path /health on host A.TEST belongs to default/iris"}
    build([replace(second, hosts=("b.test",)), replace(first, hosts=("a.test",))], LISTEN)


def test_what_is_running_keeps_its_path_until_it_has_another() -> None:
    first, second = replace(BASE, paths=Paths("/predict")), replace(BASE, key=RouteKey("z", "z"), model="z")
    running = replace(second, paths=Paths("/predict"))
    with pytest.raises(InvalidRoutes) as caught:
        build([first, running], LISTEN, running={BASE.key: BASE, running.key: running})
    assert caught.value.errors == {first.key: "path /predict on host * belongs to z/z"}
    build([first, second], LISTEN, running={BASE.key: BASE, running.key: running})


def test_the_consistency_check_reports_everything_that_is_wrong() -> None:
    empty = Resources({})
    broken = Snapshot({}, Resources({"x": b""}), Resources({"y": b""}), empty, empty, frozenset({"z"}))
    with pytest.raises(InconsistentSnapshot) as caught:
        broken.check()
    assert [problem.split()[0] for problem in caught.value.problems] == ["the", "the", "there", "the"]
    for name in "xyz":
        assert f" {name}" in str(caught.value)
