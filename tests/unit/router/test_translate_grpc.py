"""How calls over gRPC are told apart; what a real Envoy makes of it, tests/integration/router shows."""

import pytest
from envoy.config.route.v3 import route_components_pb2 as rc
from google.protobuf import descriptor_pb2, descriptor_pool

from router.config import ListenConfig
from router.ir import Backend, Condition, Endpoint, Mirror, Route, RouteKey, Selection
from router.translate.forward import BUFFER_FILTER
from router.translate.grpc import BRIDGE_FILTER, NAME_FILTER, name_config
from router.translate.hashing import COOKIE_FILTER
from router.translate.listeners import listener
from router.translate.routes import route_configuration
from router.translate.selection import FEATURES_FILTER

CALLS = "/inference.GRPCInferenceService/"


def make(name: str, *, weight: int = 10_000, **fields: object) -> Route:
    backends = (Backend("new", 10_000 - weight, (Endpoint("127.0.0.1", 1),)), Backend("old", weight))
    return Route(RouteKey("default", name), name, backends=backends if weight else (), **fields)  # type: ignore[arg-type]


def calls(*routes: Route) -> list[rc.Route]:
    """The entries for gRPC of the virtual host of all hosts."""
    (host,) = (host for host in route_configuration(routes).virtual_hosts if list(host.domains) == ["*"])
    return [entry for entry in host.routes if entry.match.HasField("grpc")]


def said(entry: rc.Route) -> dict[str, str | None]:
    """What an entry asks of headers, after the path; None where a header must be absent."""
    assert entry.match.headers[-1].name != ":path"
    return {
        matcher.name: matcher.string_match.exact or matcher.string_match.safe_regex.regex or None
        for matcher in entry.match.headers
        if matcher.name not in (":path", ":method")
    }


def forwarded(entries: list[rc.Route]) -> list[rc.Route]:
    return [entry for entry in entries if entry.route.HasField("weighted_clusters")]


def test_the_only_model_of_a_host_gets_every_call_that_names_no_other_and_no_message_is_read() -> None:
    found = [(entry.match.path or entry.match.prefix, said(entry)) for entry in forwarded(calls(make("iris")))]
    assert found == [
        (f"{CALLS}ModelInfer", {"tidegate-model": "iris"}),
        (CALLS, {"tidegate-model": "iris"}),
        (f"{CALLS}ModelInfer", {"tidegate-model": None}),
        (CALLS, {"tidegate-model": None}),
    ]
    assert not [entry for entry in calls(make("iris")) if NAME_FILTER in entry.typed_per_filter_config]


def test_of_several_models_the_message_names_one_and_the_entry_that_reads_it_comes_last() -> None:
    entries = calls(make("iris"), make("digits"))
    by_message = [entry for entry in forwarded(entries) if entry.match.dynamic_metadata]
    assert {
        (
            entry.match.path,
            entry.match.dynamic_metadata[0].path[0].key,
            entry.match.dynamic_metadata[0].value.list_match.one_of.string_match.exact,
        )
        for entry in by_message
    } == {
        (f"{CALLS}{method}", field, model)
        for method, field in {"ModelInfer": "model_name", "ModelMetadata": "name", "ModelReady": "name"}.items()
        for model in ("iris", "digits")
    }
    (reader,) = (entry for entry in entries if NAME_FILTER in entry.typed_per_filter_config)
    assert entries[-1] == reader
    assert set(reader.typed_per_filter_config) == {BUFFER_FILTER, NAME_FILTER, BRIDGE_FILTER, COOKIE_FILTER}


def test_the_reader_lets_in_what_the_largest_limit_lets_in() -> None:
    entries = calls(make("a", max_body_bytes=1_000), make("b", max_body_bytes=9_000), make("c", max_body_bytes=5_000))
    assert entries[-1].request_body_buffer_limit.value == 9_000


def test_questions_about_the_server_go_to_a_model_that_is_ready() -> None:
    entries = calls(make("a", weight=0), make("b"), make("c"))
    (server,) = (entry for entry in entries if entry.match.prefix == f"{CALLS}Server")
    assert {cluster.name for cluster in server.route.weighted_clusters.clusters} == {"live/default/b/old"}
    nobody = calls(make("a", weight=0), make("b", weight=0))
    (server,) = (entry for entry in nobody if entry.match.prefix == f"{CALLS}Server")
    assert server.direct_response.status == 503


def test_a_model_that_is_not_ready_is_answered_503_by_whatever_names_it() -> None:
    entries = [entry for entry in calls(make("a", weight=0), make("b", weight=0)) if entry.HasField("direct_response")]
    assert [entry.direct_response.status for entry in entries] == [405, 405, *[503] * (2 * 2 + 2 * 3 + 1)]


def test_only_inference_is_mirrored_and_tells_exposures() -> None:
    route = make("iris", weight=10_000, mirror=Mirror("new", 5_000), exposures=True)
    for entry in forwarded(calls(route)):
        infers = entry.match.path == f"{CALLS}ModelInfer"
        posted = any(matcher.name == ":method" for matcher in entry.match.headers)
        assert bool(entry.route.request_mirror_policies) == (infers and posted)
        assert bool(entry.request_headers_to_add) == infers


def test_conditions_on_headers_select_calls_and_those_on_json_do_not() -> None:
    by_header, by_body = Condition(header="x-beta", values=("1",)), Condition(feature=("age",), low=1.0)
    route = make("iris", weight=9_000, selection=Selection("new", ((by_header,), (by_body,), (by_header, by_body))))
    entries = calls(route)
    selected = [entry for entry in entries if entry.route.cluster == "live/default/iris/new"]
    assert [said(entry).get("x-beta") for entry in selected] == ["1"] * 4
    assert not [entry for entry in entries if FEATURES_FILTER in entry.typed_per_filter_config]


def test_the_model_is_read_before_the_bridge_has_envoy_look_for_the_route_again() -> None:
    manager = listener(ListenConfig(port=8080)).filter_chains[0].filters[0].typed_config.value
    places = [manager.index(name.encode()) for name in (BUFFER_FILTER, NAME_FILTER, BRIDGE_FILTER, COOKIE_FILTER)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("method", "field"), [("ModelInfer", "model_name"), ("ModelMetadata", "name"), ("ModelReady", "name")]
)
def test_the_descriptors_find_the_name_in_the_first_field_of_the_protocols_messages(method: str, field: str) -> None:
    from envoy.extensions.filters.http.grpc_field_extraction.v3 import config_pb2  # noqa: PLC0415 - long name

    config = config_pb2.GrpcFieldExtractionConfig()
    name_config().Unpack(config)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(config.descriptor_set.inline_bytes).file:
        pool.AddSerializedFile(file.SerializeToString())
    asked = pool.FindMethodByName(f"inference.GRPCInferenceService.{method}").input_type
    assert [(found.name, found.number) for found in asked.fields] == [(field, 1)]
    assert [*config.extractions_by_method[f"inference.GRPCInferenceService.{method}"].request_field_extractions] == [
        field
    ]
