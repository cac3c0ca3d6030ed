"""Models that are converted when they are loaded: the same answers, or the original and the reason."""

import os
import pickle
import re
import subprocess
import time
from dataclasses import replace

import joblib
import lightgbm
import numpy as np
import onnxmltools
import pytest
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from serving.runtimes import load
from serving.runtimes.accelerate import accelerated, convert
from serving.runtimes.accelerate.child import judge
from serving.runtimes.accelerate.converted import Converted
from serving.runtimes.accelerate.graphs import thresholds
from serving.runtimes.accelerate.job import Verdict
from serving.runtimes.accelerate.kept import Kept
from serving.runtimes.accelerate.samples import ranges, rows_for
from serving.runtimes.onnxsession import Session
from serving.runtimes.sklearn import SklearnModel
from serving.spec import Acceleration, DeclaredOutput, InputSpec, ModelSource

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
WIDE, GOAL = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 8, "random_state": 0}
BOTH = ("predict", "predict_proba")


@pytest.fixture(autouse=True)
def allow_pickles(monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")


@pytest.fixture
def save(tmp_path):
    """Write a model as its library does; where it comes from."""

    def save(model, **more):
        if isinstance(model, xgboost.XGBModel):
            path, runtime = tmp_path / "model.ubj", "xgboost"
            model.get_booster().save_model(path)
        elif isinstance(model, lightgbm.LGBMModel):
            path, runtime = tmp_path / "model.txt", "lightgbm"
            model.booster_.save_model(path)
        else:
            path, runtime = tmp_path / "model.joblib", "sklearn"
            joblib.dump(model, path)
        return path, ModelSource(path.as_uri(), runtime, accelerate="onnx", **more)

    return save


@pytest.fixture
def plain_and_converted(save, load_model):
    """Both, the second as it was judged; in this process."""

    def plain_and_converted(model, inputs=()):
        path, source = save(model, inputs=inputs)
        verdict = judge(path, source)
        assert verdict.acceleration.done, verdict
        plain = load_model(path, source.runtime, inputs)
        return plain, Converted(plain, Session.open(verdict.graph, "model"), verdict.acceleration)

    return plain_and_converted


CLASSIFIERS = {
    "logistic regression": LogisticRegression(max_iter=500),
    "scaled logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(**QUICK),
    "scaled forest": make_pipeline(StandardScaler(), RandomForestClassifier(**QUICK)),
    "boosting": GradientBoostingClassifier(**QUICK),
    "boosting behind a scaler": make_pipeline(StandardScaler(), GradientBoostingClassifier(**QUICK)),
}
REGRESSORS = {
    "ridge": Ridge(),
    "forest": RandomForestRegressor(**QUICK),
    "boosting": GradientBoostingRegressor(**QUICK),
    "boosting behind a scaler": make_pipeline(StandardScaler(), GradientBoostingRegressor(**QUICK)),
    "XGBoost": xgboost.XGBRegressor(**QUICK),
    "XGBoost of counts": xgboost.XGBRegressor(objective="count:poisson", **QUICK),
    "LightGBM": lightgbm.LGBMRegressor(verbose=-1, **QUICK),
    "LightGBM of counts": lightgbm.LGBMRegressor(objective="poisson", verbose=-1, **QUICK),
}
BOOSTERS = {
    "XGBoost": xgboost.XGBClassifier(**QUICK),
    "XGBoost in scikit-learn": make_pipeline(StandardScaler(), xgboost.XGBClassifier(**QUICK)),
    "XGBoost with softmax": xgboost.XGBClassifier(objective="multi:softmax", **QUICK),
    "LightGBM": lightgbm.LGBMClassifier(verbose=-1, **QUICK),
    "LightGBM of one against all": lightgbm.LGBMClassifier(objective="multiclassova", verbose=-1, **QUICK),
    "LightGBM of random trees": lightgbm.LGBMClassifier(
        boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, verbose=-1, **QUICK
    ),
}


def agree(plain, converted, rows, names):
    ours, theirs = converted.predict(rows, names), plain.predict(rows, names)
    assert list(ours) == list(theirs)
    for name in names:
        assert ours[name].dtype == theirs[name].dtype
        assert ours[name].shape == theirs[name].shape
    return ours, theirs


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_scikit_learn_gives_the_same_labels_and_probabilities(name, plain_and_converted):
    plain, converted = plain_and_converted(clone(CLASSIFIERS[name]).fit(X, NAMES))
    ours, theirs = agree(plain, converted, X, BOTH)
    assert ours["predict"].tolist() == theirs["predict"].tolist()
    assert np.abs(ours["predict_proba"] - theirs["predict_proba"]).max() <= 1e-5
    assert converted.signature == replace(plain.signature, acceleration=converted.signature.acceleration)
    assert converted.made == BOTH


@pytest.mark.parametrize(
    ("name", "classes"),
    [*((name, 3) for name in BOOSTERS), ("XGBoost", 2), ("LightGBM", 2), ("XGBoost in scikit-learn", 2)],
)
def test_a_classifier_of_a_boosting_library_gives_the_same_labels_and_probabilities(name, classes, plain_and_converted):
    rows = slice(None, 50 * classes)
    plain, converted = plain_and_converted(clone(BOOSTERS[name]).fit(X[rows], Y[rows]))
    ours, theirs = agree(plain, converted, X, BOTH)
    assert ours["predict"].tolist() == theirs["predict"].tolist()
    assert np.abs(ours["predict_proba"] - theirs["predict_proba"]).max() <= 1e-5


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_gives_the_same_numbers(name, plain_and_converted):
    plain, converted = plain_and_converted(clone(REGRESSORS[name]).fit(WIDE, GOAL))
    ours, theirs = agree(plain, converted, WIDE, ("predict",))
    assert np.allclose(ours["predict"], theirs["predict"], rtol=1e-5)


def test_what_onnx_does_not_give_is_answered_by_the_original(plain_and_converted):
    plain, converted = plain_and_converted(LogisticRegression(max_iter=500).fit(X, Y))
    names = ("decision_function", "predict", "predict_log_proba")
    ours, theirs = converted.predict(X, names), plain.predict(X, names)
    assert ours.keys() == theirs.keys()
    assert np.array_equal(ours["decision_function"], theirs["decision_function"])
    assert np.array_equal(converted.predict(X, names[:1])["decision_function"], theirs["decision_function"])


def test_missing_values_take_the_same_way_through_the_trees(plain_and_converted):
    rows = X.copy()
    rows[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    inputs = tuple(InputSpec(name, nullable=True) for name in "abcd")
    for model in (lightgbm.LGBMClassifier(verbose=-1, **QUICK), xgboost.XGBClassifier(**QUICK)):
        plain, converted = plain_and_converted(model.fit(rows, Y), inputs)
        ours, theirs = agree(plain, converted, rows, BOTH)
        assert np.abs(ours["predict_proba"] - theirs["predict_proba"]).max() <= 1e-5


def test_whole_numbers_are_compared_as_whole_numbers(plain_and_converted):
    rows = np.rint(X * 10).astype(np.int64)
    inputs = tuple(InputSpec(name, "INT64") for name in "abcd")
    plain, converted = plain_and_converted(RandomForestClassifier(**QUICK).fit(rows, Y), inputs)
    ours, theirs = agree(plain, converted, rows, BOTH)
    assert np.array_equal(ours["predict"], theirs["predict"])


def test_a_replica_loads_the_converted_model_and_says_so(save, tmp_path):
    forest = RandomForestClassifier(**QUICK).fit(X, NAMES)
    _, source = save(forest)
    model = load(source, tmp_path / "cache")
    said = model.signature.acceleration
    assert (said.done, said.reason) == (True, "Converted")
    assert "agree with sklearn's within 1e-05 on" in said.message
    assert model.predict(X, ("predict",))["predict"].tolist() == forest.predict(X).tolist()


def test_a_manifests_outputs_and_rules_stand_before_the_converted_model(save, tmp_path):
    outputs = (DeclaredOutput("species", of="predict", labels=("setosa", "versicolor", "virginica")),)
    inputs = tuple(InputSpec(name, min=0.0) for name in "abcd")
    _, source = save(LogisticRegression(max_iter=500).fit(X, Y), outputs=outputs, inputs=inputs)
    model = load(source, tmp_path / "cache")
    assert model.signature.acceleration.done
    assert [feature.min for feature in model.signature.features] == [0.0] * 4
    assert model.predict(X[:1], ("species",))["species"].tolist() == ["setosa"]


def test_a_function_of_python_is_not_converted_and_the_model_is_served_as_it_is(save, tmp_path):
    pipeline = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=500)).fit(X, Y)
    _, source = save(pipeline)
    model = load(source, tmp_path / "cache")
    said = model.signature.acceleration
    assert (said.done, said.reason) == (False, "NotConvertible")
    assert "cannot convert it: FunctionTransformer is not supported" in said.message
    assert np.array_equal(model.predict(X, ("predict",))["predict"], pipeline.predict(X))


def test_columns_of_text_are_not_converted(save):
    inputs = (InputSpec("a", "BYTES"), *(InputSpec(name) for name in "bcd"))
    verdict = judge(*save(LogisticRegression(max_iter=500).fit(X, Y), inputs=inputs))
    assert verdict == Verdict(
        Acceleration(False, "NotConvertible", "only tables of numbers with a known number of columns are converted")
    )


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lightgbm.LGBMRegressor(linear_tree=True, verbose=-1, **QUICK), "linear models in their leaves"),
        (xgboost.XGBRegressor(booster="gblinear", n_estimators=3), "onnxmltools [0-9.]+ cannot convert it"),
    ],
    ids=["linear trees", "a linear booster"],
)
def test_a_booster_without_its_equal_in_onnx_is_not_converted(model, reason, save):
    verdict = judge(*save(model.fit(WIDE, GOAL)))
    assert verdict.acceleration.reason == "NotConvertible"
    assert re.search(reason, verdict.acceleration.message)


def test_categories_are_not_converted(save):
    rows = np.column_stack([Y, X[:, 0]])
    model = lightgbm.LGBMClassifier(verbose=-1, **QUICK).fit(rows, Y, categorical_feature=[0])
    verdict = judge(*save(model))
    assert verdict.acceleration == Acceleration(False, "NotConvertible", "its trees split categories")


def test_a_model_that_answers_otherwise_is_not_served(save, monkeypatch):
    path, source = save(RandomForestClassifier(**QUICK).fit(X, NAMES))
    other = RandomForestClassifier(n_estimators=8, random_state=1).fit(X, NAMES)
    made = list(convert.graphs(SklearnModel(other, ()), "sklearn"))
    monkeypatch.setattr(convert, "graphs", lambda model, runtime: made)
    verdict = judge(path, source)
    assert (verdict.acceleration.reason, verdict.graph) == ("OutputsDiffer", b"")
    assert "of" in verdict.acceleration.message
    assert "sample rows: " in verdict.acceleration.message


def test_thresholds_that_were_rounded_are_found_out(save, load_model, monkeypatch):
    """What onnxmltools makes of LightGBM has its thresholds in FP32."""
    path, source = save(lightgbm.LGBMClassifier(verbose=-1, **QUICK).fit(X, Y))
    booster = load_model(path, "lightgbm").booster
    made = onnxmltools.convert_lightgbm(booster, initial_types=[("X", FloatTensorType([None, 4]))], zipmap=False)
    monkeypatch.setattr(convert, "graphs", lambda model, runtime: [made])
    assert judge(path, source).acceleration.reason == "OutputsDiffer"


def test_rows_on_both_sides_of_a_jump_are_found_behind_a_scaler(load_model, save):
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=1, max_depth=1, random_state=3))
    path, _ = save(pipeline.fit(X, Y))
    model = load_model(path, "sklearn", tuple(InputSpec(name, min=0.0, max=8.0) for name in "abcd"))

    def ask(rows):
        return [model.predict(rows, ("predict_proba",))["predict_proba"]]

    rows = rows_for(model.signature, ranges(model.signature, None), (), ask)
    jumps = rows[512:]
    low, high = jumps[: len(jumps) // 2], jumps[len(jumps) // 2 :]
    assert len(low) > 10
    assert (np.abs(low - high).max(axis=1) < 1e-14).all()
    assert (ask(low)[0] != ask(high)[0]).any(axis=1).all()


def test_sample_rows_stay_within_what_is_known(load_model, save):
    path, _ = save(LogisticRegression(max_iter=500).fit(X, Y))
    inputs = (
        InputSpec("a", "INT64", min=3, max=9),
        InputSpec("b", values=(1.5, 2.5)),
        InputSpec("c"),
        InputSpec("d", nullable=True),
    )
    model = load_model(path, "sklearn", inputs)
    profile = {"features": {"columns": {"c": {"kind": "numeric", "low": 100.0, "high": 200.0}}}}
    rows = rows_for(model.signature, ranges(model.signature, profile), (), lambda rows: [np.zeros(len(rows))])
    assert (rows[:, 0].min(), rows[:, 0].max()) == (3, 9)
    assert set(rows[:, 1]) == {1.5, 2.5}
    assert (rows[:, 2].min(), rows[:, 2].max()) == (100, 200)
    assert 0 < np.isnan(rows[:, 3]).sum() < len(rows) / 2


def test_the_thresholds_of_all_trees_are_known(save, load_model):
    model = lightgbm.LGBMClassifier(verbose=-1, **QUICK).fit(X, Y)
    path, source = save(model)
    (graph,) = convert.graphs(load_model(path, source.runtime), source.runtime)
    frame = model.booster_.trees_to_dataframe()
    assert len(list(thresholds(graph))) == int(frame["threshold"].notna().sum())


class Ends:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os.abort, ()


class Hangs:
    """Keeps the process that unpickles it."""

    def __reduce__(self):
        return time.sleep, (600,)


@pytest.mark.parametrize(
    ("content", "seconds", "reason", "message"),
    [
        (Ends(), 120, "Crashed", "the process that converts it was ended by SIGABRT"),
        (Hangs(), 5, "TookTooLong", "converting it and comparing took more than 5 seconds"),
    ],
    ids=["a crash", "a hang"],
)
def test_a_conversion_harms_its_own_process_only(content, seconds, reason, message, save, load_model, tmp_path):
    path, source = save(LogisticRegression(max_iter=500).fit(X, Y))
    model = load_model(path, "sklearn")
    path.write_bytes(pickle.dumps(content))
    served = accelerated(model, path, "ab" * 32, source, tmp_path / "cache", seconds=seconds)
    assert served.signature.acceleration == Acceleration(False, reason, message)
    assert np.array_equal(served.predict(X, BOTH)["predict_proba"], model.predict(X, BOTH)["predict_proba"])
    assert Kept.of(tmp_path / "cache", "ab" * 32, source).read() is None


def test_a_missing_converter_is_named(save, without):
    without("skl2onnx")
    said = judge(*save(LogisticRegression(max_iter=500).fit(X, Y))).acceleration
    assert (said.done, said.reason) == (False, "MissingLibrary")
    assert "install skl2onnx, or the extra serving-accelerate of tidegate" in said.message


def test_a_conversion_is_kept_beside_its_artifact(save, tmp_path, monkeypatch):
    _, source = save(LogisticRegression(max_iter=500).fit(X, Y))
    cache = tmp_path / "cache"
    first = load(source, cache)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it converts again"))
    again = load(source, cache)
    assert again.signature == first.signature
    assert np.array_equal(again.predict(X, BOTH)["predict_proba"], first.predict(X, BOTH)["predict_proba"])


def test_a_damaged_conversion_is_made_again(save, tmp_path, caplog):
    _, source = save(LogisticRegression(max_iter=500).fit(X, Y))
    cache = tmp_path / "cache"
    load(source, cache)
    (file,) = cache.glob(".accelerated/*/*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert load(source, cache).signature.acceleration.done
    assert "is left out: its graph is damaged" in caplog.text
    assert Verdict.from_bytes(file.read_bytes()).acceleration.done


def test_other_inputs_and_other_models_are_other_conversions(tmp_path):
    source = ModelSource("file:///x", "sklearn", accelerate="onnx")
    places = {
        Kept.of(tmp_path, sha256, replace(source, inputs=inputs)).file
        for sha256 in ("ab" * 32, "cd" * 32)
        for inputs in ((), (InputSpec("a", "INT64"),))
    }
    assert len(places) == 4


def test_conversions_go_with_their_models(tmp_path):
    source = ModelSource("file:///x", "sklearn", accelerate="onnx")
    verdict = Verdict(Acceleration(False, "NotConvertible", "no"))
    old, new = (Kept.of(tmp_path, sha256, source) for sha256 in ("ab" * 32, "cd" * 32))
    for kept in (old, new):
        with kept.alone():
            kept.write(verdict)
    assert (old.read(), new.read()) == (None, verdict)


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, caplog):
    (tmp_path / ".accelerated").write_text("in the way")
    kept = Kept.of(tmp_path, "ab" * 32, ModelSource("file:///x", "sklearn"))
    with kept.alone():
        kept.write(Verdict(Acceleration(False, "NotConvertible", "no")))
    assert "cannot be kept" in caplog.text
    assert kept.read() is None
