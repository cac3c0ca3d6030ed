"""The endpoints of clusters (EDS)."""

import ipaddress
from collections.abc import Sequence

from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from router.ir import Endpoint
from router.translate.values import tcp_address


def load_assignment(cluster: str, endpoints: Sequence[Endpoint]) -> endpoint_pb2.ClusterLoadAssignment:
    """The assignment of `cluster`. Endpoints are sorted: their order means nothing and must not look like a change.

    Raises `ValueError` when a host is no IP address (Envoy resolves no names in EDS) or a port is impossible.
    """
    for endpoint in endpoints:
        ipaddress.ip_address(endpoint.host)
        if not 0 < endpoint.port < 65_536:
            raise ValueError(f"{endpoint.port} is no TCP port")
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            endpoint_components_pb2.LocalityLbEndpoints(
                lb_endpoints=[
                    endpoint_components_pb2.LbEndpoint(
                        endpoint=endpoint_components_pb2.Endpoint(address=tcp_address(endpoint.host, endpoint.port))
                    )
                    for endpoint in sorted(set(endpoints))
                ]
            )
        ],
    )
