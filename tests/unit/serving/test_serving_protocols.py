"""Each protocol on its own: what it reads, what it refuses and in which words, what it answers."""

import numpy as np
import orjson
import pytest

from serving.errors import RequestError
from serving.protocol.base import Codec, Query
from serving.protocol.named import NamedCodec
from serving.protocol.table import Table
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "INT64", (-1,)), OutputSpec("predict_proba", "FP64", (-1, 2)))
NAMES = (InputSpec("a"), InputSpec("b"), InputSpec("c"))
MIXED = (InputSpec("a", "FP64"), InputSpec("b", "INT32"), InputSpec("c", "BYTES"))


def signature(features=NAMES, width=3):
    return Signature("test", width, features, InputSpec("input-0"), OUTPUTS, ("no", "yes"))


def v2(**kwargs) -> V2Codec:
    described = signature(**kwargs)
    return V2Codec("iris", "v1", described, Table(described, max_rows=100))


def v1(**kwargs) -> V1Codec:
    described = signature(**kwargs)
    return V1Codec(described, Table(described, max_rows=100))


def named(**kwargs) -> NamedCodec:
    described = signature(**kwargs)
    return NamedCodec("v1", described, Table(described, max_rows=100))


def tensor(data, shape=(1, 3), datatype="FP64", name="x"):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": data}


def column(name, data, datatype="FP64", shape=None):
    return tensor(data, shape or [len(data)], datatype, name)


def refusal(codec: Codec, request: object) -> RequestError:
    body = request if isinstance(request, bytes) else orjson.dumps(request)
    with pytest.raises(RequestError) as caught:
        codec.decode(body)
    return caught.value


def test_a_flat_tensor_becomes_rows():
    query = v2().decode(orjson.dumps({"id": "7", "inputs": [tensor([1, 2, 3, 4.5, 5, 6], (2, 3))]}))
    assert query.rows.tolist() == [[1, 2, 3], [4.5, 5, 6]]
    assert (query.rows.dtype, query.outputs, query.echo) == (np.float64, ("predict",), "7")


def test_a_nested_tensor_becomes_the_same_rows():
    query = v2().decode(orjson.dumps({"inputs": [tensor([[1, 2, 3], [4, 5, 6]], (2, 3))]}))
    assert query.rows.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_one_input_per_column_is_put_in_the_order_of_the_model():
    inputs = [column("c", [5, 6]), column("a", [1, 2], "INT64"), column("b", [[3], [4]], "FP32", (2, 1))]
    assert v2().decode(orjson.dumps({"inputs": inputs})).rows.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_columns_of_several_datatypes_keep_their_values():
    inputs = [column("a", [1.5]), column("b", [2], "INT32"), column("c", ["x"], "BYTES")]
    assert v2(features=MIXED).decode(orjson.dumps({"inputs": inputs})).rows.tolist() == [[1.5, 2, "x"]]
    records = orjson.dumps({"a": 1.5, "b": 2, "c": "x"})
    assert named(features=MIXED).decode(records).rows.tolist() == [[1.5, 2, "x"]]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT8"])
def test_every_numeric_datatype_is_accepted(datatype):
    assert v2().decode(orjson.dumps({"inputs": [tensor([1, 2, 3], datatype=datatype)]})).rows.tolist() == [[1, 2, 3]]


def test_booleans_stand_for_numbers_when_they_are_sent_as_such():
    query = v2().decode(orjson.dumps({"inputs": [tensor([True, False, True], datatype="BOOL")]}))
    assert query.rows.tolist() == [[1, 0, 1]]


def test_a_model_that_does_not_tell_its_width_takes_any():
    assert v2(features=(), width=None).decode(orjson.dumps({"inputs": [tensor([1, 2], (1, 2))]})).rows.shape == (1, 2)
    assert v1(features=(), width=None).decode(b'{"instances":[[1,2]]}').rows.shape == (1, 2)


def test_the_wanted_outputs_are_taken_once_each_in_the_order_asked():
    outputs = [{"name": "predict_proba"}, {"name": "predict"}, {"name": "predict"}]
    query = v2().decode(orjson.dumps({"inputs": [tensor([1, 2, 3])], "outputs": outputs}))
    assert query.outputs == ("predict_proba", "predict")


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (b"", "invalid_json", "not JSON"),
        (b"{", "invalid_json", "not JSON"),
        (b"\xff\xfe", "invalid_json", "not JSON"),
        (b"[" * 200_000, "invalid_json", "depth"),
        (b'{"inputs":[{"data":[NaN]}]}', "not_finite", "line 1 column 21"),
        ('{"é":[-Infinity]}'.encode(), "not_finite", "finite"),
        (b'{"inputs":[{"data":[1e999]}]}', "not_finite", "finite"),
        ([1], "invalid_request", "a list"),
        ({}, "missing_input", "inputs"),
        ({"inputs": []}, "missing_input", "inputs"),
        ({"inputs": {}}, "missing_input", "inputs"),
        ({"inputs": [3]}, "invalid_request", "inputs[0]"),
        ({"inputs": [{"shape": [1, 3]}]}, "invalid_request", "name"),
        ({"inputs": [tensor([1], name="n" * 300)]}, "invalid_request", "256"),
        ({"id": 5, "inputs": [tensor([1, 2, 3])]}, "invalid_request", "id must be text"),
        ({"inputs": [tensor([1, 2, 3], (3,))]}, "invalid_shape", "[rows, 3]"),
        ({"inputs": [tensor([1, 2, 3], (1, 1, 3))]}, "invalid_shape", "[rows, 3]"),
        ({"inputs": [tensor([1, 2, 3], (-1, 3))]}, "invalid_shape", "counts"),
        ({"inputs": [tensor([1, 2, 3], (True, 3))]}, "invalid_shape", "counts"),
        ({"inputs": [tensor([1, 2], (1, 3))]}, "invalid_shape", "2 values"),
        ({"inputs": [tensor([1, 2], (1, 2))]}, "invalid_shape", "[rows, 3]"),
        ({"inputs": [tensor([1, 2], (1, 2**62))]}, "invalid_shape", "2 values"),
        ({"inputs": [tensor([], (0, 3))]}, "empty_batch", "at least one"),
        ({"inputs": [tensor([[1, 2, 3], [1, 2]], (2, 3))]}, "invalid_shape", "x[1] has 2 values"),
        ({"inputs": [tensor([[1, 2, 3], 4], (2, 3))]}, "invalid_shape", "x[1]"),
        ({"inputs": [tensor([[[1], [2], [3]]], (1, 3))]}, "invalid_shape", "x[0], column 0"),
        ({"inputs": [tensor([1, 2, 3], datatype="FP63")]}, "invalid_datatype", '"FP63"'),
        ({"inputs": [tensor([1, 2, 3], datatype=["FP64"])]}, "invalid_datatype", "not one of"),
        ({"inputs": [tensor(["1", "2", "3"])]}, "invalid_datatype", 'x[0], column 0 must be FP64, not text ("1")'),
        ({"inputs": [tensor([1, None, 3])]}, "invalid_datatype", "x[0], column 1 must be FP64, not null"),
        ({"inputs": [tensor([1, 2, True])]}, "invalid_datatype", "column 2"),
        ({"inputs": [tensor([1, 2.5, 3], datatype="INT64")]}, "invalid_datatype", "column 1"),
        ({"inputs": [tensor(["a", "b", "c"], datatype="BYTES")]}, "invalid_datatype", "BYTES was sent"),
        (
            {"inputs": [tensor([1, 300, 3], datatype="UINT8")]},
            "out_of_range",
            "column 1 must be UINT8; 300 does not fit",
        ),
        ({"inputs": [tensor([1, 2, -3], datatype="UINT64")]}, "out_of_range", "column 2"),
        ({"inputs": [tensor([1, 1e300, 3], datatype="FP32")]}, "out_of_range", "FP32; 1e+300 does not fit"),
        ({"inputs": [tensor([2**63, 2, 3], datatype="INT64")]}, "out_of_range", "column 0"),
        (
            b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[9' + b"9" * 40 + b"]}]}",
            "invalid_shape",
            "",
        ),
        ({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64"}]}, "invalid_request", "binary_data_size"),
        ({"inputs": [tensor("abc")]}, "invalid_request", "must be a list"),
        ({"inputs": [column("a", [1]), column("a", [1])]}, "duplicate_input", "a comes twice"),
        ({"inputs": [column("a", [1]), column("b", [1])]}, "missing_input", "c missing"),
        ({"inputs": [column("a", [1])]}, "missing_input", "b, c missing"),
        ({"inputs": [column(name, [1]) for name in "abcd"]}, "unknown_input", '"d" unknown'),
        ({"inputs": [column("a", [1, 2]), column("b", [1]), column("c", [1])]}, "invalid_shape", "number of rows"),
        ({"inputs": [column(n, [1, 2], shape=[1, 2]) for n in "abc"]}, "invalid_shape", "one column"),
        ({"inputs": [column("a", ["x"]), column("b", [1]), column("c", [1])]}, "invalid_datatype", "input a, row 0"),
        ({"inputs": [tensor([1, 2, 3])], "outputs": 3}, "invalid_request", "outputs must be a list"),
        ({"inputs": [tensor([1, 2, 3])], "outputs": [{"name": "x"}]}, "unknown_output", "predict, predict_proba"),
        ({"inputs": [tensor([1, 2, 3])], "outputs": ["predict"]}, "unknown_output", "predict"),
    ],
)
def test_v2_refuses_what_is_not_an_inference_request(request_, code, words):
    error = refusal(v2(), request_)
    assert (error.status, error.code) == (400, code)
    assert words in str(error)


def test_an_integer_beyond_64_bits_is_no_int64():
    body = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"INT64","data":[1,2,' + b"9" * 40 + b"]}]}"
    assert refusal(v2(), body).code == "invalid_datatype"


def test_several_inputs_for_a_model_without_names_are_refused():
    error = refusal(v2(features=()), {"inputs": [column("a", [1]), column("b", [1])]})
    assert (error.code, "one tensor [rows, 3]" in str(error)) == ("unknown_input", True)


def test_one_tensor_for_columns_of_several_datatypes_is_refused():
    error = refusal(v2(features=MIXED), {"inputs": [tensor([1, 2, 3])]})
    assert (error.code, "one input for each of a, b, c" in str(error)) == ("invalid_datatype", True)


def test_fractions_are_refused_where_integers_are_declared():
    inputs = [column("a", [1]), column("b", [1.5]), column("c", ["x"], "BYTES")]
    assert refusal(v2(features=MIXED), {"inputs": inputs}).code == "invalid_datatype"
    error = refusal(named(features=MIXED), {"a": 1, "b": 1.5, "c": "x"})
    assert (error.code, str(error)) == ("invalid_datatype", "row[0], column b must be INT32, not a number (1.5)")


def test_too_many_rows_are_refused_with_the_limit():
    for codec, request in (
        (v2(), {"inputs": [tensor([1.0] * 303, (101, 3))]}),
        (v1(), {"instances": [[1, 2, 3]] * 101}),
        (named(), {"instances": [{"a": 1, "b": 2, "c": 3}] * 101}),
    ):
        error = refusal(codec, request)
        assert (error.status, error.code) == (413, "too_many_rows")
        assert "at most 100" in str(error)


def test_a_message_does_not_carry_the_clients_megabyte_back():
    assert len(str(refusal(v2(), {"inputs": [tensor(["x" * 100_000, 2, 3])]}))) < 300


def test_v2_answers_in_the_protocols_form():
    query = Query(np.ones((2, 3)), ("predict", "predict_proba"), "7")
    outputs = {"predict": np.array(["no", "yes"]), "predict_proba": np.array([[0.75, 0.25], [0.5, 0.5]])}
    assert orjson.loads(v2().encode(query, outputs)) == {
        "model_name": "iris",
        "model_version": "v1",
        "id": "7",
        "outputs": [
            {"name": "predict", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]},
            {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.75, 0.25, 0.5, 0.5]},
        ],
    }


def test_a_prediction_that_json_cannot_hold_is_null():
    answer = v2().encode(Query(np.ones((2, 3)), ("predict",)), {"predict": np.array([np.nan, np.inf])})
    assert orjson.loads(answer)["outputs"][0]["data"] == [None, None]


def test_v1_reads_lists_and_objects():
    assert v1().decode(b'{"instances":[[1,2,3],[4,5,6]]}').rows.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert v1().decode(b'{"instances":[{"c":3,"a":1,"b":2}]}').rows.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({}, "missing_input", "instances"),
        ({"instances": 3}, "invalid_request", "a list"),
        ({"instances": []}, "empty_batch", "at least one"),
        ({"instances": [[]]}, "invalid_shape", "instances[0] has 0 values"),
        ({"instances": [1, 2, 3]}, "invalid_shape", "instances[0] must be a list"),
        ({"instances": [[1, 2, 3], [1, 2]]}, "invalid_shape", "instances[1] has 2 values"),
        ({"instances": [[1, 2, 3], {"a": 1}]}, "invalid_shape", "instances[1] must be a list, not an object"),
        ({"instances": [[1, 2, 3], [1, "2", 3]]}, "invalid_datatype", "instances[1], column b"),
        ({"instances": [[1, 2, [3]]]}, "invalid_shape", "column c"),
        ({"instances": [{"a": 1, "b": 2, "c": 3}, [1, 2, 3]]}, "invalid_request", "instances[1]"),
        ({"instances": [{"a": 1, "b": 2}]}, "missing_input", "instances[0]: c missing"),
    ],
)
def test_v1_refuses_what_is_no_list_of_rows(request_, code, words):
    error = refusal(v1(), request_)
    assert (error.status, error.code) == (400, code)
    assert words in str(error)


def test_v1_refuses_an_empty_row_when_the_width_is_unknown():
    assert refusal(v1(features=(), width=None), {"instances": [[]]}).code == "invalid_shape"


def test_v1_answers_one_prediction_per_instance():
    assert v1().encode(Query(np.ones((2, 3)), ("predict",)), {"predict": np.array([1, 0])}) == b'{"predictions":[1,0]}'


def test_named_fields_make_one_row_or_several():
    single = named().decode(b'{"b":2,"a":1,"c":3}')
    assert (single.rows.tolist(), single.outputs, single.echo) == ([[1, 2, 3]], ("predict", "predict_proba"), True)
    several = named().decode(b'{"instances":[{"a":1,"b":2,"c":3}]}')
    assert (several.rows.tolist(), several.echo) == ([[1, 2, 3]], False)


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"a": 1, "b": 2}, "missing_input", "row[0]: c missing; needed: a, b, c"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "unknown_input", '"d" unknown'),
        ({"a": 1, "b": 2, "c": "3"}, "invalid_datatype", "row[0], column c must be FP64, not text"),
        ({"a": 1, "b": 2, "c": None}, "invalid_datatype", "null"),
        ({"instances": 3}, "invalid_request", "a list"),
        ({"instances": []}, "empty_batch", "at least one"),
        ({"instances": [3]}, "invalid_request", "instances[0] must be an object"),
    ],
)
def test_named_refuses_what_are_not_the_models_fields(request_, code, words):
    error = refusal(named(), request_)
    assert (error.status, error.code) == (400, code)
    assert words in str(error)


def test_named_says_how_to_declare_names_when_there_are_none():
    error = refusal(named(features=()), {"a": 1})
    assert (error.status, error.code) == (400, "no_feature_names")
    assert "spec.model.inputs" in str(error)


def test_named_answers_one_row_plainly_and_several_as_lists():
    outputs = {"predict": np.array([1]), "predict_proba": np.array([[0.25, 0.75]])}
    names = ("predict", "predict_proba")
    assert orjson.loads(named().encode(Query(np.ones((1, 3)), names, echo=True), outputs)) == {
        "prediction": 1,
        "probabilities": {"no": 0.25, "yes": 0.75},
        "model_version": "v1",
    }
    assert orjson.loads(named().encode(Query(np.ones((1, 3)), names, echo=False), outputs)) == {
        "predictions": [1],
        "probabilities": [{"no": 0.25, "yes": 0.75}],
        "model_version": "v1",
    }
