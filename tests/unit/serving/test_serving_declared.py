"""Outputs that a manifest declares: what they are called, made of and labelled, and what protocols answer then."""

import numpy as np
import orjson
import pytest

from serving.errors import BadPrediction, SignatureMismatch
from serving.protocol.named import NamedCodec
from serving.protocol.table import Table
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature, Tensors, load
from serving.runtimes.declared import Declared
from serving.spec import DeclaredOutput, InputSpec, ModelSource


class Judge:
    """A model of one column with a class, a probability for each of two, and a text."""

    signature = Signature(
        "test",
        1,
        (InputSpec("a"),),
        InputSpec("input-0"),
        (
            OutputSpec("predict", "INT64", (-1,)),
            OutputSpec("predict_proba", "FP64", (-1, 2)),
            OutputSpec("note", "BYTES", (-1,)),
        ),
        ("0", "1"),
    )

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def predict(self, rows, outputs):
        self.asked.append(outputs)
        likely = rows[:, 0]
        answer = {
            "predict": np.rint(likely).astype(np.int64),
            "predict_proba": np.stack([1 - likely, likely], axis=1),
            "note": np.array(["sure" if value in (0, 1) else "unsure" for value in likely]),
        }
        return {name: answer[name] for name in outputs}


LABELLED = DeclaredOutput("approved", "predict", labels=("no", "yes"))
CHANCES = DeclaredOutput("chances", "predict_proba", "FP32")
NOTE = DeclaredOutput("note")


def declared(*outputs):
    return Declared(Judge(), outputs)


def ask(codec_of, model, body):
    codec = codec_of(model.signature, Table(model.signature, 100))
    query = codec.decode(orjson.dumps(body))
    return orjson.loads(codec.encode(query, model.predict(query.rows, query.outputs)))


def named(signature, table):
    return NamedCodec("v7", signature, table)


def test_outputs_have_the_names_and_the_order_of_the_manifest():
    model = declared(NOTE, LABELLED, CHANCES)
    assert model.signature.outputs == (
        OutputSpec("note", "BYTES", (-1,)),
        OutputSpec("approved", "BYTES", (-1,), ("no", "yes")),
        OutputSpec("chances", "FP32", (-1, 2)),
    )
    answer = model.predict(np.array([[0.25], [1.0]]), ("chances", "approved"))
    assert list(answer) == ["chances", "approved"]
    assert (answer["chances"].dtype, answer["chances"].tolist()) == (np.float32, [[0.75, 0.25], [0.0, 1.0]])
    assert answer["approved"].tolist() == ["no", "yes"]


def test_the_model_is_asked_once_for_an_output_that_is_declared_twice():
    model = declared(LABELLED, DeclaredOutput("number", "predict"))
    answer = model.predict(np.array([[1.0]]), ("approved", "number"))
    assert {name: values.tolist() for name, values in answer.items()} == {"approved": ["yes"], "number": [1]}
    assert model._model.asked == [("predict",)]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (DeclaredOutput("score"), "the model has no output score; it has predict, predict_proba, note"),
        (DeclaredOutput("a", "note", "INT64"), "a is declared as INT64, and the model gives BYTES"),
        (DeclaredOutput("a", "predict_proba", "INT64"), "a is declared as INT64, and the model gives FP64"),
        (DeclaredOutput("a", "predict", "BYTES"), "a is declared as BYTES, and the model gives INT64"),
        (DeclaredOutput("a", "note", labels=("x",)), "labels, which are for numbers, and the model gives text"),
    ],
)
def test_an_output_that_the_model_does_not_have_keeps_the_version_from_starting(output, words):
    with pytest.raises(SignatureMismatch, match=r"spec\.model\.outputs: ") as caught:
        declared(output)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [2.0, -1.0])
def test_a_number_without_a_label_is_no_prediction(value):
    with pytest.raises(BadPrediction, match=f"approved has 2 labels, and the model gives {int(value)}"):
        declared(LABELLED).predict(np.array([[1.0], [value]]), ("approved",))


def test_labels_are_for_whole_numbers_of_any_datatype():
    class Floats(Judge):
        def predict(self, rows, outputs):
            return {"predict": rows[:, 0]}

    model = Declared(Floats(), (LABELLED,))
    assert model.predict(np.array([[1.0]]), ("approved",))["approved"].tolist() == ["yes"]
    for value in (0.5, np.nan, np.inf):
        with pytest.raises(BadPrediction, match="approved has 2 labels"):
            model.predict(np.array([[value]]), ("approved",))


def test_an_answer_that_turns_out_to_be_of_another_datatype_is_no_prediction():
    class Moody(Judge):
        def predict(self, rows, outputs):
            return {"predict": np.array(["one"] * len(rows))}

    with pytest.raises(BadPrediction, match="count is declared as INT32, and the model gives BYTES"):
        Declared(Moody(), (DeclaredOutput("count", "predict", "INT32"),)).predict(np.ones((1, 1)), ("count",))


def test_named_fields_are_answered_with_one_flat_object_for_each_row():
    model = declared(LABELLED, CHANCES)
    one = {"approved": "yes", "chances": [0.0, 1.0]}
    assert ask(named, model, {"a": 1}) == {**one, "model_version": "v7"}
    several = ask(named, model, {"instances": [{"a": 1}, {"a": 0}]})
    assert several == {
        "predictions": [one, {"approved": "no", "chances": [1.0, 0.0]}],
        "model_version": "v7",
    }


def test_a_single_declared_output_is_a_field_by_its_name_too():
    assert ask(named, declared(NOTE), {"a": 0.5}) == {"note": "unsure", "model_version": "v7"}


def test_v1_and_v2_give_all_declared_outputs_to_whoever_asks_for_none():
    model = declared(LABELLED, NOTE)
    v1 = ask(V1Codec, model, {"instances": [[1]]})
    assert v1 == {"predictions": [{"approved": "yes", "note": "sure"}]}
    assert ask(V1Codec, declared(LABELLED), {"instances": [[1]]}) == {"predictions": ["yes"]}

    def v2(signature, table):
        return V2Codec("judge", "v7", signature, table)

    tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}
    found = ask(v2, model, {"inputs": [tensor]})["outputs"]
    assert [(each["name"], each["datatype"], each["data"]) for each in found] == [
        ("approved", "BYTES", ["yes"]),
        ("note", "BYTES", ["sure"]),
    ]
    (wanted,) = ask(v2, model, {"inputs": [tensor], "outputs": [{"name": "note"}]})["outputs"]
    assert wanted["data"] == ["sure"]


def test_outputs_of_a_model_of_tensors_are_declared_alike(tmp_path, monkeypatch):
    code = (
        "class Adder:\n"
        "    inputs = [{'name': 'x', 'shape': [-1, 2]}]\n"
        "    outputs = ['sum', 'count']\n"
        "    def __init__(self, path): pass\n"
        "    def predict(self, asked):\n"
        "        x = asked.arrays['x']\n"
        "        return {'sum': x.sum(axis=1), 'count': [2] * len(x)}\n"
    )
    (tmp_path / "adding_up.py").write_text(code)
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")
    source = ModelSource(
        tmp_path.as_uri(),
        "python",
        class_name="adding_up:Adder",
        outputs=(DeclaredOutput("total", "sum", "FP32"),),
    )
    model = load(source, tmp_path.parent / f"{tmp_path.name}-cache")
    answer = model.predict(Tensors({"x": np.ones((2, 2))}), ("total",))
    assert (answer["total"].dtype, answer["total"].tolist()) == (np.float32, [2.0, 2.0])
    assert model.signature.tensors[0].name == "x"
