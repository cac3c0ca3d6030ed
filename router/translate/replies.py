"""What Envoy itself answers: always `{error, code, request_id}`, with a code that a program can act on.

To gRPC it answers a status with the error as its message, and the code and the request id in the metadata.

What is refused before its head could be read has no request id yet; it gets one made of the time and the connection.
"""

from collections.abc import Iterator, Sequence

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import struct_pb2

from router.translate.answers import METADATA
from router.translate.headers import CODE_HEADER, REQUEST_ID, ROUTE_HEADER, header

BY_FLAG = (
    (("UT", "SI"), "timeout", "the model did not answer in time"),
    (("DT",), "timeout", "the request took too long"),
    (("UH",), "no_healthy_replica", "no replica of the model can be reached; try again"),
    (("UO",), "overloaded", "too many requests are under way; try again"),
    (("UC", "UR", "UF", "URX", "LR", "UPE"), "replica_lost", "the replica was lost before it answered; try again"),
    (("NC",), "no_cluster", "the version that should answer is unknown to the router; try again"),
    (("OM",), "overloaded", "the router is short of memory; try again"),
    (("NR",), "not_found", "there is no such model or path; models answer at /v2/models/NAME/infer"),
)
"""Envoy's response flags, the code, and the sentence. The first line that fits wins."""

UNKNOWN_MODEL = (
    "not_found",
    "there is no model of that name here: the message names it (model_name, name), or tidegate-model in the metadata",
)
"""Code and sentence for gRPC calls whose message was read: no cluster, and 404. Others without a cluster get 503."""

FEEDBACK_FAILED = (
    ("UT", "SI", "UH", "UO", "UC", "UR", "UF", "URX", "LR", "UPE"),
    "monitor_unavailable",
    "the monitor did not take the feedback; send it again later",
)
"""The same of feedback, known by the header that only it has."""

BY_STATUS = (
    (400, "bad_request", "the request cannot be read: %RESPONSE_CODE_DETAILS%"),
    (403, "forbidden", "the request was refused: %RESPONSE_CODE_DETAILS%"),
    (408, "request_timeout", "the request did not arrive in time"),
    (413, "body_too_large", "the body is larger than this model's limit"),
    (426, "upgrade_required", "HTTP/1.1 or HTTP/2 is needed"),
    (431, "headers_too_large", "the request's headers are too large or too many"),
)
"""Faults of the request, whatever the flags say: a body that stops coming has the flag of a model that is too slow."""

GRPC_STATUSES = {
    "bad_request": 3,
    "body_too_large": 8,
    "headers_too_large": 8,
    "not_found": 5,
    "request_timeout": 4,
    "timeout": 4,
}
"""gRPC's status where it is not what the HTTP status stands for anyway (503 is UNAVAILABLE, 403 PERMISSION_DENIED).

https://grpc.io/docs/guides/status-codes/
"""

_GIVEN_ID = f"%REQ({REQUEST_ID})%"
_MADE_ID = "%START_TIME(%s%9f)%-%CONNECTION_ID%"


def local_reply_config() -> hcm.LocalReplyConfig:
    """Mappers for every line of the tables; answers that a route makes itself bring their own sentence and code."""
    flags, code, text = FEEDBACK_FAILED
    feedback_failed = hcm.ResponseMapper(
        filter=_both(_flagged(flags), _has(ROUTE_HEADER, True)), body_format_override=_json(text, code)
    )
    unknown_model = _for_grpc(_both(_flagged(["NC"]), _status(404)), *UNKNOWN_MODEL, GRPC_STATUSES["not_found"])
    from_route = f"%METADATA(ROUTE:{METADATA}:code)%"
    return hcm.LocalReplyConfig(
        mappers=[
            *(
                hcm.ResponseMapper(
                    filter=_both(_status(status), _has(REQUEST_ID, False)),
                    body_format_override=_json(text, code, _MADE_ID),
                    headers_to_add=[header(REQUEST_ID, _MADE_ID)],
                )
                for status, code, text in BY_STATUS
            ),
            *(mapper for status, code, text in BY_STATUS for mapper in _mappers(_status(status), code, text)),
            feedback_failed,
            unknown_model,
            *(mapper for flags, code, text in BY_FLAG for mapper in _mappers(_flagged(flags), code, text)),
            *(
                mapper
                for status, grpc_status in ((404, 5), (405, 12), (503, 14))
                for mapper in _mappers(_status(status), from_route, "%LOCAL_REPLY_BODY%", grpc_status=grpc_status)
            ),
        ]
    )


def _mappers(
    line: accesslog_pb2.AccessLogFilter, code: str, text: str, *, grpc_status: int | None = None
) -> Iterator[hcm.ResponseMapper]:
    """For gRPC, and for everybody else."""
    yield _for_grpc(line, code, text, grpc_status or GRPC_STATUSES.get(code))
    yield hcm.ResponseMapper(filter=line, body_format_override=_json(text, code))


def _for_grpc(line: accesslog_pb2.AccessLogFilter, code: str, text: str, grpc_status: int | None) -> hcm.ResponseMapper:
    message = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string=text)
    )
    status = [] if grpc_status is None else [header("grpc-status", str(grpc_status))]
    return hcm.ResponseMapper(
        filter=_both(line, _is_grpc()),
        body_format_override=message,
        headers_to_add=[header(CODE_HEADER, code), *status],
    )


def _json(text: str, code: str, request_id: str = _GIVEN_ID) -> substitution_format_string_pb2.SubstitutionFormatString:
    fields = struct_pb2.Struct()
    fields.update({"error": text, "code": code, "request_id": request_id})
    return substitution_format_string_pb2.SubstitutionFormatString(json_format=fields)


def _both(*filters: accesslog_pb2.AccessLogFilter) -> accesslog_pb2.AccessLogFilter:
    return accesslog_pb2.AccessLogFilter(and_filter=accesslog_pb2.AndFilter(filters=filters))


def _flagged(flags: Sequence[str]) -> accesslog_pb2.AccessLogFilter:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=flags))


def _has(name: str, present: bool) -> accesslog_pb2.AccessLogFilter:
    header_filter = accesslog_pb2.HeaderFilter(header=rc.HeaderMatcher(name=name, present_match=present))
    return accesslog_pb2.AccessLogFilter(header_filter=header_filter)


def _is_grpc() -> accesslog_pb2.AccessLogFilter:
    pattern = regex_pb2.RegexMatcher(regex=r"application/grpc([+;]\C*)?")  # what Envoy takes for gRPC itself
    content_type = rc.HeaderMatcher(name="content-type", string_match=string_pb2.StringMatcher(safe_regex=pattern))
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=content_type))


def _status(status: int) -> accesslog_pb2.AccessLogFilter:
    return accesslog_pb2.AccessLogFilter(
        status_code_filter=accesslog_pb2.StatusCodeFilter(
            comparison=accesslog_pb2.ComparisonFilter(
                op=accesslog_pb2.ComparisonFilter.EQ,
                value=base_pb2.RuntimeUInt32(default_value=status, runtime_key="tidegate.none"),
            )
        )
    )
