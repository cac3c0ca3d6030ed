"""Details of the translation that golden files show but do not explain."""

from itertools import pairwise

import pytest
from envoy.config.route.v3 import route_components_pb2 as rc

from router.bootstrap import latency_bounds
from router.ir import Backend, BackendKey, Endpoint, Mirror, Paths, Retry, Route, RouteKey
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


def paths(*routes: Route, monitored: bool = True, domain: str = "*") -> list[str]:
    """Where the entries of one virtual host stand, in the order in which Envoy tries them."""
    configuration = route_configuration(routes, monitored=monitored)
    (host,) = (host for host in configuration.virtual_hosts if list(host.domains) == [domain])
    return [entry.match.path or entry.match.prefix or entry.match.safe_regex.regex for entry in host.routes]


def test_predictions_for_the_last_of_many_models_pass_nothing_but_predictions_for_the_others() -> None:
    models = [f"m{index:03}" for index in range(200)]
    found = paths(*(Route(RouteKey("default", model), model, backends=backends(10_000)) for model in models))
    before = [path for path in found[: found.index("/v2/models/m199/infer")] if "/models/" in path]
    assert len(before) == 199 * 3
    assert all(path.endswith(("/infer", ":predict", "/predict")) for path in before)


def test_a_path_is_that_of_the_route_which_names_the_host_whatever_it_is_for() -> None:
    own = Route(RouteKey("z", "credit"), "credit", ("a.test",), backends(10_000), paths=Paths(health="/status"))
    anywhere = Route(RouteKey("a", "loans"), "loans", backends=backends(10_000), paths=Paths(predict="/status"))
    configuration = route_configuration([own, anywhere])
    (host,) = (host for host in configuration.virtual_hosts if list(host.domains) == ["a.test"])
    first = next(entry for entry in host.routes if entry.match.path == "/status")
    assert first.route.prefix_rewrite == "/api/v1/models/credit/health"


@pytest.mark.parametrize("monitored", [True, False])
def test_feedback_about_a_member_never_reaches_a_replica(monitored: bool) -> None:
    many = Route(RouteKey("default", "fleet"), "fleet", backends=(Backend("v1", 10_000, members=True),))
    found = paths(many, monitored=monitored)
    feedback = next(index for index, path in enumerate(found) if path.endswith("[^/]+/feedback"))
    assert feedback < found.index("/api/v1/models/fleet.")
