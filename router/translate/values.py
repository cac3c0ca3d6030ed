"""Small protobuf values that several resources need."""

from envoy.config.core.v3 import address_pb2, config_source_pb2
from google.protobuf import any_pb2, duration_pb2, message


def duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a protobuf duration, exact to the microsecond."""
    value = duration_pb2.Duration()
    value.FromMicroseconds(round(seconds * 1_000_000))
    return value


def packed(value: message.Message) -> any_pb2.Any:
    """A message in an `Any`, always in the same bytes."""
    holder = any_pb2.Any()
    holder.Pack(value, deterministic=True)
    return holder


def tcp_address(host: str, port: int) -> address_pb2.Address:
    """The address of a TCP socket; `host` is an IP address."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def ads() -> config_source_pb2.ConfigSource:
    """ "Ask for it on the stream that you have." Envoy waits for the answer for as long as it takes."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
        initial_fetch_timeout=duration(0),
    )
