"""Whatever a body holds, a codec makes a sound table of it or refuses it with a status, never with a crash."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.datatypes import DTYPES
from serving.errors import RequestError
from serving.protocol.named import NamedCodec
from serving.protocol.table import Table
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "INT64", (-1,)),)
SIGNATURES = [
    Signature("test", 2, (), InputSpec("x"), OUTPUTS),
    Signature("test", None, (), InputSpec("x", "FP32"), OUTPUTS),
    Signature("test", 2, (InputSpec("a"), InputSpec("b")), InputSpec("x"), OUTPUTS),
    Signature(
        "test", 3, (InputSpec("a", "INT8"), InputSpec("b", "BYTES"), InputSpec("c", "BOOL")), InputSpec("x"), OUTPUTS
    ),
]
MAX_ROWS = 5


def codecs(signature):
    table = Table(signature, MAX_ROWS)
    return [V2Codec("m", "v", signature, table), V1Codec(signature, table), NamedCodec("v", signature, table)]


CODECS = [(signature, codec) for signature in SIGNATURES for codec in codecs(signature)]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=4)
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from("abcx"),
        "shape": st.lists(st.integers(0, 3), max_size=3) | VALUES,
        "datatype": st.sampled_from(sorted(DTYPES)),
        "data": st.lists(SCALARS, max_size=6) | st.lists(st.integers(0, 9), max_size=6) | VALUES,
    }
)
BODIES = st.one_of(
    st.binary(max_size=50),
    VALUES.map(orjson.dumps),
    st.fixed_dictionaries({"inputs": st.lists(TENSORS, max_size=3)}, optional={"outputs": VALUES, "id": VALUES}).map(
        orjson.dumps
    ),
    st.fixed_dictionaries({"instances": VALUES}).map(orjson.dumps),
    st.dictionaries(st.sampled_from("abc"), SCALARS).map(orjson.dumps),
)


def decode(codec, body):
    try:
        return codec.decode(body)
    except RequestError as error:
        return error


@pytest.mark.parametrize(("signature", "codec"), CODECS)
@settings(max_examples=120, deadline=None)
@given(body=BODIES)
def test_a_body_becomes_a_sound_table_or_an_error(signature, codec, body):
    outcome = decode(codec, body)
    if isinstance(outcome, RequestError):
        assert outcome.status in (400, 413)
        assert outcome.code
        assert 0 < len(str(outcome)) < 1_000
        return
    query = outcome
    rows, width = query.rows.shape
    assert 1 <= rows <= MAX_ROWS
    assert width == (signature.width or width) > 0
    assert query.rows.dtype == signature.dtype
    assert query.rows.dtype == object or np.isfinite(query.rows).all()
    assert set(query.outputs) <= {"predict"}


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=MAX_ROWS))
def test_every_protocol_hands_the_model_the_same_numbers_bit_for_bit(rows):
    v2, v1, named = codecs(SIGNATURES[2])
    wanted = np.array(rows)
    shape = {"shape": wanted.shape, "datatype": "FP64"}
    records = [{"b": b, "a": a} for a, b in rows]
    columns = [
        {"name": n, "shape": [len(rows)], "datatype": "FP64", "data": wanted[:, i].tolist()} for i, n in enumerate("ab")
    ]
    for codec, request in (
        (v2, {"inputs": [{"name": "x", **shape, "data": wanted.ravel().tolist()}]}),
        (v2, {"inputs": [{"name": "x", **shape, "data": rows}]}),
        (v2, {"inputs": columns}),
        (v1, {"instances": rows}),
        (v1, {"instances": records}),
        (named, {"instances": records}),
    ):
        assert codec.decode(orjson.dumps(request)).rows.tobytes() == wanted.tobytes()
