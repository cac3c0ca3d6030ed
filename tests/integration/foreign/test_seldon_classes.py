"""Seldon Core's components, called by Seldon Core's own package, get what they get at home."""

import base64
import json

import pytest

ROWS = {"name": "x", "shape": [2, 2], "datatype": "INT64", "data": [1, 2, 3, 4]}
V1 = "/v1/models/iris:predict"
V2 = "/v2/models/iris/infer"


@pytest.fixture(scope="module")
def hosted(host):
    parameters = [{"name": "factor", "type": "INT", "value": "3"}]
    models = {
        name: {"class": f"for_seldon:{name}"} for name in ("Doubler", "Taker", "Raw", "Refuser", "Broken", "Stranger")
    }
    models["named"] = {"class": "for_seldon:Doubler", "inputs": [["b"], ["a"]]}
    for name, text in (
        ("told", json.dumps(parameters)),
        ("wrong", '[{"name": "factor", "type": "WORD", "value": "3"}]'),
    ):
        models[name] = {"class": "for_seldon:Doubler", "env": {"PREDICTIVE_UNIT_PARAMETERS": text}}
    return host("seldon", models)


def test_a_component_answers_with_its_class_names_tags_and_metrics(hosted):
    answer = hosted["Doubler"].post(V2, json={"id": "7", "inputs": [ROWS], "parameters": {"user": "anna"}}).json()
    assert answer["outputs"] == [
        {
            "name": "predict",
            "shape": [2, 2],
            "datatype": "INT64",
            "data": [2, 4, 6, 8],
            "parameters": {"names": ["left", "right"]},
        }
    ]
    tags, metrics = answer["parameters"]["tags"], answer["parameters"]["metrics"]
    assert tags.pop("uri").endswith("/classes")
    meta = {"puid": "7", "tags": {"user": "anna"}}
    assert tags == {"user": "anna", "names": [], "type": "ndarray", "meta": meta}
    assert metrics == [{"type": "COUNTER", "key": "calls", "value": 1}]


def test_columns_reach_it_by_name_in_the_order_of_the_manifest(hosted):
    columns = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in (("a", 1), ("b", 2))
    ]
    plain = hosted["Doubler"].post(V2, json={"inputs": columns}).json()
    assert (plain["parameters"]["tags"]["names"], plain["outputs"][0]["data"]) == (["a", "b"], [2.0, 4.0])
    named = hosted["named"].post(V2, json={"inputs": columns}).json()
    assert (named["parameters"]["tags"]["names"], named["outputs"][0]["data"]) == (["b", "a"], [4.0, 2.0])
    uneven = [columns[0], {**columns[1], "shape": [2], "data": [1, 2]}]
    refused = hosted["Doubler"].post(V2, json={"inputs": uneven})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_shape")


def test_instances_are_answered_with_predictions(hosted):
    client = hosted["named"]
    assert client.post(V1, json={"instances": [[1, 2], [3, 4]]}).json() == {"predictions": [[2, 4], [6, 8]]}
    assert client.post(V1, json={"instances": [{"a": 1, "b": 2}]}).json() == {"predictions": [[4, 2]]}
    refused = client.post(V1, json={"instances": [{"a": 1}, {"b": 2}]})
    assert (refused.status_code, refused.json()["error"]) == (400, "instances must all have the same names")
    refused = client.post(V1, json={"rows": [1]})
    assert (refused.status_code, refused.json()["code"]) == (400, "missing_input")


def test_parameters_of_the_constructor_come_from_the_environment_as_at_home(hosted):
    assert hosted["told"].post(V1, json={"instances": [[1]]}).json() == {"predictions": [[3]]}
    kind, message = hosted["wrong"]
    assert kind == "UnloadableModel"
    assert "PREDICTIVE_UNIT_PARAMETERS cannot be read: Bad model parameter" in message


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ({"strData": "abc"}, {"strData": "cba"}),
        ({"jsonData": {"a": [1, None]}}, {"jsonData": {"got": {"a": [1, None]}}}),
        (
            {"binData": base64.b64encode(b"\x00\xff").decode()},
            {"binData": base64.b64encode(b"\xff\x00").decode()},
        ),
        (
            {"data": {"names": ["a"], "tensor": {"shape": [2, 1], "values": [1, 2]}}},
            {"data": {"names": [], "tensor": {"shape": [1], "values": [2]}}},
        ),
    ],
)
def test_a_seldon_message_gets_a_seldon_message(hosted, sent, answered):
    answer = hosted["Taker"].post(V1, json={**sent, "meta": {"puid": "9"}}).json()
    meta = answer.pop("meta")
    assert (answer, meta["puid"]) == (answered, "9")


def test_predict_raw_gets_the_message_and_may_refuse_it(hosted):
    client = hosted["Raw"]
    assert client.post(V2, json={"inputs": [ROWS]}).json()["outputs"][0]["data"] == [1, 2]
    assert client.post(V1, json={"instances": [[2, 2]]}).json() == {"predictions": [[1, 2]]}
    assert client.post(V1, json={"instances": [[1]]}).json() == {"predictions": {"kind": "rose"}}
    one = {"name": "x", "shape": [1, 1], "datatype": "INT8", "data": [1]}
    [output] = client.post(V2, json={"inputs": [one]}).json()["outputs"]
    assert (output["data"], output["parameters"]) == (['{"kind": "rose"}'], {"content_type": "json"})
    refused = client.post(V1, json={"data": {"ndarray": [[0]]}})
    assert (refused.status_code, refused.json()["code"]) == (422, "model_refused")
    assert refused.json()["error"] == "zero is no flower"


@pytest.mark.parametrize(
    ("instances", "status", "code", "words"),
    [
        (["x"], 404, "model_refused", "no such flower"),
        (["fault"], 500, "model_error", "the model raised ZeroDivisionError: no flower"),
        (["x", "y"], 500, "model_error", "the model raised"),
    ],
)
def test_what_a_component_raises_is_answered_as_seldon_core_answers_it(hosted, instances, status, code, words):
    answer = hosted["Refuser"].post(V1, json={"instances": instances})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["error"]


def test_grpc_calls_reach_it_too(hosted, infer):
    answer = infer(hosted["Doubler"])
    [output] = answer.outputs
    assert (answer.id, output.datatype, list(output.shape)) == ("7", "FP64", [1, 2])
    assert list(output.contents.fp64_contents) == [2.0, 5.0]
    assert dict(answer.parameters)["tags"].string_param.startswith("{")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Broken", "UnloadableModel", "for_seldon:Broken raised OSError in load(): no weights"),
        ("Stranger", "NotAnEstimator", "for_seldon:Stranger has no predict method"),
    ],
)
def test_a_class_that_is_of_no_use_is_refused_with_what_is_wrong(hosted, name, kind, words):
    found, message = hosted[name]
    assert found == kind
    assert words in message
