"""Where requests for a model come in: a path, and whatever else tells them from the requests for another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.type.matcher.v3 import metadata_pb2
from google.protobuf import any_pb2

from router.translate.headers import path_first


@dataclass(frozen=True, slots=True)
class Place:
    """Requests for exactly `path`, or with `below` for whatever begins with it, that have `headers` and `metadata`.

    `grpc` says that they are gRPC's. The replica is asked for the path `rewrite` instead, if given. `filters` are the
    filters that they need, with their configurations, and `tells` the headers that they get.
    """

    path: str
    below: bool = False
    grpc: bool = False
    headers: tuple[rc.HeaderMatcher, ...] = ()
    metadata: tuple[metadata_pb2.MetadataMatcher, ...] = ()
    rewrite: str | None = None
    filters: Mapping[str, any_pb2.Any] = field(default_factory=dict)
    tells: tuple[base_pb2.HeaderValueOption, ...] = ()

    def match(
        self,
        headers: Sequence[rc.HeaderMatcher] = (),
        metadata: Sequence[metadata_pb2.MetadataMatcher] = (),
        *,
        method: rc.HeaderMatcher | None = None,
    ) -> rc.RouteMatch:
        """The entry's condition: the place's own, and these."""
        wanted, found = [*self.headers, *headers], [*self.metadata, *metadata]
        match = rc.RouteMatch(
            headers=[
                *([] if method is None else [method]),
                *([path_first(self.path), *wanted] if wanted or found else []),
            ],
            dynamic_metadata=found,
        )
        if self.below:
            match.prefix = self.path
        else:
            match.path = self.path
        if self.grpc:
            match.grpc.SetInParent()
        return match
