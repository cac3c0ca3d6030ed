"""Evidence is what was counted since the shares changed, and never a guess."""

from operators.observe import VersionTraffic
from operators.traffic import Windows, difference
from router.ir import BackendKey, RouteKey, TrafficCounters

IRIS = RouteKey("default", "iris")
LIVE = BackendKey(IRIS, "b", mirrored=False)
MIRRORED = BackendKey(IRIS, "b", mirrored=True)
ELSEWHERE = BackendKey(RouteKey("default", "digits"), "x", mirrored=False)


def counted(requests: int, errors: int = 0, *buckets: int) -> TrafficCounters:
    return TrafficCounters(requests, errors, (1.0, 10.0)[: max(len(buckets) - 1, 0)], buckets)


def test_the_first_reading_is_the_baseline_and_evidence_is_what_came_after() -> None:
    windows = Windows()
    windows.read(IRIS, 100.0, {LIVE: counted(10, 1, 5, 4, 1), MIRRORED: counted(2), ELSEWHERE: counted(7)}, 101.0)
    assert windows.evidence(IRIS, 100.0, 102.0, 60.0) == {"b": VersionTraffic(counted(0, 0, 0, 0, 0), counted(0))}
    windows.read(IRIS, 100.0, {LIVE: counted(30, 2, 15, 10, 5), MIRRORED: counted(9), ELSEWHERE: counted(7)}, 110.0)
    assert windows.evidence(IRIS, 100.0, 111.0, 60.0) == {"b": VersionTraffic(counted(20, 1, 10, 6, 4), counted(7))}


def test_a_version_that_appears_later_counts_from_nothing() -> None:
    windows = Windows()
    windows.read(IRIS, 100.0, {}, 101.0)
    windows.read(IRIS, 100.0, {LIVE: counted(3, 0, 1, 1, 1)}, 110.0)
    assert windows.evidence(IRIS, 100.0, 111.0, 60.0) == {"b": VersionTraffic(live=counted(3, 0, 1, 1, 1))}


def test_changed_shares_begin_a_new_window() -> None:
    windows = Windows()
    windows.read(IRIS, 100.0, {LIVE: counted(10)}, 101.0)
    windows.read(IRIS, 100.0, {LIVE: counted(20)}, 110.0)
    assert windows.evidence(IRIS, 200.0, 111.0, 60.0) is None
    windows.read(IRIS, 200.0, {LIVE: counted(25)}, 201.0)
    windows.read(IRIS, 200.0, {LIVE: counted(26)}, 210.0)
    assert windows.evidence(IRIS, 200.0, 211.0, 60.0) == {"b": VersionTraffic(live=counted(1))}


def test_a_counter_that_goes_backwards_restarts_the_window() -> None:
    windows = Windows()
    windows.read(IRIS, 100.0, {LIVE: counted(10)}, 101.0)
    windows.read(IRIS, 100.0, {LIVE: counted(50)}, 110.0)
    windows.read(IRIS, 100.0, {LIVE: counted(4)}, 120.0)
    assert windows.evidence(IRIS, 100.0, 121.0, 60.0) == {"b": VersionTraffic(live=counted(0))}
    windows.read(IRIS, 100.0, {LIVE: counted(6)}, 130.0)
    assert windows.evidence(IRIS, 100.0, 131.0, 60.0) == {"b": VersionTraffic(live=counted(2))}


def test_a_counter_that_vanished_or_changed_its_buckets_restarts_the_window_too() -> None:
    for reading in ({}, {LIVE: TrafficCounters(60, 0, (5.0,), (50, 10))}):
        windows = Windows()
        windows.read(IRIS, 100.0, {LIVE: counted(50, 0, 30, 10, 10)}, 110.0)
        windows.read(IRIS, 100.0, reading, 120.0)
        evidence = windows.evidence(IRIS, 100.0, 121.0, 60.0)
        assert evidence is not None
        assert all(traffic.live.requests == 0 for traffic in evidence.values())


def test_stale_missing_and_forgotten_readings_are_no_evidence() -> None:
    windows = Windows()
    assert windows.evidence(IRIS, 100.0, 101.0, 60.0) is None
    windows.read(IRIS, 100.0, {LIVE: counted(10)}, 101.0)
    assert windows.evidence(IRIS, 100.0, 161.0, 60.0) is not None
    assert windows.evidence(IRIS, 100.0, 161.1, 60.0) is None
    windows.forget(IRIS)
    assert windows.evidence(IRIS, 100.0, 101.0, 60.0) is None


def test_a_difference_counts_requests_errors_and_every_bucket() -> None:
    assert difference(counted(9, 3, 4, 3, 2), counted(5, 1, 3, 1, 1)) == counted(4, 2, 1, 2, 1)
    assert difference(counted(9, 3, 4, 3, 2), TrafficCounters()) == counted(9, 3, 4, 3, 2)
