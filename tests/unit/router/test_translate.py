"""Details of the translation that golden files show but do not explain."""

from itertools import pairwise

import pytest
from envoy.config.route.v3 import route_components_pb2 as rc

from router.bootstrap import latency_bounds
from router.ir import Backend, BackendKey, Endpoint, Mirror, Retry, Route, RouteKey
from router.translate.clusters import cluster_name, live_cluster, mirror_cluster
from router.translate.routes import covers, route_configuration

KEY = RouteKey("default", "iris")


def entries(route: Route, domain: str = "*") -> dict[tuple[str, str], rc.Route]:
    """The entries that forward, by path and method ("" for any), in one virtual host."""
    configuration = route_configuration([route])
    (host,) = (host for host in configuration.virtual_hosts if list(host.domains) == [domain])
    return {
        (entry.match.path, entry.match.headers[0].string_match.exact if entry.match.headers else ""): entry
        for entry in host.routes
        if entry.HasField("route") and not entry.match.HasField("grpc")
    }


def backends(*weights: int) -> tuple[Backend, ...]:
    return tuple(Backend(f"v{index}", weight, (Endpoint("127.0.0.1", 1),)) for index, weight in enumerate(weights))


@pytest.mark.parametrize(
    ("pattern", "domain", "covered"),
    [
        ("*", "a.test", True),
        ("*", "*.test", True),
        ("a.test", "a.test", True),
        ("a.test", "b.test", False),
        ("*.test", "a.test", True),
        ("*.test", "a.b.test", True),
        ("*.test", "test", False),
        ("*.b.test", "*.a.b.test", True),
        ("*.a.b.test", "*.b.test", False),
        ("a.*", "a.test", True),
        ("a.*", "b.test", False),
        ("a.test", "*", False),
    ],
)
def test_a_pattern_covers_the_hosts_that_it_matches(pattern: str, domain: str, covered: bool) -> None:
    assert covers(pattern, domain) is covered


def test_the_candidate_stays_first_and_weights_of_zero_are_left_out() -> None:
    route = Route(KEY, "iris", backends=backends(500, 0, 9_500))
    action = entries(route)["/v2/models/iris/infer", ""].route
    assert [(found.name, found.weight.value) for found in action.weighted_clusters.clusters] == [
        ("live/default/iris/v0", 500),
        ("live/default/iris/v2", 9_500),
    ]
    assert action.weighted_clusters.use_hash_policy.value


def test_the_sticky_header_decides_before_the_request_id() -> None:
    route = Route(KEY, "iris", backends=backends(10_000), sticky_header="x-user-id")
    sticky, request_id = entries(route)["/v2/models/iris", ""].route.hash_policy
    assert (sticky.header.header_name, sticky.terminal) == ("x-user-id", True)
    assert sticky.header.regex_rewrite.substitution == "default/iris/"
    assert request_id.header.header_name == "x-request-id"


def test_only_posted_inference_requests_are_mirrored() -> None:
    route = Route(KEY, "iris", backends=backends(0, 10_000), mirror=Mirror("v0", 2_500))
    mirrored = {key for key, entry in entries(route).items() if entry.route.request_mirror_policies}
    assert mirrored == {
        ("/v2/models/iris/infer", "POST"),
        ("/v1/models/iris:predict", "POST"),
        ("/api/v1/models/iris/predict", "POST"),
    }


@pytest.mark.parametrize(
    ("retry", "on", "codes"),
    [
        (Retry(2, idempotent=True), "connect-failure,refused-stream,reset,retriable-status-codes", [502, 503, 504]),
        (Retry(2, idempotent=False), "connect-failure,refused-stream,reset-before-request", []),
    ],
)
def test_what_may_have_reached_the_model_is_retried_only_when_it_is_idempotent(
    retry: Retry, on: str, codes: list[int]
) -> None:
    policy = entries(Route(KEY, "iris", backends=backends(10_000), retry=retry))[
        "/v2/models/iris", ""
    ].route.retry_policy
    assert (policy.retry_on, list(policy.retriable_status_codes), policy.num_retries.value) == (on, codes, 2)


def test_no_attempts_means_no_retry_policy() -> None:
    route = Route(KEY, "iris", backends=backends(10_000), retry=Retry(attempts=0))
    assert not entries(route)["/v2/models/iris", ""].route.HasField("retry_policy")


def test_mirrored_traffic_has_its_own_bounded_cluster_without_ejection() -> None:
    live, mirrored = (BackendKey(KEY, "v", mirrored) for mirrored in (False, True))
    assert cluster_name(live) != cluster_name(mirrored)
    cluster = mirror_cluster(mirrored, 8)
    assert cluster.circuit_breakers.thresholds[0].max_requests.value == 8
    assert not cluster.HasField("outlier_detection")
    assert live_cluster(live).HasField("outlier_detection")


def test_latency_bounds_grow_by_steps_that_envoys_histograms_can_tell_apart() -> None:
    bounds = latency_bounds()
    assert (bounds[0], bounds[-1]) == (1.0, 60_000.0)
    assert all(a < b for a, b in pairwise(bounds))
    assert all(b <= 1.15 * a for a, b in pairwise(bounds[9:]))
    assert all(len(f"{bound:.0f}".rstrip("0")) <= 2 for bound in bounds)
