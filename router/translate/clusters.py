"""Clusters (CDS): one per version of a route, and one more for the version that mirrored requests go to.

What keeps requests safe here:

- Active health checks on `/v2/health/ready` find replicas that drain (503 counts at once) or hang. A new endpoint gets
  requests after its first good check.
- Outlier detection ejects an endpoint after three failures that never got an answer (refused, reset, timed out). An
  answer of 500 ejects nobody: it is the model's own, and the analysis must see it. A good health check takes the
  endpoint back.
- The panic threshold of 1 % means: as long as one endpoint is healthy, only healthy ones are used; when none is, all
  are tried, since a replica that looks ill may still answer, and a refusal surely does not.
- A replica lost among two puts half of the requests in flight into retry at one moment; the retry budget lets every
  request under way be retried once at a time and no more.
- Changes of health reach the workers at once: by default Envoy gathers them for a second, in which an endpoint that has
  just passed its first check gets nothing and one that has just failed gets everything.
- An endpoint that leaves the assignment gets no new request, whatever its health; what it is answering is finished.
"""

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import health_check_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, wrappers_pb2

from router.ir import BackendKey
from router.translate.members import balanced_by_member
from router.translate.values import ads, duration, packed

LIVE_PREFIX, MIRROR_PREFIX = "live/", "mirror/"
HEALTH_PATH = "/v2/health/ready"
HEALTH_INTERVAL_SECONDS = 1.0
HEALTH_TIMEOUT_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 1.0
UPSTREAM_IDLE_SECONDS = 60.0
LIVE_LIMIT = 100_000
"""Bounds on live traffic stand in the listener (connections) and in the replicas (queues), so none is wanted here."""
MIN_RETRY_CONCURRENCY = 64
BUFFER_BYTES = 32 * 1024

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster_name(backend: BackendKey) -> str:
    """The name of a version's cluster. Slashes occur in none of the parts, so that no two versions share a name."""
    prefix = MIRROR_PREFIX if backend.mirrored else LIVE_PREFIX
    return f"{prefix}{backend.route.namespace}/{backend.route.name}/{backend.version}"


def live_cluster(backend: BackendKey, *, members: bool = False) -> cluster_pb2.Cluster:
    """The cluster of a version's own requests; `members` says that it is many models."""
    cluster = _cluster(backend, _thresholds(LIVE_LIMIT), members=members)
    cluster.outlier_detection.CopyFrom(_outlier_detection())
    return cluster


def mirror_cluster(backend: BackendKey, max_concurrency: int, *, members: bool = False) -> cluster_pb2.Cluster:
    """The cluster of mirrored requests: its own counters, and a limit beyond which copies are dropped."""
    return _cluster(backend, _thresholds(max_concurrency), members=members)


def _cluster(
    backend: BackendKey, thresholds: circuit_breaker_pb2.CircuitBreakers, *, members: bool
) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster(
        name=cluster_name(backend),
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads()),
        connect_timeout=duration(CONNECT_TIMEOUT_SECONDS),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(value=BUFFER_BYTES),
        lb_policy=None if members else cluster_pb2.Cluster.LEAST_REQUEST,
        load_balancing_policy=balanced_by_member() if members else None,
        common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
            healthy_panic_threshold=percent_pb2.Percent(value=1),
            update_merge_window=duration(0),
        ),
        health_checks=[_health_check()],
        circuit_breakers=thresholds,
        ignore_health_on_host_removal=True,
        typed_extension_protocol_options={_HTTP_OPTIONS: _http_options()},
    )


def _http_options() -> any_pb2.Any:
    return packed(
        http_protocol_options_pb2.HttpProtocolOptions(
            common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=duration(UPSTREAM_IDLE_SECONDS)),
            explicit_http_config=http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
                http_protocol_options=protocol_pb2.Http1ProtocolOptions()
            ),
        )
    )


def _health_check() -> health_check_pb2.HealthCheck:
    every = duration(HEALTH_INTERVAL_SECONDS)
    return health_check_pb2.HealthCheck(
        timeout=duration(HEALTH_TIMEOUT_SECONDS),
        interval=every,
        no_traffic_interval=every,
        unhealthy_threshold=wrappers_pb2.UInt32Value(value=2),
        healthy_threshold=wrappers_pb2.UInt32Value(value=1),
        http_health_check=health_check_pb2.HealthCheck.HttpHealthCheck(host="tidegate", path=HEALTH_PATH),
    )


def _outlier_detection() -> outlier_detection_pb2.OutlierDetection:
    none = wrappers_pb2.UInt32Value(value=0)
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=wrappers_pb2.UInt32Value(value=3),
        enforcing_consecutive_local_origin_failure=wrappers_pb2.UInt32Value(value=100),
        enforcing_consecutive_5xx=none,
        enforcing_consecutive_gateway_failure=none,
        enforcing_success_rate=none,
        enforcing_local_origin_success_rate=none,
        interval=duration(1),
        base_ejection_time=duration(2),
        max_ejection_time=duration(10),
        max_ejection_percent=wrappers_pb2.UInt32Value(value=100),
    )


def _thresholds(limit: int) -> circuit_breaker_pb2.CircuitBreakers:
    """At most `limit` requests at once. Connections are not limited, so that no request waits for one to be free."""
    unlimited = wrappers_pb2.UInt32Value(value=LIVE_LIMIT)
    return circuit_breaker_pb2.CircuitBreakers(
        thresholds=[
            circuit_breaker_pb2.CircuitBreakers.Thresholds(
                max_connections=unlimited,
                max_pending_requests=unlimited,
                max_requests=wrappers_pb2.UInt32Value(value=limit),
                retry_budget=circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget(
                    budget_percent=percent_pb2.Percent(value=100),
                    min_retry_concurrency=wrappers_pb2.UInt32Value(value=MIN_RETRY_CONCURRENCY),
                ),
            )
        ]
    )
