"""Calls over gRPC: what becomes of the values, of everything beside them, and of what makes no sense."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from grpckit import ANY, FIELDS, NAMED, TABLE, answer_of, body, codec, request, tensors, values_of

from serving.datatypes import DTYPES
from serving.errors import RequestError
from serving.protocol import v2_grpc_messages as messages
from serving.protocol.v2_grpc import other_calls
from serving.protocol.v2_grpc_frames import failure, frame, unframe
from serving.runtimes import Answer

PROTOCOL = Path(messages.__file__).parent
VALUES = {
    "BOOL": [True, False],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "UINT8": [0, 255],
    "UINT16": [0, 2**16 - 1],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "FP16": [1.5, -65504.0],
    "FP32": [1.5, 2.0**127],
    "FP64": [1.5, 1.0e308],
    "BYTES": ["text", "größer"],
}


def as_raw(datatype):
    if datatype == "BYTES":
        return b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in VALUES[datatype])
    return np.array(VALUES[datatype], DTYPES[datatype]).tobytes()


def refusal(signature, message, max_rows=100):
    with pytest.raises(RequestError) as caught:
        codec(signature, max_rows).decode(body(message))
    return caught.value.status, caught.value.code, str(caught.value)


# values


@pytest.mark.parametrize("datatype", FIELDS)
def test_every_datatype_with_contents_arrives_as_it_was_sent(datatype):
    sent = [value.encode() for value in VALUES[datatype]] if datatype == "BYTES" else VALUES[datatype]
    query = codec(tensors(("t", datatype, (-1,)))).decode(body(request(("t", datatype, [2], sent))))
    array = query.rows.arrays["t"]
    assert array.dtype == DTYPES[datatype]
    assert array.tolist() == VALUES[datatype]


@pytest.mark.parametrize("datatype", VALUES)
def test_every_datatype_arrives_as_bytes_and_goes_back_as_bytes(datatype):
    of_model = codec(tensors(("t", datatype, (-1,))))
    query = of_model.decode(body(request(("t", datatype, [2], as_raw(datatype)))))
    array = query.rows.arrays["t"]
    assert (array.dtype, array.tolist()) == (DTYPES[datatype], VALUES[datatype])
    answer = answer_of(of_model.encode(query, {"y": array}))
    assert (answer.outputs[0].datatype, [*answer.outputs[0].shape]) == (datatype, [2])
    assert [*answer.raw_output_contents] == [as_raw(datatype)]
    assert not answer.outputs[0].HasField("contents")


@pytest.mark.parametrize("datatype", FIELDS)
def test_whoever_sends_contents_gets_contents(datatype):
    of_model = codec(tensors(("t", "FP64", (-1,))))
    query = of_model.decode(body(request(("t", "FP64", [2], [0.0, 0.0]))))
    values = np.array(VALUES[datatype], DTYPES[datatype])
    answer = answer_of(of_model.encode(query, {"y": values}))
    assert not answer.raw_output_contents
    got = values_of(answer)["y"].tolist()
    assert ([each.decode() for each in got] if datatype == "BYTES" else got) == VALUES[datatype]
    assert answer.outputs[0].datatype == datatype


def test_bfloat16_comes_as_bytes_and_becomes_fp32():
    raw = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    query = codec(tensors(("t", "FP32", (-1,)))).decode(body(request(("t", "BF16", [2], raw))))
    assert query.rows.arrays["t"].tolist() == [1.5, -2.0]


def test_half_precision_is_answered_as_bytes_although_contents_were_sent_for_it_has_no_field():
    of_model = codec(tensors(("t", "FP64", (-1,))))
    query = of_model.decode(body(request(("t", "FP64", [1], [0.0]))))
    answer = answer_of(of_model.encode(query, {"y": np.array([1.5], np.float16)}))
    assert [*answer.raw_output_contents] == [np.float16(1.5).tobytes()]


def test_bytes_that_are_no_text_pass_through_a_model_that_takes_them():
    of_model = codec(tensors(("t", "BYTES", (-1,))))
    query = of_model.decode(body(request(("t", "BYTES", [2], [b"\xff\x00", b"text"]))))
    assert query.rows.arrays["t"].tolist() == [b"\xff\x00", "text"]
    answer = answer_of(of_model.encode(query, {"y": query.rows.arrays["t"]}))
    assert [*answer.outputs[0].contents.bytes_contents] == [b"\xff\x00", b"text"]


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0], np.array([1.0, 2.0, 3.0, 4.0]).tobytes()])
def test_a_table_comes_as_one_tensor(values):
    query = codec(TABLE).decode(body(request(("anything", "FP64", [2, 2], values))))
    assert query.rows.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert query.outputs == ("predict",)


def test_a_table_comes_as_one_tensor_per_column_in_any_order():
    query = codec(NAMED).decode(body(request(("b", "FP32", [2], [3.0, 4.0]), ("a", "FP32", [2, 1], [1.0, 2.0]))))
    assert query.rows.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_outputs_are_those_that_were_asked_for_each_once():
    of_model = codec(TABLE)
    message = request(("x", "FP64", [1, 2], [1.0, 2.0]), outputs=("score", "predict", "score"))
    query = of_model.decode(body(message))
    assert query.outputs == ("score", "predict")
    answer = answer_of(of_model.encode(query, {"predict": np.array([1]), "score": np.array([[0.5, 0.5]])}))
    assert [(output.name, [*output.shape]) for output in answer.outputs] == [("score", [1, 2]), ("predict", [1])]


# what stands beside the values


def test_the_id_is_echoed_and_the_version_named():
    of_model = codec(TABLE)
    for identity in ("seven", ""):
        query = of_model.decode(body(request(("x", "FP64", [1, 2], [1.0, 2.0]), id=identity, model_name="m")))
        answer = answer_of(of_model.encode(query, {"predict": np.array([1])}))
        assert (answer.id, answer.model_name, answer.model_version) == (identity, "m", "v1")


def test_a_model_that_takes_requests_whole_sees_parameters_and_id_and_answers_with_its_own():
    of_model = codec(ANY)
    message = request(("x", "INT8", [1], [1]), id="7")
    for name, choice in {
        "text": {"string_param": "t"},
        "flag": {"bool_param": True},
        "count": {"int64_param": -3},
        "ratio": {"double_param": 0.5},
        "large": {"uint64_param": 2**64 - 1},
        "unset": {},
    }.items():
        message.parameters[name].CopyFrom(type(message.parameters[name])(**choice))
    message.inputs[0].parameters["content_type"].string_param = "np"
    query = of_model.decode(body(message))
    assert query.rows.parameters == {"text": "t", "flag": True, "count": -3, "ratio": 0.5, "large": 2**64 - 1}
    assert query.rows.input_parameters == {"x": {"content_type": "np"}}
    assert query.rows.id == "7"
    own = {"text": "t", "flag": False, "count": 2**63 - 1, "ratio": 1.5, "huge": 2**70, "none": None, "list": [1]}
    answer = answer_of(of_model.encode(query, Answer({"y": np.array([1])}, own, {"y": {"content_type": "np"}})))
    said = {name: getattr(each, each.WhichOneof("parameter_choice")) for name, each in answer.parameters.items()}
    assert said == {"text": "t", "flag": False, "count": 2**63 - 1, "ratio": 1.5, "huge": str(2**70), "list": "[1]"}
    assert answer.outputs[0].parameters["content_type"].string_param == "np"


# what makes no sense

ONE = ("x", "FP64", [1, 2], [1.0, 2.0])


@pytest.mark.parametrize(
    ("signature", "message", "status", "code", "text"),
    [
        (TABLE, request(), 400, "missing_input", "at least one input"),
        (TABLE, request(ONE, model_name="n"), 404, "unknown_model", 'no model "n" here; this is "m"'),
        (TABLE, request(ONE, model_version="2"), 404, "unknown_version", 'no version "2" here; this is "v1"'),
        (TABLE, request(("x", "FP64", [1, 2], [1.0])), 400, "invalid_shape", "1 values in fp64_contents"),
        (TABLE, request(("x", "FP64", [1, 2], b"12345678")), 400, "invalid_shape", "8 bytes"),
        (TABLE, request(("x", "FP64", [-1, 2], [])), 400, "invalid_shape", "none below 0"),
        (TABLE, request(("x", "FP64", [1] * 33, [1.0])), 400, "invalid_shape", "at most 32"),
        (TABLE, request(("x", "FP64", [2**62, 2**62], [])), 400, "invalid_shape", "0 values"),
        (TABLE, request(("x", "FP64", [0, 2], [])), 400, "empty_batch", "at least one"),
        (TABLE, request(("x", "FP64", [200, 2], [0.0] * 400)), 413, "too_many_rows", "at most 100"),
        (TABLE, request(("x", "BYTES", [1, 2], [b"a", b"b"])), 400, "invalid_datatype", "must be FP64"),
        (TABLE, request(("x", "FP64", [1, 2], [1.0, float("nan")])), 400, "not_finite", "column 1"),
        (TABLE, request(("x" * 257, "FP64", [1, 2], [1.0, 2.0])), 400, "invalid_request", "256"),
        (TABLE, request(ONE, outputs=("nothing",)), 400, "unknown_output", "the model has predict, score"),
        (ANY, request(ONE, outputs=("",)), 400, "unknown_output", "outputs with names"),
        (NAMED, request(("a", "FP32", [1], [1.0])), 400, "missing_input", "b missing"),
        (tensors(("t", "INT8", (-1,))), request(("t", "INT8", [1], [300])), 400, "out_of_range", "300"),
        (tensors(("t", "INT8", (-1, 2))), request(("t", "INT8", [2], [1, 2])), 400, "invalid_shape", "takes [-1, 2]"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(signature, message, status, code, text):
    found = refusal(signature, message)
    assert found[:2] == (status, code)
    assert text in found[2]


def test_contents_beside_bytes_and_bytes_without_an_input_are_refused():
    both = request(("x", "FP64", [1, 2], bytes(16)))
    both.inputs[0].contents.fp64_contents.extend([1.0, 2.0])
    assert refusal(TABLE, both)[1:] == (
        "invalid_request",
        "input x has contents, and raw_input_contents is there as well",
    )
    more = request(("x", "FP64", [1, 2], bytes(16)))
    more.raw_input_contents.append(b"")
    assert refusal(TABLE, more)[2] == "raw_input_contents has 2 entries for 1 inputs"
    unknown = request(ONE)
    unknown.inputs[0].datatype = "FP8"
    assert refusal(TABLE, unknown)[1] == "invalid_datatype"
    half = request(("x", "FP64", [1, 2], []))
    half.inputs[0].datatype = "FP16"
    assert refusal(TABLE, half)[2] == "input x: FP16 comes in raw_input_contents only"


@pytest.mark.parametrize("extension", ["classification", "shared_memory_region"])
def test_extensions_that_are_not_spoken_are_refused(extension):
    message = request(ONE, outputs=("predict",))
    message.outputs[0].parameters[extension].int64_param = 1
    assert refusal(TABLE, message)[1] == "unsupported_parameter"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_frame"),
        (b"\0\0\0\0", 400, "invalid_frame"),
        (b"\0\0\0\0\2\0", 400, "invalid_frame"),
        (b"\0\0\0\0\0\0", 400, "invalid_frame"),
        (b"\7\0\0\0\0", 400, "invalid_frame"),
        (b"\1\0\0\0\0", 415, "unsupported_encoding"),
        (frame(b"\xff"), 400, "invalid_message"),
        (frame(b"\x0a\x01\xff"), 400, "invalid_message"),
    ],
    ids=["empty", "short", "cut", "long", "flag", "compressed", "no message", "no UTF-8"],
)
def test_what_is_no_frame_or_no_message_is_refused(content, status, code):
    for variant in (content, bytearray(content)):
        with pytest.raises(RequestError) as caught:
            codec(TABLE).decode(variant)
        assert (caught.value.status, caught.value.code) == (status, code)


def test_an_output_that_the_model_did_not_give_is_an_error():
    of_model = codec(ANY)
    query = of_model.decode(body(request(ONE, outputs=("z",))))
    with pytest.raises(RequestError, match='no output "z"; the model gave y'):
        of_model.encode(query, {"y": np.array([1])})


# other calls and failures


def test_the_other_methods_answer():
    metadata = {
        "name": "m",
        "versions": ["v1"],
        "platform": "test",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": (-1,)}],
    }
    ready = True
    calls = other_calls("m", "v1", "0.1", metadata, lambda: ready)

    def ask(method, **fields):
        asked = getattr(messages, f"{method}Request", None)
        content = calls[method](frame(asked(**fields).SerializeToString() if asked else b""))
        return getattr(messages, f"{method}Response").FromString(unframe(content))

    assert ask("ServerLive").live
    assert (ask("ServerMetadata").name, ask("ServerMetadata").version) == ("tidegate", "0.1")
    described = ask("ModelMetadata", name="m")
    assert (described.platform, [*described.versions]) == ("test", ["v1"])
    assert [*described.inputs[0].shape] == [-1, 2]
    assert ask("ServerReady").ready
    assert ask("ModelReady", name="m", version="v1").ready
    ready = False
    assert not ask("ServerReady").ready
    assert not ask("ModelReady").ready
    for method in ("ModelReady", "ModelMetadata"):
        with pytest.raises(RequestError, match="no model"):
            ask(method, name="n")
    for call in calls.values():
        with pytest.raises(RequestError):
            call(b"")


@pytest.mark.parametrize(
    ("status", "grpc_status"),
    [(400, 3), (404, 5), (405, 12), (408, 4), (413, 8), (415, 12), (417, 3), (431, 8), (500, 13), (503, 14), (504, 4)],
)
def test_a_failure_is_told_in_grpcs_own_way(status, grpc_status):
    headers = failure(RequestError(status, "some_code", "100 % größer\r\n", b"retry-after: 1\r\n"))
    assert headers == (
        b"grpc-status: %d\r\ngrpc-message: 100 %%25 gr%%C3%%B6%%C3%%9Fer%%0D%%0A\r\n"
        b"tidegate-code: some_code\r\nretry-after: 1\r\n" % grpc_status
    )


def test_a_message_of_a_failure_is_cut_where_a_character_ends():
    headers = failure(RequestError(400, "c", "€" * 10_000))
    assert len(headers) < 8_000
    assert b"%E2%82%AC\r\n" in headers


# the messages themselves


def test_the_descriptors_are_those_of_the_proto_file(tmp_path):
    made = tmp_path / "made.binpb"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTOCOL), f"--descriptor_set_out={made}"]
    subprocess.run([*protoc, "v2_grpc.proto"], check=True)
    assert made.read_bytes() == (PROTOCOL / "v2_grpc.binpb").read_bytes(), "run `make proto`"
