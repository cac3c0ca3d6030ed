"""The listener (LDS): Envoy as an edge proxy, the way its own guide configures one.

https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge
"""

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import address_pb2, extension_pb2, protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.http.json_to_metadata.v3 import json_to_metadata_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from google.protobuf import wrappers_pb2

from router.config import ListenConfig
from router.translate.forward import BUFFER_FILTER
from router.translate.grpc import BRIDGE_FILTER, NAME_FILTER, bridge_config, name_config
from router.translate.hashing import COOKIE_FILTER
from router.translate.headers import OWN_HEADERS
from router.translate.replies import local_reply_config
from router.translate.routes import ROUTE_CONFIG
from router.translate.selection import FEATURES_FILTER
from router.translate.values import ads, duration, packed, tcp_address

LISTENER = "tidegate"
STAT_PREFIX = "ingress"
BUFFER_BYTES = 32 * 1024
STREAM_IDLE_SECONDS = 300.0
MAX_HEADERS = 100
MAX_HEADERS_KIB = 32
H2_STREAMS = 100
H2_STREAM_WINDOW = 64 * 1024
H2_CONNECTION_WINDOW = 1024 * 1024

_NOBODY = address_pb2.CidrRange(address_prefix="255.255.255.255", prefix_len=wrappers_pb2.UInt32Value(value=32))


def listener(listen: ListenConfig) -> listener_pb2.Listener:
    """The one listener, for HTTP/1.1 and for HTTP/2 without TLS (prior knowledge)."""
    return listener_pb2.Listener(
        name=LISTENER,
        address=tcp_address(listen.host, listen.port),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(value=BUFFER_BYTES),
        filter_chains=[
            listener_components_pb2.FilterChain(
                filters=[
                    listener_components_pb2.Filter(
                        name="envoy.filters.network.http_connection_manager", typed_config=packed(_manager(listen))
                    )
                ]
            )
        ],
    )


def _manager(listen: ListenConfig) -> hcm.HttpConnectionManager:
    yes = wrappers_pb2.BoolValue(value=True)
    return hcm.HttpConnectionManager(
        stat_prefix=STAT_PREFIX,
        codec_type=hcm.HttpConnectionManager.AUTO,
        rds=hcm.Rds(config_source=ads(), route_config_name=ROUTE_CONFIG),
        http_filters=_http_filters(),
        local_reply_config=local_reply_config(),
        # Limits on what a client may take.
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=duration(listen.idle_seconds),
            max_headers_count=wrappers_pb2.UInt32Value(value=MAX_HEADERS),
            headers_with_underscores_action=protocol_pb2.HttpProtocolOptions.REJECT_REQUEST,
        ),
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions(
            max_concurrent_streams=wrappers_pb2.UInt32Value(value=H2_STREAMS),
            initial_stream_window_size=wrappers_pb2.UInt32Value(value=H2_STREAM_WINDOW),
            initial_connection_window_size=wrappers_pb2.UInt32Value(value=H2_CONNECTION_WINDOW),
        ),
        max_request_headers_kb=wrappers_pb2.UInt32Value(value=MAX_HEADERS_KIB),
        stream_idle_timeout=duration(STREAM_IDLE_SECONDS),
        request_timeout=duration(listen.request_timeout_seconds),
        request_headers_timeout=duration(listen.request_headers_timeout_seconds),
        # The client is whoever opened the connection, and no address is trusted with Envoy's own headers.
        use_remote_address=yes,
        internal_address_config=hcm.HttpConnectionManager.InternalAddressConfig(cidr_ranges=[_NOBODY]),
        early_header_mutation_extensions=[_without_our_headers()],
        # One way to write a path, so that it cannot be matched here and understood differently behind.
        normalize_path=yes,
        merge_slashes=True,
        path_with_escaped_slashes_action=hcm.HttpConnectionManager.REJECT_REQUEST,
        strip_any_host_port=True,
        # The split and the pairing of mirrored answers rest on the request id: the client's own stays as it is.
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        request_id_extension=hcm.RequestIDExtension(
            typed_config=packed(
                uuid_pb2.UuidRequestIdConfig(pack_trace_reason=wrappers_pb2.BoolValue(value=False)),
            )
        ),
        server_name="tidegate",
        server_header_transformation=hcm.HttpConnectionManager.OVERWRITE,
    )


def _without_our_headers() -> extension_pb2.TypedExtensionConfig:
    """Nobody but the router says what its own headers say."""
    removed = [mutation_rules_pb2.HeaderMutation(remove=name) for name in OWN_HEADERS]
    return extension_pb2.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=packed(header_mutation_pb2.HeaderMutation(mutations=removed)),
    )


def _http_filters() -> list[hcm.HttpFilter]:
    """Filters are off; a route that needs one turns it on, so that no change of routes is one of the listener.

    The buffer filter waits for the whole body, or answers 413, so that no filter after it meets more than that. The
    bridge must follow the filter that finds the name of a call's model, for the route of that model counts behind it.
    """
    any_limit = wrappers_pb2.UInt32Value(value=1)
    buffer = buffer_pb2.Buffer(max_request_bytes=any_limit)
    return [
        hcm.HttpFilter(name=BUFFER_FILTER, typed_config=packed(buffer), disabled=True),
        hcm.HttpFilter(name=NAME_FILTER, typed_config=name_config(), disabled=True),
        hcm.HttpFilter(name=BRIDGE_FILTER, typed_config=bridge_config(), disabled=True),
        hcm.HttpFilter(name=COOKIE_FILTER, typed_config=packed(header_to_metadata_pb2.Config()), disabled=True),
        hcm.HttpFilter(name=FEATURES_FILTER, typed_config=packed(json_to_metadata_pb2.JsonToMetadata()), disabled=True),
        hcm.HttpFilter(
            name="envoy.filters.http.router", typed_config=packed(router_pb2.Router(suppress_envoy_headers=True))
        ),
    ]
