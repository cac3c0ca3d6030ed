"""MLflow models: loaded by their python_function flavor, described by their signature, asked; or refused."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types import TensorSpec as MlflowTensor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from serving.errors import BadPrediction, CodeRefused, MissingLibrary, UnloadableModel, UnsupportedModel
from serving.runtimes import Tensors, TensorSpec, load
from serving.spec import InputSpec, ModelSource

X, Y = load_iris(return_X_y=True)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
TABLE = pd.DataFrame(X, columns=NAMES)
FIXED = ["scikit-learn"]
"""Requirements, so that nobody works them out."""


class Answers(mlflow.pyfunc.PythonModel):
    """Answers what a function makes of the input."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, context, model_input, params=None):
        return self.answer(model_input)


@pytest.fixture
def load_answers(tmp_path, load_model):
    """A model of a function, with the inputs of its signature."""

    def load_answers(answer, inputs=None, outputs=None, declared=(), example=None):
        signature = None if inputs is None else ModelSignature(inputs=Schema(inputs), outputs=outputs)
        mlflow.pyfunc.save_model(
            tmp_path / "model",
            python_model=Answers(answer),
            signature=signature,
            input_example=example,
            pip_requirements=FIXED,
        )
        return load_model(tmp_path / "model", "mlflow", declared)

    return load_answers


@pytest.fixture
def iris(tmp_path):
    estimator = LogisticRegression(max_iter=500).fit(TABLE, Y)
    signature = infer_signature(TABLE, estimator.predict(TABLE))
    mlflow.sklearn.save_model(
        estimator, tmp_path / "iris", signature=signature, serialization_format="pickle", pip_requirements=FIXED
    )
    return estimator, tmp_path / "iris"


def test_a_saved_estimator_answers_as_it_did(iris, load_model):
    estimator, folder = iris
    model = load_model(folder, "mlflow")
    assert np.array_equal(model.predict(X, ("predict",))["predict"], estimator.predict(TABLE))
    assert (model.signature.width, model.signature.features) == (4, tuple(map(InputSpec, NAMES)))
    assert [(one.name, one.datatype, one.shape) for one in model.signature.outputs] == [("predict", "INT64", (-1,))]


def test_columns_reach_the_model_in_the_types_of_its_signature(load_answers):
    inputs = [ColSpec(DataType.long, "count"), ColSpec(DataType.float, "size"), ColSpec(DataType.string, "colour")]
    model = load_answers(lambda table: [f"{kind}" for kind in table.dtypes][: len(table)], inputs)
    expected = (InputSpec("count", "INT64"), InputSpec("size", "FP32"), InputSpec("colour", "BYTES"))
    assert model.signature.features == expected
    rows = np.array([[1, 2.5, "red"]] * 3, object)
    assert model.predict(rows, ("predict",))["predict"].tolist() == ["int64", "float32", "object"]


def test_columns_without_names_are_called_by_their_places(load_answers):
    model = load_answers(lambda table: table.sum(axis=1), [ColSpec(DataType.double), ColSpec(DataType.double)])
    assert model.signature.features == (InputSpec("0"), InputSpec("1"))
    assert model.predict(np.array([[1.0, 2.0]]), ("predict",))["predict"].tolist() == [3.0]


@pytest.mark.parametrize("name", [None, "features"])
def test_a_lone_tensor_of_two_axes_is_a_table(load_answers, name):
    model = load_answers(
        lambda given: (given["features"] if isinstance(given, dict) else given).sum(axis=1),
        [MlflowTensor(np.dtype("float32"), (-1, 4), name)],
    )
    assert (model.signature.width, model.signature.dtype) == (4, np.float32)
    assert np.allclose(model.predict(X.astype(np.float32), ("predict",))["predict"], X.sum(axis=1), rtol=1e-5)


def test_other_tensors_reach_the_model_as_arrays_by_name(load_answers):
    model = load_answers(
        lambda given: {"moved": given["image"] + given["shift"][:, :, None]},
        [MlflowTensor(np.dtype("float32"), (-1, 2, 2), "image"), MlflowTensor(np.dtype("float32"), (-1, 2), "shift")],
    )
    assert model.signature.tensors == (TensorSpec("image", "FP32", (-1, 2, 2)), TensorSpec("shift", "FP32", (-1, 2)))
    assert [(one.name, one.datatype, one.shape) for one in model.signature.outputs] == [("moved", "FP32", (-1, 2, 2))]
    image = np.ones((3, 2, 2), np.float32)
    answer = model.predict(Tensors({"image": image, "shift": np.ones((3, 2), np.float32)}), ("moved",))
    assert np.array_equal(answer["moved"], image + 1)


def test_a_lone_tensor_without_a_name_reaches_the_model_as_it_is(load_answers):
    model = load_answers(lambda image: image.mean(axis=(1, 2)), [MlflowTensor(np.dtype("float32"), (-1, 2, 2))])
    (name,) = (spec.name for spec in model.signature.tensors)
    answer = model.predict(Tensors({name: np.ones((3, 2, 2), np.float32)}), ("predict",))
    assert answer["predict"].tolist() == [1.0, 1.0, 1.0]


def test_the_columns_of_an_answered_table_are_outputs(load_answers):
    model = load_answers(
        lambda table: pd.DataFrame({"label": ["yes"] * len(table), "score": table["a"] * 2}),
        [ColSpec(DataType.double, "a")],
    )
    assert [(one.name, one.datatype) for one in model.signature.outputs] == [("label", "BYTES"), ("score", "FP64")]
    assert model.predict(np.array([[2.0]]), ("score",))["score"].tolist() == [4.0]


def test_a_table_without_names_is_one_output(load_answers):
    model = load_answers(lambda table: pd.DataFrame(np.ones((len(table), 2))), [ColSpec(DataType.double, "a")])
    assert [(one.name, one.shape) for one in model.signature.outputs] == [("predict", (-1, 2))]


def test_outputs_are_learnt_from_the_example_that_was_saved_with_a_model_of_text(load_answers):
    model = load_answers(
        lambda table: {"length": table["text"].str.len()},
        [ColSpec(DataType.string, "text")],
        example=pd.DataFrame({"text": ["four"]}),
    )
    assert [(one.name, one.datatype) for one in model.signature.outputs] == [("length", "INT64")]


def test_outputs_are_those_of_the_signature_where_there_is_no_example(load_answers):
    model = load_answers(
        lambda table: {"length": table["text"].str.len()},
        [ColSpec(DataType.string, "text")],
        Schema([ColSpec(DataType.long, "length")]),
    )
    assert [one.name for one in model.signature.outputs] == ["length"]
    assert model.predict(np.array([["four"]], object), ("length",))["length"].tolist() == [4]


def test_without_a_signature_the_manifest_may_name_the_columns(load_answers):
    model = load_answers(lambda table: table["b"] - table["a"], declared=(InputSpec("a"), InputSpec("b", "FP32")))
    assert model.predict(np.array([[1.0, 3.0]]), ("predict",))["predict"].tolist() == [2.0]


def test_without_any_word_about_columns_the_model_gets_the_rows_as_an_array(load_answers):
    model = load_answers(lambda rows: rows.sum(axis=1))
    assert model.signature.width is None
    assert model.predict(np.array([[1.0, 3.0]]), ("predict",))["predict"].tolist() == [4.0]


def test_an_answer_without_an_output_that_was_asked_for_is_no_prediction(load_answers):
    model = load_answers(
        lambda table: {"a": table["a"], **({"b": table["a"]} if len(table) == 1 else {})},
        [ColSpec(DataType.double, "a")],
    )
    with pytest.raises(BadPrediction, match="the model was asked for b and gave a"):
        model.predict(np.ones((2, 1)), ("a", "b"))


def test_a_model_that_refuses_the_warm_up_is_served_all_the_same(load_answers, caplog):
    def picky(table):
        if (table["a"] == 1).all():
            raise ValueError("all ones")
        return table["a"]

    model = load_answers(picky, [ColSpec(DataType.double, "a")])
    assert "warm-up" in caplog.text
    assert model.predict(np.array([[2.0]]), ("predict",))["predict"].tolist() == [2.0]


def test_a_column_of_a_type_that_no_request_carries_is_refused(load_answers):
    with pytest.raises(UnsupportedModel, match="column at of the model is a datetime, which no column of a request"):
        load_answers(lambda table: table, [ColSpec(DataType.datetime, "at")])


@pytest.mark.parametrize("damage", ["no MLmodel", "no flavor", "no pickle", "not YAML"])
def test_a_folder_that_is_no_model_is_refused_with_the_reason(iris, load_model, damage):
    folder = iris[1]
    if damage == "no MLmodel":
        (folder / "MLmodel").unlink()
    elif damage == "no pickle":
        content = (folder / "model.pkl").read_bytes()
        (folder / "model.pkl").write_bytes(content[: len(content) // 2])
    else:
        (folder / "MLmodel").write_text("flavors: {}\n" if damage == "no flavor" else "{[")
    kind = UnsupportedModel if damage == "no MLmodel" else UnloadableModel
    words = "needs a folder with a file MLmodel" if damage == "no MLmodel" else "loading iris raised "
    with pytest.raises(kind, match=words):
        load_model(folder, "mlflow")


def test_a_missing_package_of_the_model_is_named(iris, load_model):
    folder = iris[1]
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("loader_module: mlflow.sklearn", "loader_module: tidegate_missing"))
    with pytest.raises(UnloadableModel, match=r"iris needs the module tidegate_missing: add its package to spec\.serv"):
        load_model(folder, "mlflow")


def test_without_the_library_the_reason_names_the_packages(iris, load_model, without):
    without("mlflow")
    with pytest.raises(MissingLibrary, match="install mlflow-skinny and pandas, or the extra serving-mlflow"):
        load_model(iris[1], "mlflow")


def test_a_model_is_code_that_nobody_runs_against_the_policy(iris, tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "verified")
    with pytest.raises(CodeRefused, match="iris, an MLflow model, runs code"):
        load(ModelSource(iris[1].as_uri(), "mlflow"), tmp_path / "cache")
