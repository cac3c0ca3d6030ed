"""Whatever bytes a gRPC call brings, a codec makes of them what the model takes, or refuses them with a status."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.datatypes import DTYPES
from serving.errors import RequestError
from serving.protocol.tensors import make_reader
from serving.protocol.v2_grpc import GrpcCodec
from serving.protocol.v2_grpc_frames import failure, frame, unframe
from serving.protocol.v2_grpc_messages import ModelInferRequest, ModelInferResponse
from serving.runtimes import OutputSpec, Signature, Tensors, TensorSpec
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "INT64", (-1,)),)
X = InputSpec("x")
SIGNATURES = [
    Signature("test", 2, (), X, OUTPUTS),
    Signature("test", None, (), InputSpec("x", "FP32"), OUTPUTS),
    Signature("test", 3, (InputSpec("a", "INT8"), InputSpec("b", "BYTES"), InputSpec("c", "BOOL")), X, OUTPUTS),
    Signature(
        "test", None, (), X, OUTPUTS, tensors=(TensorSpec("a", "FP16", (-1, 2)), TensorSpec("b", "BYTES", (-1,)))
    ),
    Signature("test", None, (), X, (), any_tensors=True, joint=False),
]
MAX_ROWS = 5
CODECS = [(signature, GrpcCodec("m", "v", signature, make_reader(signature, MAX_ROWS))) for signature in SIGNATURES]

PARAMETERS = st.dictionaries(
    st.sampled_from(["a", "content_type", "classification"]),
    st.fixed_dictionaries({}, optional={"string_param": st.text(max_size=4)})
    | st.fixed_dictionaries({"int64_param": st.integers(-(2**63), 2**63 - 1)}),
    max_size=2,
)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=6),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6),
        "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6),
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=6),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=6),
        "fp32_contents": st.lists(st.floats(width=32), max_size=6),
        "fp64_contents": st.lists(st.floats(), max_size=6),
        "bytes_contents": st.lists(st.binary(max_size=5), max_size=6),
    },
)
INPUTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from("abcx"),
        "datatype": st.sampled_from([*DTYPES, "BF16", "FP8", ""]),
        "shape": st.lists(st.integers(0, 3) | st.sampled_from([-1, 2**62]), max_size=3),
    },
    optional={"contents": CONTENTS, "parameters": PARAMETERS},
)
MESSAGES = st.builds(
    ModelInferRequest,
    model_name=st.sampled_from(["", "m", "n"]),
    model_version=st.sampled_from(["", "v", "w"]),
    id=st.text(max_size=4),
    parameters=PARAMETERS,
    inputs=st.lists(INPUTS, max_size=3),
    outputs=st.lists(st.fixed_dictionaries({"name": st.sampled_from(["predict", "y", ""])}), max_size=2),
    raw_input_contents=st.lists(st.binary(max_size=24), max_size=3),
)
SOUND = MESSAGES.map(lambda message: message.SerializeToString())


def outcome(read, content):
    """What is read, or why it is not."""
    try:
        return read(content)
    except RequestError as error:
        return error


@st.composite
def broken(draw):
    """The bytes of a message with some of them changed, taken out or put in."""
    content = bytearray(draw(SOUND))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        end = draw(st.integers(place, min(place + 4, len(content))))
        content[place:end] = draw(st.binary(max_size=4))
    return bytes(content)


BODIES = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(frame),
    SOUND.map(frame),
    broken().map(frame),
    st.builds(lambda content, cut: frame(content)[:cut], SOUND, st.integers(0, 40)),
)


@pytest.mark.parametrize(("signature", "codec"), CODECS, ids=["width 2", "any width", "columns", "tensors", "anything"])
@example(content=b"")
@example(content=b"\0\xff\xff\xff\xff")
@example(content=frame(b"\x2a\x00"))  # an input in which nothing is given
@example(content=frame(b"\x2a\x0b\x0a\x01x\x12\x04FP64\x1a\x00\x3a\x00"))  # a scalar of no bytes
@example(content=frame(b"\x2a\x17\x0a\x01x\x12\x05BYTES\x1a\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x02"))  # -2**63
@example(content=frame(b"\x2a\x0d\x0a\x01x\x12\x05BYTES\x1a\x01\x01\x3a\x04\xff\xff\xff\xff"))  # a length beyond all
@example(content=frame(b"\x22\x02\x0a\x00"))  # a parameter without a value
@example(content=frame(b"\x0b" * 200))  # groups, which proto3 has not
@settings(max_examples=400)
@given(content=BODIES)
def test_a_body_becomes_what_the_model_takes_or_an_error_of_the_clients(signature, codec, content):
    query = outcome(codec.decode, content)
    if isinstance(query, RequestError):
        assert 400 <= query.status < 500
        assert failure(query).startswith(b"grpc-status: ")
        return
    rows = query.rows
    if signature.tabular:
        assert rows.dtype == signature.dtype
        assert rows.ndim == 2
        assert 1 <= len(rows) <= MAX_ROWS
        assert rows.dtype == object or np.isfinite(rows).all()
    else:
        assert isinstance(rows, Tensors)
    given_back = {name: np.arange(2) for name in query.outputs} or dict(getattr(rows, "arrays", {}))
    answer = ModelInferResponse.FromString(unframe(codec.encode(query, given_back)))
    assert [output.name for output in answer.outputs] == [*given_back]


@settings(max_examples=200)
@given(content=st.binary(max_size=60) | st.builds(frame, st.binary(max_size=40)))
def test_only_a_whole_frame_has_a_message(content):
    message = outcome(unframe, content)
    if isinstance(message, RequestError):
        assert message.status in (400, 415)
    else:
        assert frame(message) == content
