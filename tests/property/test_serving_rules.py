"""Rules of columns against the plainest reading of them: what one loop over the values accepts, and nothing else."""

import math
from itertools import chain

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import MAX_PROBLEMS, RequestError
from serving.protocol.named import NamedCodec
from serving.protocol.tensors import make_reader
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature
from serving.spec import InputSpec

NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([-1.5, 0.5, 1.5, 2.5]))
CELLS = st.one_of(NUMBERS, st.none(), st.sampled_from(["a", "b", "1", "2.0", ""]), st.booleans())
FLOATS = ("FP64", "FP32")
WHOLE = ("INT64", "INT8")


@st.composite
def columns(draw, name):
    datatype = draw(st.sampled_from([*FLOATS, *WHOLE, "BOOL", "BYTES"]))
    bounded = datatype not in ("BOOL", "BYTES")
    values = {"BYTES": ("a", "1"), "BOOL": ()}.get(datatype, (-1, 0, 2))
    return InputSpec(
        name,
        datatype,
        min=draw(st.sampled_from([None, -2.0, 0.5])) if bounded else None,
        max=draw(st.sampled_from([None, 1.5, 2.0])) if bounded else None,
        values=draw(st.sampled_from([(), values])),
        nullable=draw(st.booleans()),
        unique=draw(st.booleans()),
    )


@st.composite
def tables(draw):
    specs = [draw(columns(f"c{place}")) for place in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        specs = [InputSpec(spec.name, "FP64", None, spec.min, spec.max, nullable=spec.nullable) for spec in specs]
    rows = draw(st.lists(st.lists(CELLS, min_size=len(specs), max_size=len(specs)), min_size=1, max_size=5))
    return specs, rows


def is_wrong(spec, value, before):
    """Whether the value of a row is refused, after those of the rows before it."""
    if value is None:
        return not spec.nullable
    kinds = {"BYTES": (str,), "BOOL": (bool,)}.get(spec.datatype, (int, float) if spec.datatype in FLOATS else (int,))
    if type(value) not in kinds:
        return True
    too_small = spec.min is not None and value < spec.min
    too_large = spec.max is not None and value > spec.max
    strange = bool(spec.values) and value not in spec.values
    return too_small or too_large or strange or (spec.unique and value in before)


def wrong_cells(specs, rows):
    """Row and column of every value that is refused; of a column with values of a wrong type only these."""
    found = set()
    for place, spec in enumerate(specs):
        cells = [row[place] for row in rows]
        bare = InputSpec(spec.name, spec.datatype, nullable=spec.nullable)
        mistyped = {(row, spec.name) for row, value in enumerate(cells) if is_wrong(bare, value, ())}
        found |= mistyped or {(row, spec.name) for row, value in enumerate(cells) if is_wrong(spec, value, cells[:row])}
    return found


def signature(specs, *, coerces=False):
    outputs = (OutputSpec("predict", "FP64", (-1,)),)
    return Signature("test", len(specs), tuple(specs), InputSpec("x"), outputs, coerces=coerces)


def asked(described, rows):
    """The same rows in every protocol: what reads them, with their bodies."""
    reader = make_reader(described, 10)
    names = [spec.name for spec in described.features]
    yield V1Codec(described, reader), {"instances": rows}
    yield NamedCodec("v", described, reader), {"instances": [dict(zip(names, row, strict=True)) for row in rows]}
    inputs = [
        {"name": spec.name, "datatype": spec.datatype, "shape": [len(rows)], "data": [row[place] for row in rows]}
        for place, spec in enumerate(described.features)
    ]
    yield V2Codec("m", "v", described, reader), {"inputs": inputs}


def is_value(got, sent):
    if sent is None:
        return got is None or math.isnan(got)
    return got == sent


@settings(max_examples=300, deadline=None)
@given(tables())
def test_every_protocol_accepts_what_a_loop_accepts_and_names_what_it_refuses(table):
    specs, rows = table
    wrong = wrong_cells(specs, rows)
    for codec, request in asked(signature(specs), rows):
        if wrong:
            with pytest.raises(RequestError) as caught:
                codec.decode(orjson.dumps(request))
            told = {(one["row"], one["field"]) for one in caught.value.details}
            assert told <= wrong
            assert told == wrong or len(caught.value.details) == MAX_PROBLEMS
        else:
            got = codec.decode(orjson.dumps(request)).rows
            assert got.shape == (len(rows), len(specs))
            assert all(map(is_value, got.ravel().tolist(), chain.from_iterable(rows)))


@settings(max_examples=200, deadline=None)
@given(tables())
def test_coercion_changes_nothing_that_was_right_and_ends_in_values_that_are(table):
    specs, rows = table
    described = signature(specs, coerces=True)
    for codec, request in asked(described, rows):
        try:
            got = codec.decode(orjson.dumps(request)).rows
        except RequestError:
            assert wrong_cells(specs, rows)
            continue
        assert got.dtype == described.dtype
        read = [[_plain(value) for value in row] for row in got.tolist()]
        assert not wrong_cells([_as_read(spec, got.dtype) for spec in specs], read)
        if not wrong_cells(specs, rows):
            assert all(map(is_value, got.ravel().tolist(), chain.from_iterable(rows)))


def _plain(value):
    return None if isinstance(value, float) and math.isnan(value) else value


def _as_read(spec, dtype):
    """What the rule of a column is about in the table: its numbers may have become FP64."""
    floats = dtype.kind == "f" or (spec.nullable and spec.datatype in (*WHOLE, "BOOL"))
    datatype = "FP64" if floats or spec.datatype in FLOATS else spec.datatype
    if dtype.kind in "iu" and datatype == "BOOL":
        datatype = "INT64"
    return InputSpec(spec.name, datatype, None, spec.min, spec.max, spec.values, nullable=spec.nullable)


def test_the_loop_refuses_what_it_must():
    assert wrong_cells([InputSpec("a", max=1)], [[2], [None], [1]]) == {(1, "a")}
    assert wrong_cells([InputSpec("a", max=1)], [[2], [1]]) == {(0, "a")}
