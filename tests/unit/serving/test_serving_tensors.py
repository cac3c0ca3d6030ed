"""Models of named tensors: what each protocol reads for them, refuses, and answers."""

import numpy as np
import orjson
import pytest

from serving.errors import RequestError
from serving.protocol.base import Query, by_name
from serving.protocol.named import NamedCodec
from serving.protocol.table import Table
from serving.protocol.tensors import TensorReader, make_reader
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature, Tensors, TensorSpec
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("mean", "FP64", (-1,)), OutputSpec("label", "BYTES", (-1,)))
IMAGE = TensorSpec("image", "FP32", (-1, 2, -1))
COUNT = TensorSpec("count", "INT32", (-1,))


def signature(*tensors, joint=True, outputs=OUTPUTS):
    described = Signature("test", None, (), InputSpec("x"), outputs)
    return Signature(
        **{name: getattr(described, name) for name in ("platform", "width", "features", "tensor", "outputs")},
        tensors=tensors,
        any_tensors=not tensors,
        joint=joint,
    )


BOTH = signature(IMAGE, COUNT)
ONE = signature(IMAGE)
ANY = signature(joint=False, outputs=())


def codec(kind, described):
    reader = make_reader(described, 100)
    if kind is V2Codec:
        return V2Codec("m", "v1", described, reader)
    return NamedCodec("v1", described, reader) if kind is NamedCodec else V1Codec(described, reader)


def decode(kind, described, request):
    return codec(kind, described).decode(orjson.dumps(request))


def sent(name, data, shape, datatype="FP64", **more):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": data, **more}


def values(query):
    assert isinstance(query.rows, Tensors)
    return {name: (array.dtype.name, array.tolist()) for name, array in query.rows.arrays.items()}


NESTED = [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("data", [NESTED, [1, 2, 3, 4, 5, 6]])
def test_a_tensor_of_any_rank_is_flat_or_nested(data):
    query = decode(V2Codec, BOTH, {"inputs": [sent("count", [7], [1], "INT64"), sent("image", data, [1, 2, 3])]})
    assert values(query) == {"image": ("float32", NESTED), "count": ("int32", [7])}
    assert list(query.rows.arrays) == ["image", "count"]
    assert (len(query.rows), query.outputs) == (1, ("mean", "label"))


def test_only_the_outputs_that_are_named_are_asked_of_the_model():
    request = {"inputs": [sent("image", NESTED, [1, 2, 3])], "outputs": [{"name": "label"}]}
    assert decode(V2Codec, ONE, request).outputs == ("label",)


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ([sent("image", NESTED, [1, 2, 3])], "missing_input", "count missing; needed: image, count"),
        ([sent(name, [1], [1]) for name in ("image", "count", "more")], "unknown_input", '"more" unknown'),
        ([sent("count", [1], [1])] * 2, "duplicate_input", "count comes twice"),
        ([sent("image", [1, 2], [1, 2]), sent("count", [1], [1], "INT8")], "invalid_shape", "takes [-1, 2, -1]"),
        ([sent("image", [1], [1, 1, 1]), sent("count", [1], [1], "INT8")], "invalid_shape", "has shape [1, 1, 1]"),
        ([sent("image", [1, 2], [1, 2, 1]), sent("count", [1], [1])], "invalid_datatype", "count must be INT32"),
        ([sent("image", [1, 2], [1, 2, 1]), sent("count", [2**31], [1], "INT64")], "out_of_range", "count, value 0"),
        ([sent("image", [1, 1e300], [1, 2, 1]), sent("count", [1], [1], "INT8")], "out_of_range", "image, value 1"),
        ([sent("image", [1, 2], [1, 2, 1]), sent("count", [1, 2], [2], "INT8")], "invalid_shape", "image 1, count 2"),
        ([sent("image", [], [0, 2, 1]), sent("count", [], [0], "INT8")], "empty_batch", "no rows"),
        ([sent("image", [1], []), sent("count", [], [0], "INT8")], "invalid_shape", "cannot be []"),
        ([sent("image", [], [1, 2, 0]), sent("count", [None], [1], "INT8")], "invalid_datatype", "not null"),
        ([sent("image", [[[1], [2, 3]]], [1, 2, 1]), sent("count", [1], [1])], "invalid_shape", "list 1 of axis 1"),
        ([sent("image", [[1, 2]], [1, 2, 1, 1]), sent("count", [1], [1])], "invalid_shape", "list 0 of axis 1"),
        ([sent("image", [1], [1] * 33)], "invalid_shape", "at most 32"),
    ],
)
def test_v2_refuses_tensors_that_the_model_does_not_take(inputs, code, words):
    with pytest.raises(RequestError) as caught:
        decode(V2Codec, BOTH, {"inputs": inputs})
    assert (caught.value.status, caught.value.code) == (400, code)
    assert words in str(caught.value)


def test_rows_are_limited_where_requests_share_calls_and_only_there():
    request = {"inputs": [sent("x", [0.5] * 101, [101])]}
    with pytest.raises(RequestError, match="at most 100") as caught:
        decode(V2Codec, signature(TensorSpec("x", "FP64", (-1,))), request)
    assert caught.value.status == 413
    assert len(decode(V2Codec, ANY, request).rows) == 101


def test_a_whole_request_keeps_its_parameters_its_id_and_base64_as_it_was_sent():
    request = {
        "id": "7",
        "parameters": {"deep": {"er": [1]}},
        "inputs": [
            sent("a", ["AAAA"], [1], "BYTES", parameters={"content_type": "base64"}),
            sent("b", [], [2, 0], "INT8", parameters=None),
            sent("c", [True], [], "BOOL"),
        ],
        "outputs": [{"name": "whatever"}],
    }
    query = decode(V2Codec, ANY, request)
    tensors = query.rows
    assert (tensors.id, tensors.parameters, query.outputs) == ("7", {"deep": {"er": [1]}}, ("whatever",))
    assert tensors.input_parameters == {"a": {"content_type": "base64"}}
    assert values(query) == {"a": ("object", ["AAAA"]), "b": ("int8", [[], []]), "c": ("bool", True)}


def test_what_shares_a_call_has_no_parameters_and_base64_is_read():
    words = signature(TensorSpec("a", "BYTES", (-1,)))
    one = sent("a", ["AAAA", "w7w="], [2], "BYTES", parameters={"content_type": "base64", "mine": 1})
    query = decode(V2Codec, words, {"id": "7", "parameters": {"mine": 2}, "inputs": [one]})
    assert query.rows.arrays["a"].tolist() == ["\0\0\0", "ü"]
    assert (query.rows.parameters, query.rows.input_parameters, query.rows.id) == ({}, {}, None)


@pytest.mark.parametrize("shape", [[0, 2**40, 2**40], [0, 2**63], [2**63, 0]])
def test_a_shape_that_no_array_can_have_is_refused(shape):
    with pytest.raises(RequestError) as caught:
        decode(V2Codec, ANY, {"inputs": [sent("x", [], shape)]})
    assert (caught.value.status, caught.value.code) == (400, "invalid_shape")


@pytest.mark.parametrize(
    ("described", "instances", "wanted"),
    [
        (ONE, NESTED, {"image": ("float32", NESTED)}),
        (ONE, [{"image": NESTED[0]}], {"image": ("float32", NESTED)}),
        (
            BOTH,
            [{"count": 1, "image": [[1], [2]]}, {"image": [[3], [4]], "count": 2}],
            {"image": ("float32", [[[1], [2]], [[3], [4]]]), "count": ("int32", [1, 2])},
        ),
        (ANY, [[1, 2], [3, 4]], {"input-0": ("int64", [[1, 2], [3, 4]])}),
        (ANY, [[1, 2.5]], {"input-0": ("float64", [[1, 2.5]])}),
        (ANY, [{"a": "x", "b": True}], {"a": ("object", ["x"]), "b": ("bool", [True])}),
    ],
)
def test_rows_of_v1_and_of_named_fields_become_tensors(described, instances, wanted):
    assert values(decode(V1Codec, described, {"instances": instances})) == wanted
    if type(instances[0]) is dict:
        assert values(decode(NamedCodec, described, {"instances": instances})) == wanted
        single = {name: (dtype, array[:1]) for name, (dtype, array) in wanted.items()}
        assert values(decode(NamedCodec, described, instances[0])) == single


@pytest.mark.parametrize(
    ("described", "instances", "code", "words"),
    [
        (BOTH, [[1]], "invalid_request", "must be an object that names each of image, count"),
        (BOTH, [{"count": 1}], "missing_input", "instances[0]: image missing"),
        (BOTH, [{"count": 1, "image": [[1], [2]]}, [1]], "invalid_request", "instances[1] must be an object"),
        (ONE, [{"image": [[1], [2]]}, {"image": [[1, 2], [2, 3]]}], "invalid_shape", "beside a list of 1 values"),
        (ONE, [[[1], [2]], 3], "invalid_shape", "there is a number"),
        (ONE, [["x"]], "invalid_shape", "takes [-1, 2, -1]"),
        (ONE, [[["x"], ["y"]]], "invalid_datatype", "input image, value 0 must be FP32"),
        (ONE, [], "empty_batch", "no rows"),
        (ANY, [[1, "x"]], "invalid_datatype", "all numbers, all booleans or all text"),
        (ANY, [{}], "missing_input", "instances[0] is empty"),
        (ANY, [{"a": 1}, {"b": 1}], "invalid_request", "other names"),
        (ANY, [orjson.loads(b"[" * 40 + b"1" + b"]" * 40)], "invalid_shape", "deeper than 32"),
    ],
)
def test_v1_refuses_rows_that_are_not_the_models(described, instances, code, words):
    with pytest.raises(RequestError) as caught:
        decode(V1Codec, described, {"instances": instances})
    assert (caught.value.status, caught.value.code) == (400, code)
    assert words in str(caught.value)


TENSORS = Tensors({"x": np.ones((2, 1))})
ANSWER = {"mean": np.array([0.5, 1.5]), "label": np.array(["a", b"b"], object)}


def test_answers_by_row_are_objects_where_there_are_several_outputs():
    query = Query(TENSORS, ("mean", "label"), echo=False)
    by_row = [{"mean": 0.5, "label": "a"}, {"mean": 1.5, "label": "b"}]
    assert orjson.loads(codec(V1Codec, ONE).encode(query, ANSWER)) == {"predictions": by_row}
    assert orjson.loads(codec(NamedCodec, ONE).encode(query, ANSWER)) == {"predictions": by_row, "model_version": "v1"}
    single = Query(TENSORS, ("mean",), echo=True)
    answer = codec(NamedCodec, ONE).encode(single, {"mean": np.array([[0.5, 1]])})
    assert orjson.loads(answer) == {"prediction": [0.5, 1], "model_version": "v1"}


@pytest.mark.parametrize("other", [np.zeros(3), np.float64(1)])
def test_outputs_without_common_rows_have_no_answer_by_row(other):
    with pytest.raises(RequestError, match="ask it over v2") as caught:
        codec(V1Codec, ANY).encode(Query(TENSORS, ()), {"a": np.zeros(2), "b": np.asarray(other)})
    assert caught.value.code == "not_by_row"


def test_an_output_that_a_model_does_not_give_is_said_to_be_unknown():
    with pytest.raises(RequestError, match='no output "other"; the model gave mean, label') as caught:
        codec(V2Codec, ANY).encode(Query(TENSORS, ("other",)), {**ANSWER})
    assert (caught.value.status, caught.value.code) == (400, "unknown_output")
    (only,) = orjson.loads(codec(V2Codec, ANY).encode(Query(TENSORS, ("mean",)), {**ANSWER}))["outputs"]
    assert only["name"] == "mean"


def test_the_signature_decides_who_reads():
    assert isinstance(make_reader(ONE, 1), TensorReader)
    assert isinstance(make_reader(Signature("test", 2, (), InputSpec("x"), OUTPUTS), 1), Table)


class Name(str):
    """Text that counts how often it is compared."""

    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_finding_the_input_that_comes_twice_takes_no_longer_than_reading_the_names():
    names = [*map(str, range(1000)), "last", "last"]
    with pytest.raises(RequestError, match="input last comes twice"):
        by_name([(Name(name), [0], "BOOL", []) for name in names])
    assert Name.compared < 10 * len(names)
