"""The sum of what all routers counted: it only grows while pods restart, go, and are replaced."""

import json

import httpx
import pytest

from operators.kube.pods import RouterPod
from operators.kube.traffic import FleetTraffic, Ledger, Reading
from router.ir import BackendKey, RouteKey, TrafficCounters

KEY = RouteKey("default", "iris")
LIVE = BackendKey(KEY, "v1", mirrored=False)
BOUNDS = (1.0, 5.0)


def counted(requests: int, errors: int = 0, bounds: tuple[float, ...] = BOUNDS) -> TrafficCounters:
    return TrafficCounters(requests, errors, bounds, (requests, *(0 for _ in bounds)))


def reading(started: str, requests: int, errors: int = 0) -> Reading:
    return Reading(started, {LIVE: counted(requests, errors)})


def test_the_newest_readings_of_all_pods_are_added_up() -> None:
    ledger = Ledger()
    ledger.take("a", reading("1", 10, 1))
    ledger.take("b", reading("1", 20, 2))
    ledger.take("a", reading("1", 15, 1))
    assert ledger.totals({KEY}) == {LIVE: counted(35, 3)}


def test_a_pod_that_counts_from_zero_again_keeps_what_it_counted_before() -> None:
    ledger = Ledger()
    ledger.take("a", reading("1", 10))
    ledger.take("a", reading("2", 3))
    ledger.take("a", reading("2", 4))
    assert ledger.totals({KEY}) == {LIVE: counted(14)}


def test_a_pod_that_counts_from_zero_again_is_noticed_even_when_it_has_counted_more_since() -> None:
    ledger = Ledger()
    ledger.take("a", reading("1", 10))
    ledger.take("a", reading("2", 30))
    assert ledger.totals({KEY}) == {LIVE: counted(40)}


def test_a_pod_that_is_gone_keeps_its_last_counts_in_the_sum_while_the_route_exists() -> None:
    ledger = Ledger()
    ledger.take("a", reading("1", 10))
    ledger.take("b", reading("1", 20))
    ledger.keep({"b"}, {KEY})
    assert ledger.totals({KEY}) == {LIVE: counted(30)}
    ledger.take("c", reading("9", 1))
    ledger.keep({"b", "c"}, {KEY})
    assert ledger.totals({KEY}) == {LIVE: counted(31)}
    ledger.keep({"b", "c"}, set())
    assert ledger.totals({KEY}) == {LIVE: counted(21)}


def test_only_the_versions_of_published_routes_are_summed() -> None:
    ledger = Ledger()
    other = BackendKey(RouteKey("default", "other"), "v1", mirrored=False)
    ledger.take("a", Reading("1", {LIVE: counted(10), other: counted(5)}))
    assert ledger.totals({KEY}) == {LIVE: counted(10)}


def test_live_and_mirrored_requests_are_counted_apart() -> None:
    ledger, mirrored = Ledger(), BackendKey(KEY, "v1", mirrored=True)
    ledger.take("a", Reading("1", {LIVE: counted(10), mirrored: counted(5)}))
    assert ledger.totals({KEY}) == {LIVE: counted(10), mirrored: counted(5)}


def test_two_releases_that_count_in_other_buckets_cannot_be_added() -> None:
    ledger = Ledger()
    ledger.take("a", reading("1", 10))
    ledger.take("b", Reading("1", {LIVE: counted(10, bounds=(2.0,))}))
    with pytest.raises(ValueError, match="cannot be added"):
        ledger.totals({KEY})


def test_a_release_that_is_gone_does_not_keep_its_successor_from_being_read() -> None:
    ledger = Ledger()
    ledger.take("old", reading("1", 10))
    ledger.keep({"new"}, {KEY})
    ledger.take("new", Reading("1", {LIVE: counted(3, bounds=(2.0,))}))
    with pytest.raises(ValueError, match="cannot be added"):
        ledger.totals({KEY})
    ledger.keep(set(), {KEY})
    ledger.take("newer", Reading("1", {LIVE: counted(4, bounds=(2.0,))}))
    assert ledger.totals({KEY}) == {LIVE: counted(7, bounds=(2.0,))}


def fleet(answers: dict[str, object]) -> FleetTraffic:
    """Routers by their address: a number of requests, an HTTP status, or text."""

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/traffic"
        assert request.url.port == 9901
        match answers.get(request.url.host):
            case None:
                raise httpx.ConnectError("refused")
            case str() as text:
                return httpx.Response(200, text=text)
            case int() as status if status >= 400:
                return httpx.Response(status)
            case requests:
                return httpx.Response(200, json=body(requests))

    return FleetTraffic(httpx.AsyncClient(transport=httpx.MockTransport(handle)), 9901)


def body(requests: object) -> dict[str, object]:
    backend = {"namespace": "default", "name": "iris", "version": "v1", "mirrored": False}
    return {
        "started": "1",
        "backends": [backend | {"requests": requests, "errors": 0, "bounds": [1, 5], "counts": [requests, 0, 0]}],
    }


def pod(name: str, ip: str, *, going: bool = False) -> RouterPod:
    return RouterPod(name, ip, ready=not going, going=going, live=True)


async def test_all_live_routers_are_asked() -> None:
    pods = [pod("a", "10.0.0.1"), pod("b", "fd00::1"), RouterPod("c", "10.0.0.9", ready=False, going=False, live=False)]
    assert await fleet({"10.0.0.1": 10, "fd00::1": 20}).read(pods, {KEY}) == {LIVE: counted(30)}


@pytest.mark.parametrize("answer", [None, 503, "no JSON", json.dumps({"started": "1"})])
async def test_a_router_that_does_not_answer_makes_the_sum_unknown(answer: object) -> None:
    pods = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]
    assert await fleet({"10.0.0.1": 10, "10.0.0.2": answer}).read(pods, {KEY}) is None


async def test_a_router_that_is_going_may_be_silent() -> None:
    traffic = fleet({"10.0.0.1": 10})
    assert await traffic.read([pod("a", "10.0.0.1"), pod("b", "10.0.0.2", going=True)], {KEY}) == {LIVE: counted(10)}


async def test_without_a_router_nothing_is_known() -> None:
    assert await fleet({}).read([], {KEY}) is None


async def test_routers_of_two_releases_make_the_sum_unknown() -> None:
    other = json.dumps(body(7) | {"backends": [{**body(7)["backends"][0], "bounds": [2], "counts": [7, 0]}]})  # type: ignore[index]
    pods = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]
    assert await fleet({"10.0.0.1": 10, "10.0.0.2": other}).read(pods, {KEY}) is None
