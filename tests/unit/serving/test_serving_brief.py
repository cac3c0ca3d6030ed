"""What records keep of requests for models of named tensors: columns, and never megabytes."""

import json

import numpy as np
import pytest
from collectorkit import records_of

from serving.exchange import Exchange
from serving.records import RecordsConfig
from serving.records.recorder import Recorder
from serving.runtimes import Tensors

PATH = b"/v2/models/m/infer"


def record(tensors, outputs=None, *others, **config):
    """The records of these requests: the only one, or all if there are several."""
    recorder = Recorder(RecordsConfig("http://127.0.0.1:1", **config), (), frozenset({PATH}), lambda *_: None)
    for number, (rows, answer) in enumerate([(tensors, outputs), *others]):
        exchange = Exchange(None, method=b"POST", url=PATH, request_id=b"%d" % number, body=b"", closes=False)
        exchange.rows, exchange.outputs = Tensors(rows), answer
        recorder.add(exchange, 200)
    recorder.close()
    assert recorder.dropped == 0
    found = records_of([json.loads(block.content) for block in recorder.take()])
    return found if others else found[0]


def test_flat_tensors_are_columns_and_tables_are_one_for_each_of_theirs():
    inputs = {
        "age": np.array([30, 40], np.int8),
        "size": np.array([[1.5], [2.5]], np.float16),
        "x": np.array([[1, 2], [3, 4]]),
        "word": np.array(["a", "ü"], object),
    }
    found = record(inputs, {"ok": np.array([True, False]), "logits": np.array([[[1.0, 2.0]], [[3.0, np.nan]]])})
    assert found["inputs"] == {"age": [30, 40], "size": [1.5, 2.5], "x.0": [1, 3], "x.1": [2, 4], "word": ["a", "ü"]}
    assert found["outputs"] == {"ok": [True, False], "logits": [[[1.0, 2.0]], [[3.0, None]]]}
    assert found["rows"] == 2


LARGE = {
    "an image": np.zeros((2, 3, 4)),
    "an embedding": np.zeros((2, 257)),
    "a long text": np.array(["x", "y" * 1025], object),
    "bytes": np.array(["x", b"\xff"], object),
    "no entries": np.zeros((2, 0)),
    "another length": np.zeros(3),
    "a scalar": np.array(1.0),
    "a name\x00": np.zeros(2),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_not_for_columns_is_left_out(name):
    assert record({"age": np.array([1, 2]), name: LARGE[name]})["inputs"] == {"age": [1, 2]}


@pytest.mark.parametrize("name", set(LARGE) - {"an image"})
def test_outputs_that_are_too_large_or_have_other_rows_are_left_out(name):
    found = record({"age": np.array([1, 2])}, {name: LARGE[name], "label": np.array(["a", "b"])})
    assert found["outputs"] == {"label": ["a", "b"]}


def test_no_more_columns_are_kept_than_a_record_may_have():
    found = record({str(number): np.zeros((1, 100)) for number in range(4)})
    assert len(found["inputs"]) == 200


def test_only_the_first_rows_are_kept():
    found = record({"x": np.arange(10), "y": np.arange(20).reshape(10, 2)}, {"z": np.arange(10)}, max_rows=3)
    assert found["inputs"] == {"x": [0, 1, 2], "y.0": [0, 2, 4], "y.1": [1, 3, 5]}
    assert (found["rows"], found["outputs"]) == (10, {"z": [0, 1, 2]})


def test_requests_with_different_inputs_have_records_that_do_not_disturb_each_other():
    one, two, three = record(
        {"a": np.array([1])},
        {"p": np.array([0.5])},
        ({"b": np.zeros((1, 9, 9))}, {"p": np.array([0.25])}),
        ({"a": np.array([2])}, None),
    )
    assert (one["inputs"], one["outputs"]) == ({"a": [1]}, {"p": [0.5]})
    assert (two.get("inputs"), two["outputs"]) == ({}, {"p": [0.25]})
    assert (three["inputs"], three.get("outputs")) == ({"a": [2]}, None)
