"""scikit-learn models: loaded from joblib, pickle and skops files, described, asked; or refused with the reason."""

import pickle
import sys
import warnings

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from serving.errors import (
    ArtifactMismatch,
    ModelLoadError,
    NotAnEstimator,
    SignatureMismatch,
    UnloadableModel,
    UnsupportedModel,
    UntrustedType,
)
from serving.runtimes import load
from serving.spec import InputSpec, ModelSource

X, Y = load_iris(return_X_y=True)
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def shout(values):
    return values


class Raises:
    """Raises while it is unpickled."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return (exec, (self.text,))


@pytest.fixture
def load_from(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")

    def load_from(path, sha256=None, inputs=(), runtime="sklearn"):
        return load(ModelSource(path.as_uri(), runtime, sha256, inputs), tmp_path / "cache")

    return load_from


@pytest.fixture
def load_object(tmp_path, load_from):
    def load_object(value, inputs=()):
        joblib.dump(value, tmp_path / "model.joblib")
        return load_from(tmp_path / "model.joblib", inputs=inputs)

    return load_object


def iris(**kwargs):
    return LogisticRegression(max_iter=500, **kwargs).fit(X, Y)


@pytest.mark.parametrize("kind", ["joblib", "pkl", "skops"])
def test_every_file_format_answers_as_the_estimator_does(tmp_path, load_from, kind):
    estimator = RandomForestClassifier(n_estimators=5, random_state=0).fit(X, Y)
    file = tmp_path / f"iris.{kind}"
    if kind == "skops":
        skops.io.dump(estimator, file)
    elif kind == "pkl":
        file.write_bytes(pickle.dumps(estimator))
    else:
        joblib.dump(estimator, file)
    answer = load_from(file).predict(X, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], estimator.predict(X))
    assert np.array_equal(answer["predict_proba"], estimator.predict_proba(X))


def test_a_folder_with_one_model_file_is_a_model(tmp_path, load_from):
    folder = tmp_path / "iris"
    folder.mkdir()
    joblib.dump(iris(), folder / "iris-2.joblib")
    (folder / "README.md").write_text("notes")
    assert load_from(folder).signature.width == 4


def test_in_a_folder_the_file_called_model_wins(tmp_path, load_from):
    folder = tmp_path / "iris"
    folder.mkdir()
    joblib.dump(iris(), folder / "model.joblib")
    joblib.dump("scaler", folder / "scaler.joblib")
    assert load_from(folder).signature.width == 4


@pytest.mark.parametrize("names", [(), ("a.joblib", "b.joblib"), ("model.joblib", "model.pkl"), ("model.onnx",)])
def test_a_folder_without_exactly_one_model_file_is_refused(tmp_path, load_from, names):
    folder = tmp_path / "iris"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"x")
    with pytest.raises(UnsupportedModel, match="needs one file"):
        load_from(folder)


def test_the_signature_comes_from_the_estimator(load_object):
    estimator = iris()
    estimator.feature_names_in_ = np.array(NAMES, dtype=object)
    signature = load_object(estimator).signature
    assert (signature.width, signature.classes) == (4, ("0", "1", "2"))
    assert tuple(feature.name for feature in signature.features) == NAMES
    assert {output.name: (output.datatype, output.shape) for output in signature.outputs} == {
        "predict": ("INT64", (-1,)),
        "predict_proba": ("FP64", (-1, 3)),
        "predict_log_proba": ("FP64", (-1, 3)),
        "decision_function": ("FP64", (-1, 3)),
    }


def test_declared_inputs_go_in_the_order_of_the_models_own_names(load_object):
    estimator = iris()
    estimator.feature_names_in_ = np.array(NAMES, dtype=object)
    inputs = tuple(InputSpec(name, "FP32") for name in reversed(NAMES))
    assert load_object(estimator, inputs).signature.features == tuple(InputSpec(name, "FP32") for name in NAMES)


def test_declared_inputs_name_the_columns_of_a_model_that_has_no_names(load_object):
    inputs = tuple(InputSpec(name) for name in NAMES)
    assert load_object(iris(), inputs).signature.features == inputs


def test_one_declared_input_names_the_table(load_object):
    signature = load_object(iris(), (InputSpec("flower", "FP32"),)).signature
    assert (signature.features, signature.tensor, signature.dtype) == ((), InputSpec("flower", "FP32"), np.float32)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((InputSpec("a"), InputSpec("b")), "names 2 inputs, the model was fitted on 4"),
        ((InputSpec("a"), InputSpec("a")), "twice"),
        ((InputSpec("a", "FP65"),), "unknown datatype FP65"),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_refused(load_object, inputs, words):
    with pytest.raises(SignatureMismatch, match=words):
        load_object(iris(), inputs)


def test_text_labels_are_answered_as_text(load_object):
    model = load_object(DecisionTreeClassifier().fit(X, np.array(["setosa", "versicolor", "virginica"], object)[Y]))
    assert model.predict(X[:1], ("predict",))["predict"].tolist() == ["setosa"]
    assert model.signature.outputs[0].datatype == "BYTES"
    assert model.signature.classes == ("setosa", "versicolor", "virginica")


def test_a_regressor_answers_numbers_and_has_no_probabilities(load_object):
    signature = load_object(LinearRegression().fit(X, Y)).signature
    assert [(output.name, output.datatype) for output in signature.outputs] == [("predict", "FP64")]


def test_a_classifier_without_probabilities_does_not_offer_them(load_object):
    names = [output.name for output in load_object(SVC().fit(X, Y)).signature.outputs]
    assert names == ["predict", "decision_function"]


def test_probabilities_of_several_targets_come_with_the_rows_first(load_object):
    model = load_object(MultiOutputClassifier(DecisionTreeClassifier()).fit(X, np.stack([Y, Y], axis=1)))
    answer = model.predict(X[:5], ("predict", "predict_proba"))
    assert (answer["predict"].shape, answer["predict_proba"].shape) == ((5, 2), (5, 2, 3))
    assert model.signature.classes == ()


def test_plain_arrays_for_a_model_with_names_warn_nobody(load_object):
    estimator = iris()
    estimator.feature_names_in_ = np.array(NAMES, dtype=object)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_object(estimator).predict(X[:1], ("predict",))
    assert caught == []


def test_a_forest_that_wants_every_core_gets_one_and_answers_the_same(load_object):
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(10, n_jobs=-1, random_state=0)).fit(X, Y)
    model = load_object(estimator)
    assert np.array_equal(model.predict(X, ("predict",))["predict"], estimator.predict(X))


def test_a_number_too_large_inside_a_pipeline_is_an_error_not_a_wrong_answer(load_object):
    model = load_object(make_pipeline(FunctionTransformer(np.exp), GaussianNB()).fit(X, Y))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="infinity"):
        model.predict(np.full((1, 4), 1e6), ("predict",))


def test_a_model_that_refuses_the_warm_up_is_served_all_the_same(load_object, caplog):
    model = load_object(make_pipeline(FunctionTransformer(refuse_ones), LogisticRegression(max_iter=500)).fit(X, Y))
    assert model.predict(X[:1], ("predict",))["predict"].tolist() == [0]
    assert "warm-up" in caplog.text


def refuse_ones(values):
    if (values == 1).all():
        raise ValueError("all ones")
    return values


def test_what_has_no_predict_is_no_model(load_object):
    with pytest.raises(NotAnEstimator, match="dict, which has no predict"):
        load_object({"weights": [1, 2]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise ValueError('no luck')", "ValueError: no luck"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        (
            "import tidegate_missing_module",
            "needs the module tidegate_missing_module: add its package to spec.serving.pip",
        ),
    ],
)
def test_a_pickle_that_raises_is_refused_with_what_it_raised(load_object, text, words):
    with pytest.raises(UnloadableModel, match=words):
        load_object(Raises(text))


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.skops"])
def test_a_damaged_file_is_refused(tmp_path, load_from, name):
    (tmp_path / name).write_bytes(b"\x80\x05 this is no model")
    with pytest.raises(UnloadableModel, match=name):
        load_from(tmp_path / name)


def test_no_byte_is_unpickled_before_the_sha256_was_verified(tmp_path, load_from):
    marker = tmp_path / "unpickled"
    joblib.dump(Raises(f"open({str(marker)!r}, 'w').close()"), tmp_path / "model.joblib")
    with pytest.raises(ArtifactMismatch):
        load_from(tmp_path / "model.joblib", sha256="0" * 64)
    assert not marker.exists()


def test_a_skops_file_with_a_foreign_type_is_refused_and_the_type_is_named(tmp_path, load_from):
    skops.io.dump(make_pipeline(FunctionTransformer(shout), iris()), tmp_path / "model.skops")
    with pytest.raises(UntrustedType, match=rf"{shout.__module__}\.shout"):
        load_from(tmp_path / "model.skops")


def test_a_skops_file_may_not_reach_a_foreign_function_through_scikit_learn(tmp_path, load_from):
    foreign = next(
        (name, attribute)
        for name, module in sorted(sys.modules.items())
        if name.startswith("sklearn.") and module is not None
        for attribute in ("check_output", "call", "run", "system", "partial", "Path")
        if getattr(getattr(module, attribute, None), "__module__", "sklearn").split(".")[0] != "sklearn"
    )
    module, attribute = foreign
    disguised = FunctionTransformer(shout)
    skops.io.dump(disguised, tmp_path / "plain.skops")
    import zipfile  # noqa: PLC0415 - only this test takes a skops file apart

    with zipfile.ZipFile(tmp_path / "plain.skops") as plain, zipfile.ZipFile(tmp_path / "model.skops", "w") as forged:
        for name in plain.namelist():
            text = plain.read(name)
            text = text.replace(f'"{shout.__module__}"'.encode(), f'"{module}"'.encode())
            forged.writestr(name, text.replace(b'"shout"', f'"{attribute}"'.encode()))
    with pytest.raises(UntrustedType, match=attribute):
        load_from(tmp_path / "model.skops")


def test_an_unknown_runtime_is_refused_with_the_known_ones(tmp_path, load_from):
    with pytest.raises(UnsupportedModel, match=r"unknown runtime 'torch'; this release has: .*sklearn, xgboost"):
        load_from(tmp_path, runtime="torch")


def test_every_reason_is_a_model_load_error():
    kinds = (ArtifactMismatch, NotAnEstimator, SignatureMismatch, UnloadableModel, UnsupportedModel, UntrustedType)
    assert all(issubclass(kind, ModelLoadError) for kind in kinds)
