"""The Open Inference Protocol over gRPC, on the same listener as everything else.

https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md

A replica speaks HTTP/1.1 only: the filter `grpc_http1_reverse_bridge` carries calls to it. It is told to leave the
bytes as they are, so that the replica sees gRPC's frames, and does two things only. It ends an answer of 200 with the
trailer `grpc-status: 0`. And it makes any other status 200, as gRPC wants it; such answers have no body, and say in
their headers what is wrong (a "Trailers-Only" response of gRPC). So Envoy itself still sees the statuses by which it
retries and counts errors, and they are those of the other protocols.

All calls have the same few paths. Which model is meant, a header says, or the message itself: the filter
`grpc_field_extraction` reads the name out of it, after which Envoy looks for the route again (the bridge, behind it,
has it do so). On a host with one model no call need say anything, and no message is read, unless that model is many.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.grpc_field_extraction.v3 import config_pb2 as extraction_pb2
from envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3 import config_pb2 as bridge_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2
from google.protobuf import any_pb2, descriptor_pb2, wrappers_pb2

from router.ir import Route
from router.translate.answers import not_implemented
from router.translate.forward import BUFFER_FILTER, body_limit, forwards
from router.translate.hashing import COOKIE_FILTER
from router.translate.headers import MEMBER_HEADER, MODEL_HEADER, header
from router.translate.members import model_name
from router.translate.places import Place
from router.translate.values import duration, packed

BRIDGE_FILTER = "envoy.filters.http.grpc_http1_reverse_bridge"
NAME_FILTER = "envoy.filters.http.grpc_field_extraction"
CONTENT_TYPE = "application/grpc"

_PACKAGE, _SERVICE = "inference", "GRPCInferenceService"
_ANY_METHOD = f"/{_PACKAGE}.{_SERVICE}/"
_INFER = f"{_ANY_METHOD}ModelInfer"
_STREAM = f"{_ANY_METHOD}ModelStreamInfer"
_SERVER_METHOD = f"{_ANY_METHOD}Server"
_NAME_FIELDS: Final = {"ModelInfer": "model_name", "ModelMetadata": "name", "ModelReady": "name"}
"""Where the messages of these methods say which model they are for: all in their field 1."""

NO_CLUSTER = "no model"
MESSAGE_SECONDS = 10.0
"""How long a call that names no model in its metadata may keep the router waiting for more of its message."""

_ON = packed(rc.FilterConfig(config=any_pb2.Any()))
"""Turns a filter on with the configuration that it has in the listener."""


def bridge_config() -> any_pb2.Any:
    """The configuration of the filter that carries calls to HTTP/1.1."""
    return packed(bridge_pb2.FilterConfig(content_type=CONTENT_TYPE))


def name_config() -> any_pb2.Any:
    """The configuration of the filter that finds the model's name in a message."""
    return packed(
        extraction_pb2.GrpcFieldExtractionConfig(
            descriptor_set=base_pb2.DataSource(inline_bytes=_descriptors().SerializeToString(deterministic=True)),
            extractions_by_method={
                f"{_PACKAGE}.{_SERVICE}.{method}": extraction_pb2.FieldExtractions(
                    request_field_extractions={field: extraction_pb2.RequestFieldValueDisposition()}
                )
                for method, field in _NAME_FIELDS.items()
            },
        )
    )


def grpc_routes(routes: Sequence[Route]) -> Iterator[rc.Route]:
    """The entries for the models of one virtual host."""
    # What would be waited for in vain, or could not be read, is refused before a filter waits for it or reads it.
    yield not_implemented(Place(_STREAM, grpc=True).match(), "calls are not streamed here: use ModelInfer")
    compressed = rc.HeaderMatcher(
        name="grpc-encoding", string_match=string_pb2.StringMatcher(exact="identity"), invert_match=True
    )
    yield not_implemented(
        Place(_ANY_METHOD, below=True, grpc=True, headers=(compressed,)).match(), "messages must not be compressed"
    )
    for route in routes:
        named = rc.HeaderMatcher(name=MODEL_HEADER, string_match=model_name(route))
        member = f"%REQ({MODEL_HEADER})%"
        calls = _telling(route, _place(_INFER, named), member)
        questions = _telling(route, _place(_ANY_METHOD, named, below=True), member)
        yield from forwards(route, [calls], [questions])
    unnamed = rc.HeaderMatcher(name=MODEL_HEADER, present_match=True, invert_match=True)
    if len(routes) == 1 and not routes[0].members:
        (route,) = routes
        yield from forwards(route, [_place(_INFER, unnamed)], [_place(_ANY_METHOD, unnamed, below=True)])
    elif routes:
        for route in routes:
            inference, *others = (
                _telling(
                    route,
                    _place(f"{_ANY_METHOD}{method}", unnamed, _says(field, route)),
                    f"%DYNAMIC_METADATA({NAME_FILTER}:{field})%",
                )
                for method, field in _NAME_FIELDS.items()
            )
            yield from forwards(route, [inference], others)
        # Questions about the server name no model: any will do.
        anyone = next((route for route in routes if route.ready), routes[0])
        yield from forwards(anyone, [], [_place(_SERVER_METHOD, unnamed, below=True)])
        yield _reader(routes, _place(_ANY_METHOD, unnamed, below=True))


def _place(
    path: str, header: rc.HeaderMatcher, metadata: metadata_pb2.MetadataMatcher | None = None, *, below: bool = False
) -> Place:
    found = () if metadata is None else (metadata,)
    return Place(path, below=below, grpc=True, headers=(header,), metadata=found, filters={BRIDGE_FILTER: _ON})


def _telling(route: Route, place: Place, member: str) -> Place:
    """The place, whose requests say which member they are for, if the route has any."""
    return replace(place, tells=(header(MEMBER_HEADER, member),)) if route.members else place


def _reader(routes: Sequence[Route], place: Place) -> rc.Route:
    """Every call without a header is one of these at first, and stays one if its message names none of the models.

    Which filters a call passes is settled here: also those that only the entry that is found in the end needs. The body
    may be as large as the largest limit; the replica knows its own. A call without any message would be kept waiting:
    that a time can be set for it is why this entry leads to a cluster which does not exist, and is no direct response.
    """
    largest = max(route.max_body_bytes for route in routes)
    return rc.Route(
        match=place.match(),
        route=rc.RouteAction(
            cluster=NO_CLUSTER,
            cluster_not_found_response_code=rc.RouteAction.NOT_FOUND,
            idle_timeout=duration(MESSAGE_SECONDS),
        ),
        typed_per_filter_config={
            BUFFER_FILTER: body_limit(largest),
            **dict.fromkeys((NAME_FILTER, BRIDGE_FILTER, COOKIE_FILTER), _ON),
        },
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=largest),
    )


def _says(field: str, route: Route) -> metadata_pb2.MetadataMatcher:
    """What the filter notes is a list of texts."""
    name = value_pb2.ValueMatcher(string_match=model_name(route))
    return metadata_pb2.MetadataMatcher(
        filter=NAME_FILTER,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=field)],
        value=value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=name)),
    )


def _descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Of the protocol as much as tells where names are."""
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=_PACKAGE, syntax="proto3")
    service = file.service.add(name=_SERVICE)
    answer = file.message_type.add(name="Answer")
    for method, field in _NAME_FIELDS.items():
        message = file.message_type.add(name=f"{method}Request")
        message.field.add(
            name=field,
            number=1,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
        service.method.add(
            name=method, input_type=f".{_PACKAGE}.{message.name}", output_type=f".{_PACKAGE}.{answer.name}"
        )
    return descriptor_pb2.FileDescriptorSet(file=[file])
