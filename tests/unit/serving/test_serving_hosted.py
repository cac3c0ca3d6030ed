"""What the runtimes of other servers' classes share, without any of these servers."""

import asyncio

import numpy as np
import orjson
import pytest

from serving.errors import BadPrediction, MissingLibrary, RequestError, SignatureMismatch, UnloadableModel
from serving.protocol.tensors import make_reader
from serving.protocol.v1 import V1Codec
from serving.runtimes import Answer, Tensors
from serving.runtimes.hosted import Loop, construct, refusal, regular, signature, tensor
from serving.spec import InputSpec


@pytest.mark.parametrize(
    ("runtime", "package"), [("kserve", "kserve"), ("mlserver", "mlserver"), ("seldon", "seldon-core")]
)
def test_a_missing_package_is_named(tmp_path, load_model, without, runtime, package):
    without(package.replace("-", "_"))
    (tmp_path / "code").mkdir()
    with pytest.raises(MissingLibrary, match=rf"needs the module .*: add {package} to spec\.serving\.pip"):
        load_model(tmp_path / "code", runtime, class_name="own:Model")


def test_a_package_that_does_not_work_here_is_named_with_what_it_raises(tmp_path, monkeypatch, load_model):
    (tmp_path / "kserve.py").write_text("raise TypeError('Descriptors cannot be created directly')")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "code").mkdir()
    with pytest.raises(
        UnloadableModel, match="package kserve is installed, but does not work here: Descriptors cannot"
    ):
        load_model(tmp_path / "code", "kserve", class_name="own:Model")


def test_a_constructor_gets_the_name_and_the_folder_where_it_has_parameters_for_them(tmp_path):
    class Model:
        def __init__(self, model_name, model_dir, threads=3, *, path=None):
            self.got = (model_name, model_dir, threads, path)

    assert construct(Model, tmp_path, "iris").got == ("iris", str(tmp_path), 3, str(tmp_path))
    assert construct(Model, tmp_path, "iris", {"threads": 5, "path": "x"}).got == ("iris", str(tmp_path), 5, "x")


def test_a_constructor_that_wants_more_is_refused_with_what_it_says(tmp_path):
    class Model:
        def __init__(self, name, temperature): ...

    with pytest.raises(UnloadableModel, match=r"Model raised TypeError while it was made: .*'temperature'"):
        construct(Model, tmp_path, "iris")


def test_declared_inputs_are_tensors_and_none_are_any():
    assert signature("kserve", (), documents=True).any_tensors
    declared = signature("kserve", (InputSpec("a"), InputSpec("b", "BYTES", (-1, 2))), documents=False)
    assert [(one.name, one.shape) for one in declared.tensors] == [("a", (-1,)), ("b", (-1, 2))]
    assert (declared.any_tensors, declared.tabular, declared.joint) == (False, False, False)
    with pytest.raises(SignatureMismatch, match="FP65 is no datatype"):
        signature("kserve", (InputSpec("a", "FP65"),), documents=False)


def test_what_one_call_begins_goes_on_until_another():
    loop = Loop()
    met = []

    async def first():
        met.append(asyncio.get_running_loop().create_future())

    async def second():
        met[0].set_result("met")
        return await met[0]

    loop.run(first())
    assert loop.run(second()) == "met"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_cannot_end_the_process_or_the_loop(kind):
    loop = Loop()

    async def ends():
        raise kind("enough")

    async def lives():
        return "lives"

    with pytest.raises(RuntimeError, match=f"{kind.__name__}: enough"):
        loop.run(ends())
    assert loop.run(lives()) == "lives"


def test_an_output_is_read_flat_or_nested():
    assert tensor("y", "FP32", [2, 1], [1, 2]).tolist() == [[1.0], [2.0]]
    assert tensor("y", "INT8", [1, 2], [[1, 2]]).dtype == np.int8
    assert tensor("y", "BYTES", [2, 1], [["a"], [b"\xff"]]).tolist() == [["a"], [b"\xff"]]
    assert tensor("y", "BYTES", [1], "a").tolist() == ["a"]


@pytest.mark.parametrize(
    ("kind", "shape", "data", "words"),
    [
        ("FP65", [1], [1], "output y has the unknown datatype FP65"),
        ("FP32", [3], [1, 2], "output y does not have the values that its shape and datatype say"),
        ("INT8", [1], [300], "output y does not have"),
        ("INT8", [1], ["a"], "output y does not have"),
        ("FP32", None, [1], "output y does not have"),
    ],
)
def test_an_output_that_contradicts_itself_is_no_prediction(kind, shape, data, words):
    with pytest.raises(BadPrediction, match=words):
        tensor("y", kind, shape, data)


@pytest.mark.parametrize("values", [None, [[1], [1, 2]], [{"a": 1}], 3, [None], {"a": 1}])
def test_values_that_are_not_alike_make_no_array(values):
    assert regular(values) is None


def test_values_that_are_alike_make_one():
    assert regular([[1, 2], [3, 4]]).dtype == np.int64
    assert regular(["a", "ü"]).tolist() == ["a", "ü"]


@pytest.mark.parametrize("status", [None, "x", 200, 302, 999, 0])
def test_a_status_that_is_none_of_an_error_is_no_refusal(status):
    assert refusal(status, "words") is None


@pytest.mark.parametrize(("status", "code"), [(400, "model_refused"), ("429", "model_refused"), (503, "model_error")])
def test_a_status_of_an_error_is_the_answers(status, code):
    refused = refusal(status, "words")
    assert (refused.status, refused.code, str(refused)) == (int(status), code, "words")


@pytest.fixture
def documents():
    """The v1 protocol of a model that takes documents."""
    described = signature("test", (), documents=True)
    return V1Codec(described, make_reader(described, 100))


@pytest.mark.parametrize(
    ("body", "arrays"),
    [
        ({"instances": [[1, 2]], "extra": {"a": None}}, {"input-0": [[1, 2]]}),
        ({"instances": [{"a": 1}, {"a": 2}]}, {"a": [1, 2]}),
        ({"instances": [{"a": 1}, 3]}, {}),
        ({"instances": "x"}, {}),
        ({"strData": "x"}, {}),
    ],
)
def test_a_document_reaches_the_model_as_it_is_and_its_rows_the_records(documents, body, arrays):
    query = documents.decode(orjson.dumps(body))
    assert query.rows.document == body
    assert {name: array.tolist() for name, array in query.rows.arrays.items()} == arrays
    assert query.rows.copy().document == body


def test_a_document_is_answered_with_a_document(documents):
    query = documents.decode(b'{"instances": [1]}')
    assert orjson.loads(documents.encode(query, Answer({}, document={"a": np.ones(2), 3: None}))) == {
        "a": [1, 1],
        "3": None,
    }
    with pytest.raises(RequestError, match="the model's answer is no JSON") as raised:
        documents.encode(query, Answer({}, document={"a": {1, 2}}))
    assert (raised.value.status, raised.value.code) == (500, "model_error")


def test_a_model_in_rows_of_others_has_neither_headers_nor_a_document():
    joined = Tensors.join([Tensors({"a": np.ones(1)}, headers={"x": "y"}, document={}), Tensors({"a": np.ones(1)})])
    assert (joined.headers, joined.document) == ({}, None)
