"""Totals that only grow, whatever Envoy forgets; and the file of last good routes."""

from pathlib import Path

import pytest

from router import lastgood
from router.bootstrap import latency_bounds
from router.ir import Backend, BackendKey, Endpoint, Mirror, Retry, Route, RouteKey, TrafficCounters
from router.traffic import Meter, read

KEY = BackendKey(RouteKey("default", "m"), "v", mirrored=False)
BOUNDS = latency_bounds()


def counted(requests: int, errors: int = 0) -> TrafficCounters:
    return TrafficCounters(requests, errors, BOUNDS, (requests, *(0 for _ in BOUNDS)))


def test_readings_are_passed_on() -> None:
    meter = Meter()
    assert meter.update({KEY: counted(3, 1)}) == {KEY: counted(3, 1)}
    assert meter.update({KEY: counted(5, 1)}) == {KEY: counted(5, 1)}


def test_a_restart_of_envoy_is_added_up() -> None:
    meter = Meter()
    meter.update({KEY: counted(3, 1)})
    assert meter.update({KEY: counted(2)}) == {KEY: counted(5, 1)}
    assert meter.update({KEY: counted(4, 2)}) == {KEY: counted(7, 3)}


def test_a_version_that_envoy_does_not_have_for_a_while_keeps_its_total() -> None:
    meter = Meter()
    meter.update({KEY: counted(3, 1)})
    assert meter.update({}) == {KEY: counted(3, 1)}
    assert meter.update({KEY: counted(4)}) == {KEY: counted(7, 1)}


def test_what_is_no_longer_published_is_forgotten() -> None:
    meter = Meter()
    meter.update({KEY: counted(3)})
    meter.keep([])
    assert meter.update({}) == {}


def test_a_cluster_that_envoy_does_not_know_is_not_in_the_reading() -> None:
    assert read([], [KEY]) == {}


def test_last_good_routes_are_read_as_they_were_written(tmp_path: Path) -> None:
    route = Route(
        RouteKey("default", "m"),
        "m",
        hosts=("a.test",),
        backends=(Backend("b", 0, (Endpoint("127.0.0.1", 1),)), Backend("a", 10_000)),
        mirror=Mirror("b", 5, 2),
        sticky_header="x",
        timeout_seconds=1.5,
        retry=Retry(1, idempotent=False),
        max_body_bytes=7,
    )
    path = tmp_path / "last-good.json"
    lastgood.save(path, [route], [Route(RouteKey("default", "n"), "n")])
    assert lastgood.load(path) == ([route], [Route(RouteKey("default", "n"), "n")])
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_file_there_is_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert lastgood.load(tmp_path / "none.json") is None
    assert caplog.text == ""
