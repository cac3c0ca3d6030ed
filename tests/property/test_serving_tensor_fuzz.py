"""Whatever a v2 request holds, as JSON or as bytes behind it: it is answered, or refused with a status below 500."""

import http.client
import json
import struct
from math import prod

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.datatypes import DTYPES
from serving.errors import RequestError
from serving.protocol.base import Mixed
from serving.protocol.tensors import make_reader
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature, Tensors, TensorSpec
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec

MAX_ROWS = 5
OUTPUTS = (OutputSpec("predict", "INT64", (-1,)),)
TABLE = Signature("test", None, (), InputSpec("x", "INT16"), OUTPUTS)
COLUMNS = Signature("test", 2, (InputSpec("a", "BYTES"), InputSpec("b", "FP32")), InputSpec("x"), OUTPUTS)
JOINT = Signature(
    "test",
    None,
    (),
    InputSpec("x"),
    OUTPUTS,
    tensors=(TensorSpec("a", "FP16", (-1, 2, -1)), TensorSpec("b", "BYTES", (-1,))),
)
WHOLE = Signature("test", None, (), InputSpec("x"), (), any_tensors=True, joint=False)
SIGNATURES = [TABLE, COLUMNS, JOINT, WHOLE]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)
NAMES = st.sampled_from(["a", "b", "x", "predict", "content_type", "binary_data", "binary_data_output"])
PARAMETERS = st.one_of(
    st.just({"content_type": "base64"}),
    st.just({"classification": 1}),
    st.dictionaries(NAMES, VALUES, max_size=3),
    VALUES,
)
PLANS = {
    TABLE: [("x", "INT16", [2, 2])],
    COLUMNS: [("a", "BYTES", [2]), ("b", "FP32", [2, 1])],
    JOINT: [("a", "FP16", [2, 2, 1]), ("b", "BYTES", [2])],
    WHOLE: [("x", "FP64", [1, 3]), ("a", "BYTES", [2, 2])],
}
"""Inputs that a model takes."""


def mostly(usual, other):
    """A strategy that gives the usual value in three of four cases."""
    return st.sampled_from([True, True, True, False]).flatmap(lambda right: st.just(usual) if right else other)


REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": mostly("7", VALUES),
        "parameters": mostly({"binary_data_output": True}, PARAMETERS),
        "outputs": mostly(
            [{"name": "predict", "parameters": {"binary_data": True}}],
            st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"parameters": PARAMETERS}), max_size=2) | VALUES,
        ),
    },
)


def values_of(datatype, count):
    """As many values as a datatype can have, and as bytes."""
    if datatype == "BYTES":
        texts = st.lists(st.text(max_size=3), min_size=count, max_size=count)
        return texts.map(
            lambda values: (values, b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values))
        )
    dtype = DTYPES.get(datatype, np.dtype(np.uint16)).newbyteorder("<")
    numbers = st.lists(st.integers(0, 1), min_size=count, max_size=count)
    return numbers.map(lambda values: (np.array(values, dtype).tolist(), np.array(values, dtype).tobytes()))


@st.composite
def bodies(draw, signature=WHOLE):
    """A body and the value of its header: mostly what the model takes, with a flaw here and there."""
    inputs, tail = [], b""
    for name, datatype, shape in draw(
        mostly(PLANS[signature], st.lists(st.sampled_from(PLANS[signature]), max_size=3))
    ):
        datatype = draw(mostly(datatype, st.sampled_from([*DTYPES, "BF16", "FP8"])))  # noqa: PLW2901
        shape = draw(mostly(shape, st.lists(st.integers(0, 3), max_size=3)))  # noqa: PLW2901
        data, raw = draw(values_of(datatype, prod(shape)))
        tensor = {"name": draw(mostly(name, st.sampled_from("abx"))), "shape": shape, "datatype": datatype}
        if draw(st.booleans()):
            raw = draw(mostly(raw, st.binary(max_size=24)))
            tensor["parameters"] = {"binary_data_size": draw(mostly(len(raw), st.integers(-1, 2**63) | VALUES))}
            tail += raw
        else:
            tensor["data"] = draw(mostly(data, st.lists(SCALARS, max_size=6) | VALUES))
            tensor["parameters"] = draw(mostly(None, PARAMETERS))
        tensor |= draw(mostly({}, st.dictionaries(st.sampled_from(list(tensor)), VALUES, max_size=1)))
        inputs.append(tensor)
    head = draw(mostly(orjson.dumps({"inputs": inputs, **draw(REQUESTS)}), st.binary(max_size=20)))
    length = draw(mostly(b"%d" % len(head), st.none() | st.binary(max_size=4) | st.just(b"%d" % (len(head) + 1))))
    return head + tail, length


def nested(depth):
    return b"[" * depth + b"]" * depth


TRICKY = [
    # orjson reads deeper nesting than it writes into a message
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP64","data":[' + nested(300) + b"]}]}",
    b'{"inputs":[{"name":"x","shape":[1],"datatype":' + nested(300) + b"}]}",
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP64","data":[1]}],"outputs":[{"name":' + nested(300) + b"}]}",
    b'{"id":' + nested(300) + b',"inputs":[{}]}',
    # no array has such a shape, though it has no entries either
    b'{"inputs":[{"name":"x","shape":[0,1099511627776,1099511627776],"datatype":"INT8","data":[]}]}',
    b'{"inputs":[{"name":"x","shape":[9223372036854775808,0],"datatype":"INT8","data":[]}]}',
    # an infinity that appears where a number is narrowed
    b'{"inputs":[{"name":"a","shape":[1,2,1],"datatype":"FP64","data":[65520,0]},'
    b'{"name":"b","shape":[1],"datatype":"BYTES","data":[""]}]}',
    # what wraps around where a number is narrowed
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[65537]}]}',
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"UINT64","data":[18446744073709551615]}]}',
    # text that is base64 of no text
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"BYTES","parameters":{"content_type":"base64"},"data":["/w=="]}]}',
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"BYTES","parameters":{"content_type":"base64"},"data":["\xc3\xbc"]}]}',
]


def decoded(signature, body, length):
    codec = V2Codec("m", "v", signature, make_reader(signature, MAX_ROWS))
    try:
        return codec, codec.decode(body, length)
    except RequestError as error:
        refused = error
    assert refused.status in (400, 413)
    assert refused.code
    assert 0 < len(str(refused)) < 1_000
    return codec, None


def check_rows(signature, rows):
    if signature.tabular:
        assert 1 <= len(rows) <= MAX_ROWS
        assert rows.dtype == signature.dtype
        assert rows.dtype == object or np.isfinite(rows).all()
        return
    assert isinstance(rows, Tensors)
    if signature.joint:
        assert 1 <= len(rows) <= MAX_ROWS
        assert {array.dtype.name for array in rows.arrays.values()} == {"float16", "object"}
        assert {len(array) for array in rows.arrays.values()} == {len(rows)}
    for array in rows.arrays.values():
        assert array.dtype in DTYPES.values()
        assert array.dtype != object or {type(entry) for entry in array.ravel().tolist()} <= {str, bytes}


@pytest.mark.parametrize("signature", SIGNATURES)
@settings(max_examples=150, deadline=None)
@given(drawn=st.data())
def test_a_request_becomes_sound_arrays_or_an_error_and_what_is_read_can_be_answered(signature, drawn):
    codec, query = decoded(signature, *drawn.draw(bodies(signature)))
    if query is None:
        return
    check_rows(signature, query.rows)
    answer = dict(query.rows.arrays) if isinstance(query.rows, Tensors) else {"predict": query.rows[:, 0]}
    wanted = [name for name in query.outputs if name in answer]
    if len(wanted) < len(query.outputs):
        answer = dict.fromkeys(query.outputs, next(iter(answer.values())))
    encoded = codec.encode(query, answer)
    head = encoded.content[: encoded.json_bytes] if isinstance(encoded, Mixed) else encoded
    assert [output["name"] for output in orjson.loads(head)["outputs"]] == list(query.outputs or answer)


@pytest.mark.parametrize(("body", "length"), [(b"", b"0"), (b"{}", b"9" * 5_000), (b'{"inputs":[]}\xff', b"13")])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_header_that_lies_is_refused(signature, body, length):
    assert decoded(signature, body, length)[1] is None


@pytest.mark.parametrize("body", TRICKY)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_what_once_was_misread_is_refused(signature, body):
    assert decoded(signature, body, None)[1] is None or signature is WHOLE


class Echo:
    """Gives back what it gets."""

    signature = WHOLE

    def predict(self, tensors, outputs):
        return dict(tensors.arrays)


@pytest.fixture(scope="module")
def port():
    server = ModelServer(ServerConfig(model="m", version="v"), Echo())
    yield server.start()
    server.stop()


@settings(max_examples=100, deadline=None)
@given(sent=bodies(), path=st.sampled_from(["/v2/models/m/infer", "/v1/models/m:predict", "/api/v1/models/m/predict"]))
@example(sent=(TRICKY[0], None), path="/v2/models/m/infer")
@example(sent=(TRICKY[1], b"0"), path="/v2/models/m/infer")
def test_a_server_answers_every_request_with_2xx_or_with_an_error_of_the_clients(port, sent, path):
    body, length = sent
    printable = length is not None and all(0x21 <= byte < 0x7F for byte in length)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {"Inference-Header-Content-Length": length} if printable else {})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    assert answer.status < 500, content
    if answer.status != 200:
        assert json.loads(content).keys() - {"details"} == {"error", "code", "request_id"}
