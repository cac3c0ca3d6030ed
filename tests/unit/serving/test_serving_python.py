"""A class of its owner's as a model: found, made, described, asked; or refused with the reason."""

import sys

import numpy as np
import pytest

from serving.errors import (
    BadPrediction,
    CodeRefused,
    NotAnEstimator,
    SignatureMismatch,
    UnloadableModel,
    UnsupportedModel,
)
from serving.runtimes import Tensors, TensorSpec, load
from serving.spec import InputSpec, ModelSource

DOUBLER = """
class Doubler:
    def __init__(self, path):
        self.factor = float((path / "factor.txt").read_text())

    def predict(self, rows):
        return rows[:, 0] * self.factor
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Writes an artifact's folder; what the class imports is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def folder(**files):
        made = tmp_path / "artifact"
        made.mkdir()
        for name, text in files.items():
            (made / name.replace("__", ".")).write_text(text)
        return made

    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def load_class(folder, load_model):
    def load_class(text, name="Model", inputs=()):
        return load_model(folder(my_own__py=text), "python", inputs, f"my_own:{name}")

    return load_class


def test_a_class_in_the_artifacts_folder_reads_what_lies_beside_it(folder, load_model):
    path = folder(doubling__py=DOUBLER, factor__txt="2")
    model = load_model(path, "python", class_name="doubling:Doubler")
    assert model.predict(np.array([[1.0, 5.0], [2.0, 6.0]]), ("predict",))["predict"].tolist() == [2.0, 4.0]
    signature = model.signature
    assert (signature.width, signature.features, [one.name for one in signature.outputs]) == (None, (), ["predict"])


def test_a_single_file_is_an_artifact_too_and_its_neighbours_are_not(folder, load_model):
    one = "class Model:\n    def __init__(self, path): self.name = path.name\n"
    path = folder(single__py=one + "    def predict(self, rows): return [self.name] * len(rows)\n")
    model = load_model(path / "single.py", "python", class_name="single:Model")
    assert model.predict(np.ones((1, 1)), ("predict",))["predict"].tolist() == ["single.py"]


def test_a_module_that_is_installed_need_not_lie_in_the_folder(folder, load_model):
    with pytest.raises(NotAnEstimator, match="pathlib:PurePosixPath has no predict method"):
        load_model(folder(weights__txt="1"), "python", class_name="pathlib:PurePosixPath")


def test_a_module_may_import_its_neighbours_also_later(folder, load_model):
    late = """
class Model:
    def __init__(self, path): pass

    def predict(self, rows):
        import neighbour
        return neighbour.answer(rows)
"""
    path = folder(late_model__py=late, neighbour__py="def answer(rows): return rows[:, 0] + 1\n")
    model = load_model(path, "python", class_name="late_model:Model")
    assert model.predict(np.ones((1, 1)), ("predict",))["predict"].tolist() == [2.0]


def test_loading_leaves_the_verified_folder_as_it_is(folder, load_model, tmp_path):
    load_model(folder(doubling__py=DOUBLER, factor__txt="2"), "python", class_name="doubling:Doubler")
    cached = {file.name for file in (tmp_path / "cache").rglob("artifact/*")}
    assert cached == {"doubling.py", "factor.txt"}


def test_a_class_method_load_makes_the_model_if_there_is_one(load_class):
    model = load_class(
        """
class Model:
    @classmethod
    def load(cls, path):
        model = cls()
        model.name = path.name
        return model

    def predict(self, rows):
        return [self.name] * len(rows)
"""
    )
    assert model.predict(np.ones((2, 1)), ("predict",))["predict"].tolist() == ["artifact", "artifact"]


def test_a_class_says_what_it_takes_and_gives(load_class):
    model = load_class(
        """
class Model:
    inputs = ["age", {"name": "income", "datatype": "FP32"}]
    outputs = [{"name": "label", "datatype": "BYTES"}, "predict_proba"]
    classes = ["no", "yes"]

    def __init__(self, path): pass

    def predict(self, rows):
        yes = rows[:, 0] / 100
        labels = ["yes" if one > 0.5 else "no" for one in yes]
        return {"label": labels, "predict_proba": [[1 - one, one] for one in yes]}
"""
    )
    signature = model.signature
    assert (signature.width, signature.classes) == (2, ("no", "yes"))
    assert signature.features == (InputSpec("age"), InputSpec("income", "FP32"))
    assert [(one.name, one.datatype, one.shape) for one in signature.outputs] == [
        ("label", "BYTES", (-1,)),
        ("predict_proba", "FP64", (-1, 2)),
    ]
    assert model.predict(np.array([[75.0, 1.0]]), ("predict_proba",))["predict_proba"].tolist() == [[0.25, 0.75]]


def test_inputs_of_the_manifest_take_the_place_of_those_of_the_class(load_class):
    text = "class Model:\n    inputs = ['a']\n    def __init__(self, path): pass\n"
    text += "    def predict(self, rows): return rows\n"
    assert load_class(text, inputs=(InputSpec("b", "INT64"),)).signature.features == (InputSpec("b", "INT64"),)


def test_an_input_with_a_shape_makes_it_a_model_of_tensors(load_class):
    model = load_class(
        """
class Model:
    inputs = [{"name": "image", "datatype": "FP32", "shape": [-1, 2, 2]}]
    outputs = ["mean"]
    joint = False

    def __init__(self, path): pass

    def predict(self, tensors):
        return tensors.arrays["image"].mean(axis=(1, 2))
"""
    )
    assert model.signature.tensors == (TensorSpec("image", "FP32", (-1, 2, 2)),)
    assert (model.signature.tabular, model.signature.joint) == (False, False)
    image = np.array([[[1, 2], [3, 6]]], np.float32)
    assert model.predict(Tensors({"image": image}), ("mean",))["mean"].tolist() == [3.0]


def test_an_answer_without_an_output_that_was_asked_for_is_no_prediction(load_class):
    text = "class Model:\n    outputs = ['a', 'b']\n    def __init__(self, path): pass\n"
    model = load_class(text + "    def predict(self, rows): return rows[:, 0]\n")
    assert model.predict(np.ones((1, 1)), ("a",))["a"].tolist() == [1.0]
    with pytest.raises(BadPrediction, match="my_own:Model was asked for b and gave a"):
        model.predict(np.ones((1, 1)), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("", UnloadableModel, "the module my_own has no class Model"),
        ("Model = 3", UnloadableModel, "my_own:Model is a int and no class"),
        ("def Model(path): ...", UnloadableModel, "my_own:Model is a function and no class"),
        ("class Model:", UnloadableModel, "importing my_own raised .*Error: "),
        ("import sys; sys.exit(3)", UnloadableModel, "importing my_own raised SystemExit: 3"),
        ("import tidegate_missing_module", UnloadableModel, "my_own needs the module tidegate_missing_module: add its"),
        ("class Model: ...", UnloadableModel, r"my_own:Model raised TypeError while it was loaded"),
        (
            "class Model:\n    def __init__(self, path): raise ValueError('no luck')",
            UnloadableModel,
            "my_own:Model raised ValueError while it was loaded: no luck",
        ),
        ("class Model:\n    def __init__(self, path): ...", NotAnEstimator, "my_own:Model has no predict method"),
    ],
)
def test_a_class_that_is_none_of_use_is_refused_with_what_is_wrong(load_class, text, kind, words):
    with pytest.raises(kind, match=words):
        load_class(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("inputs = 3", r"my_own:Model\.inputs must list names, or mappings .*; it is 3"),
        ("inputs = [{'nam': 'a'}]", "must list names"),
        ("inputs = [{'name': 'a', 'datatype': 'float'}]", "must list names"),
        ("inputs = ['a', 'a']", "names an input twice"),
        ("outputs = []", r"my_own:Model\.outputs is empty"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(load_class, line, words):
    with pytest.raises(SignatureMismatch, match=words):
        load_class(f"class Model:\n    {line}\n    def __init__(self, path): ...\n    def predict(self, rows): ...\n")


def test_a_module_that_is_nowhere_is_refused(folder, load_model):
    with pytest.raises(UnloadableModel, match="there is no module elsewhere in artifact, nor is one installed"):
        load_model(folder(doubling__py=DOUBLER), "python", class_name="elsewhere.deeper:Model")


def test_a_module_with_the_name_of_one_in_use_is_refused(folder, load_model):
    with pytest.raises(UnloadableModel, match="numpy in artifact has the name of a module that is in use here: rename"):
        load_model(folder(numpy__py=DOUBLER), "python", class_name="numpy:Doubler")


def test_the_class_must_be_named(folder, load_model):
    with pytest.raises(UnsupportedModel, match=r"needs spec\.model\.class, such as my_package\.my_module:MyModel"):
        load_model(folder(doubling__py=DOUBLER), "python")


def test_a_class_is_code_that_nobody_runs_against_the_policy(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "verified")
    marker = tmp_path / "ran"
    path = folder(my_own__py=f"open({str(marker)!r}, 'w').close()\n")
    source = ModelSource(path.as_uri(), "python", class_name="my_own:Model")
    with pytest.raises(CodeRefused, match="artifact with the class my_own:Model, which runs code"):
        load(source, tmp_path / "cache")
    assert not marker.exists()
