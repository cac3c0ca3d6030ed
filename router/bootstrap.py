"""What Envoy is started with: where its configuration comes from, its own limits, and which numbers it keeps."""

from typing import Any

from router.config import Address, ListenConfig, RouterPaths
from router.translate.clusters import LIVE_PREFIX, MIRROR_PREFIX
from router.translate.feedback import MONITOR_CLUSTER
from router.translate.listeners import STAT_PREFIX

ADS_CLUSTER = "ads"
COMPLETED, ERRORS, TIMEOUTS = "upstream_rq_completed", "upstream_rq_5xx", "upstream_rq_timeout"
SHED = ("upstream_rq_active_overflow", "upstream_rq_pending_overflow")
CLUSTER_METRICS = (COMPLETED, ERRORS, TIMEOUTS, *SHED)
LATENCY_METRIC = "upstream_rq_time"
ACTIVE_REQUESTS = f"http.{STAT_PREFIX}.downstream_rq_active"
ADMIN_ANSWERS, ADMIN_TIMES = "http.admin.downstream_rq_completed", "http.admin.downstream_rq_time"
"""How many requests Envoy's admin interface has answered: a counter, and a histogram of the times it took."""

REGEX_PROGRAM_SIZE = 65_536
"""Envoy refuses regular expressions whose compiled form has more instructions, by default 100. Ours are no patterns of
users: they find cookies, and list a header's values."""

_STEPS = (10, 11, 12, 13, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 56, 63, 71, 79, 89)


def latency_bounds() -> tuple[float, ...]:
    """Bucket bounds in milliseconds: every one up to 10, then each about 12 % above the last, to 60 s.

    Envoy measures whole milliseconds (rounded down) and keeps two significant digits of them. Bounds of two digits are
    edges of Envoy's own bins, so that a bucket holds exactly the requests that took less than its bound.
    """
    log_spaced = (float(step * 10**decade) for decade in range(4) for step in _STEPS)
    return (*map(float, range(1, 10)), *(bound for bound in log_spaced if bound < 60_000), 60_000.0)


_RECONNECT = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
"""A restarted router is found again within a second; Envoy's own default waits up to half a minute."""


def bootstrap(paths: RouterPaths, listen: ListenConfig, node: str = "tidegate-router") -> dict[str, Any]:
    """Envoy's bootstrap as the JSON of its v3 API. `node` is the name by which this Envoy introduces itself."""
    return {
        "node": {"id": node, "cluster": "tidegate"},
        "admin": {"address": {"pipe": {"path": str(paths.admin_socket), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER, "retry_policy": _RECONNECT}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "static_resources": {
            "clusters": [
                _ads_cluster(paths),
                *([] if listen.monitor is None else [_monitor_cluster(listen.monitor)]),
            ]
        },
        "overload_manager": _overload_manager(listen),
        "stats_config": _stats_config(),
        "layered_runtime": {
            "layers": [{"name": "tidegate", "static_layer": {"re2.max_program_size.error_level": REGEX_PROGRAM_SIZE}}]
        },
        # Numbers are brought together when somebody asks, not by a timer.
        "stats_flush_on_admin": True,
    }


def _ads_cluster(paths: RouterPaths) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(paths.ads_socket)}}}}
    return {
        "name": ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": ADS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
                },
            }
        },
    }


def _monitor_cluster(monitor: Address) -> dict[str, Any]:
    address = {"socket_address": {"address": monitor.host, "port_value": monitor.port}}
    return {
        "name": MONITOR_CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # Predictions do not wait for the monitor's name: a server of names that is silent would hold Envoy up.
        "wait_for_warm_on_init": False,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": MONITOR_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _overload_manager(listen: ListenConfig) -> dict[str, Any]:
    return {
        "refresh_interval": "1s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": listen.max_heap_bytes,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    "max_active_downstream_connections": listen.max_connections,
                },
            },
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", 0.85),
            _action("envoy.overload_actions.disable_http_keepalive", 0.92),
            _action("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _action(name: str, at: float) -> dict[str, Any]:
    return {"name": name, "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": at}}]}


def _stats_config() -> dict[str, Any]:
    """Only what is read is kept: the rest costs memory, and a tenth of Envoy's time per request."""
    metrics = "|".join((*CLUSTER_METRICS, LATENCY_METRIC, "membership_healthy"))
    return {
        "stats_matcher": {
            "inclusion_list": {
                "patterns": [
                    {"safe_regex": {"regex": rf"cluster\.({LIVE_PREFIX}|{MIRROR_PREFIX}).*\.({metrics})"}},
                    {"exact": ACTIVE_REQUESTS},
                    *({"exact": name} for name in (ADMIN_ANSWERS, ADMIN_TIMES)),
                    {"prefix": "listener_manager."},
                    {"prefix": "overload."},
                    {"prefix": "server."},
                ]
            }
        },
        "histogram_bucket_settings": [{"match": {"suffix": LATENCY_METRIC}, "buckets": list(latency_bounds())}],
    }
