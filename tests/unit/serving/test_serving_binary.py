"""The binary tensor extension of v2: what stands behind the JSON, and what is refused in which words."""

import struct

import numpy as np
import orjson
import pytest

from serving.errors import RequestError
from serving.protocol.base import Mixed, Query
from serving.protocol.table import Table
from serving.protocol.v2 import V2Codec
from serving.runtimes import Answer, OutputSpec, Signature
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "INT64", (-1,)), OutputSpec("predict_proba", "FP64", (-1, 2)))
NAMES = tuple(map(InputSpec, "abc"))
ROW = np.array([[1.0, 2.0, 3.0]])


def table_codec(features=NAMES, width=3):
    signature = Signature("test", width, features, InputSpec("input-0"), OUTPUTS)
    return V2Codec("iris", "v1", signature, Table(signature, max_rows=100))


def part(datatype, raw, shape=(1, 3), name="x", **parameters):
    parameters = {"binary_data_size": len(raw), **parameters}
    return {"name": name, "shape": list(shape), "datatype": datatype, "parameters": parameters}


def decode(codec, inputs, raw, **more):
    head = orjson.dumps({"inputs": inputs, **more})
    return codec.decode(head + raw, str(len(head)).encode())


def refusal(codec, inputs, raw, **more):
    with pytest.raises(RequestError) as caught:
        decode(codec, inputs, raw, **more)
    return caught.value


def entries(*texts):
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def apart(mixed):
    """The JSON of an answer, and the bytes behind it."""
    assert isinstance(mixed, Mixed)
    return orjson.loads(mixed.content[: mixed.json_bytes]), mixed.content[mixed.json_bytes :]


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_numbers_and_booleans_of_every_datatype_are_read_as_little_endian(kind):
    names = {"f": "FP", "i": "INT", "u": "UINT"}
    datatype = "BOOL" if kind == "?" else f"{names[kind[0]]}{int(kind[1]) * 8}"
    raw = np.array([1, 0, 1]).astype("?" if kind == "?" else f"<{kind}").tobytes()
    query = decode(table_codec(), [part(datatype, raw)], raw)
    assert (query.rows.tolist(), query.rows.dtype) == ([[1, 0, 1]], np.float64)


def test_a_brain_float_is_widened():
    raw = bytes.fromhex("c03f 00c0 4940")
    assert decode(table_codec(), [part("BF16", raw)], raw).rows.tolist() == [[1.5, -2, 3.140625]]


def test_several_inputs_follow_each_other_and_may_stand_beside_json():
    a, c = np.array([1.0, 4.0]).tobytes(), np.array([3, 6], np.int16).tobytes()
    json = {"name": "b", "shape": [2], "datatype": "FP64", "data": [2, 5]}
    inputs = [part("INT16", c, (2, 1), "c"), json, part("FP64", a, (2,), "a")]
    assert decode(table_codec(), inputs, c + a).rows.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_text_is_read_by_its_lengths():
    features = (InputSpec("a", "BYTES"), InputSpec("b", "BYTES"))
    raw = entries("ü".encode(), b"")
    query = decode(table_codec(features, 2), [part("BYTES", raw, (1, 2))], raw)
    assert query.rows.tolist() == [["ü", ""]]


def test_base64_in_json_is_text_to_a_table():
    one = {"name": "a", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, "data": ["w7w="]}
    codec = table_codec((InputSpec("a", "BYTES"),), 1)
    assert codec.decode(orjson.dumps({"inputs": [one]})).rows.tolist() == [["ü"]]
    for data, words in ((["w7w"], "is not base64"), ([7], "is not base64"), (["/w=="], "must be text in UTF-8")):
        with pytest.raises(RequestError, match=words):
            codec.decode(orjson.dumps({"inputs": [{**one, "data": data}]}))


@pytest.mark.parametrize(
    ("one", "raw", "code", "words"),
    [
        (part("FP64", ROW.tobytes()), ROW.tobytes()[:-1], "invalid_request", "x has 23 bytes left"),
        (part("FP64", ROW.tobytes()), ROW.tobytes() + b"12", "invalid_request", "2 bytes behind the JSON"),
        (part("FP32", ROW.tobytes()), ROW.tobytes(), "invalid_shape", "has 24 bytes; its shape and FP32 need 12"),
        (part("FP64", b"", (1, 3)), b"", "invalid_shape", "need 24"),
        (part("FP64", b"", (0, 3)), b"", "empty_batch", "at least one"),
        (part("FP64", b"", (2**62, 2**62)), b"", "invalid_shape", "has 0 bytes"),
        (part("BOOL", b"\0\1\2"), b"\0\1\2", "invalid_datatype", "must be 0 or 1"),
        (
            part("FP64", (ROW * np.nan).tobytes()),
            (ROW * np.nan).tobytes(),
            "not_finite",
            "x[0], column 0 must be a finite number, not nan",
        ),
        (part("BYTES", entries(b"x")), entries(b"x"), "invalid_shape", "has 1 entries; its shape needs 3"),
        (part("BYTES", b"\0\0"), b"\0\0", "invalid_shape", "entry 0 ends beyond"),
        (part("BYTES", b"\xff\xff\xff\xffx"), b"\xff\xff\xff\xffx", "invalid_shape", "entry 0 ends beyond"),
        (part("BYTES", entries(b"1", b"2", b"3")), b"", "invalid_request", "0 bytes left"),
        (part("BYTES", entries(b"", b"", b"", b"")), entries(b"", b"", b"", b""), "invalid_shape", "3 entries and"),
        (part("BYTES", entries(b"", b"", b"")), entries(b"", b"", b""), "invalid_datatype", "BYTES was sent"),
        (part("FP64", b"", binary_data_size=-1), b"", "invalid_request", "a count of bytes"),
        (part("FP64", b"", binary_data_size=True), b"", "invalid_request", "a count of bytes"),
        (part("FP64", b"", binary_data_size=2**63), b"", "invalid_request", "left"),
        ({**part("FP64", b""), "parameters": [1]}, b"", "invalid_request", "parameters must be an object"),
        ({**part("FP64", b""), "data": "AAAA"}, b"", "invalid_request", "data must be a list"),
        ({**part("FP64", b""), "parameters": None}, b"", "invalid_request", "binary_data_size"),
        (part("FP64", b"", binary_data_size=None, shared_memory_region="r"), b"", "invalid_request", "shared memory"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(one, raw, code, words):
    error = refusal(table_codec(), [one], raw)
    assert (error.status, error.code) == (400, code)
    assert words in str(error)


@pytest.mark.parametrize("header", [b"", b"-1", b"1e3", b"\xc2\xb2", b"9" * 5_000, b"1000", b"0x10"])
def test_a_header_that_is_no_count_within_the_body_is_refused(header):
    with pytest.raises(RequestError, match="inference-header-content-length"):
        table_codec().decode(b'{"inputs": []}', header)


def test_bytes_without_the_header_are_refused():
    with pytest.raises(RequestError, match="no header inference-header-content-length"):
        table_codec().decode(orjson.dumps({"inputs": [part("FP64", ROW.tobytes())]}))


def test_a_number_that_does_not_fit_the_models_datatype_is_refused_and_not_bent():
    signature = Signature("test", None, (), InputSpec("x", "INT8"), OUTPUTS)
    codec = V2Codec("m", "v", signature, Table(signature, 10))
    raw = np.array([[1, 300]], np.int64).tobytes()
    assert (refusal(codec, [part("INT64", raw, (1, 2))], raw).code) == "out_of_range"
    signature = Signature("test", None, (), InputSpec("x", "FP32"), OUTPUTS)
    codec = V2Codec("m", "v", signature, Table(signature, 10))
    raw = np.array([[1, 1e300]]).tobytes()
    assert "x[0], column 1 must be FP32; 1e+300 does not fit" in str(refusal(codec, [part("FP64", raw, (1, 2))], raw))
    json = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 1e300]}
    assert refusal(codec, [json], b"").code == "out_of_range"


def query_for(**request):
    raw = ROW.tobytes()
    return decode(table_codec(), [part("FP64", raw)], raw, **request)


def test_all_outputs_come_as_bytes_when_that_is_asked_for():
    query = query_for(id="7", parameters={"binary_data_output": True})
    head, raw = apart(table_codec().encode(query, {"predict": np.array([3, 4])}))
    assert head == {
        "model_name": "iris",
        "model_version": "v1",
        "id": "7",
        "outputs": [
            {"name": "predict", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}},
        ],
    }
    assert raw == np.array([3, 4], "<i8").tobytes()


def test_an_output_may_be_wanted_the_other_way():
    values = {"predict": np.array(["no", "ü"]), "predict_proba": np.array([[0.25, 0.75]])}
    outputs = [{"name": "predict", "parameters": {"binary_data": True}}, {"name": "predict_proba", "parameters": {}}]
    head, raw = apart(table_codec().encode(query_for(outputs=outputs), values))
    assert [("data" in output) for output in head["outputs"]] == [False, True]
    assert raw == entries(b"no", "ü".encode())
    outputs = [{"name": "predict", "parameters": {"binary_data": False}}, {"name": "predict_proba"}]
    query = query_for(outputs=outputs, parameters={"binary_data_output": True})
    head, raw = apart(table_codec().encode(query, values))
    assert (head["outputs"][0]["data"], raw) == (["no", "ü"], np.array([0.25, 0.75]).tobytes())


def test_parameters_that_are_not_known_are_ignored_and_leave_the_answer_json():
    outputs = [{"name": "predict", "parameters": {"content_type": "np"}}]
    query = query_for(outputs=outputs, parameters={"priority": 1, "binary_data_output": False}, id="7")
    assert query.echo == "7"
    assert isinstance(table_codec().encode(query, {"predict": np.array([3])}), bytes)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"parameters": {"binary_data_output": 1}}, "invalid_request"),
        ({"parameters": "x"}, "invalid_request"),
        ({"outputs": [{"name": "predict", "parameters": {"binary_data": "yes"}}]}, "invalid_request"),
        ({"outputs": [{"name": "predict", "parameters": 3}]}, "invalid_request"),
        ({"outputs": [{"name": "predict", "parameters": {"classification": 2}}]}, "unsupported_parameter"),
        ({"outputs": [{"name": "predict", "parameters": {"shared_memory_region": "r"}}]}, "unsupported_parameter"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(request_, code):
    raw = ROW.tobytes()
    error = refusal(table_codec(), [part("FP64", raw)], raw, **request_)
    assert (error.status, error.code) == (400, code)


def test_what_a_model_says_of_its_outputs_stands_beside_them():
    answer = Answer({"predict": np.array([1])}, {"cost": 3}, {"predict": {"content_type": "np"}})
    encoded = orjson.loads(table_codec().encode(Query(ROW, ("predict",)), answer))
    assert (encoded["parameters"], encoded["outputs"][0]["parameters"]) == ({"cost": 3}, {"content_type": "np"})
    with pytest.raises(RequestError, match="no JSON") as caught:
        table_codec().encode(Query(ROW, ("predict",)), Answer({"predict": np.array([1])}, {"bad": object()}))
    assert (caught.value.status, caught.value.code) == (500, "model_error")


def test_bytes_that_are_no_text_are_answered_in_base64():
    values = np.array([b"\xff", "x"], object)
    (output,) = orjson.loads(table_codec().encode(Query(ROW, ("predict",)), {"predict": values}))["outputs"]
    assert output == {
        "name": "predict",
        "shape": [2],
        "datatype": "BYTES",
        "data": ["/w==", "eA=="],
        "parameters": {"content_type": "base64"},
    }
    values = np.array([b"abc", "x"], object)
    (output,) = orjson.loads(table_codec().encode(Query(ROW, ("predict",)), {"predict": values}))["outputs"]
    assert (output["data"], "parameters" in output) == (["abc", "x"], False)
