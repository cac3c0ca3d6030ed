"""Envoy's pings do not count as an attack, upon which gRPC would end the configuration stream every two minutes."""

from pathlib import Path

from router.bootstrap import bootstrap
from router.config import ListenConfig, RouterPaths
from router.server import OPTIONS

PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
JITTER = 0.15
"""By how much of itself Envoy may shorten the interval (`interval_jitter` of `KeepaliveSettings`)."""


def test_the_server_allows_pings_as_often_as_envoy_sends_them(tmp_path: Path) -> None:
    (cluster,) = bootstrap(RouterPaths(tmp_path), ListenConfig())["static_resources"]["clusters"]
    http2 = cluster["typed_extension_protocol_options"][PROTOCOL]["explicit_http_config"]["http2_protocol_options"]
    seconds = float(http2["connection_keepalive"]["interval"].removesuffix("s"))
    assert dict(OPTIONS)["grpc.http2.min_recv_ping_interval_without_data_ms"] < seconds * (1 - JITTER) * 1000
