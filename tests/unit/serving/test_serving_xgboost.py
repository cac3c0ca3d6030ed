"""XGBoost models: loaded from its own formats, described, asked; or refused with the reason."""

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serving.errors import MissingLibrary, SignatureMismatch, UnloadableModel, UnsupportedModel
from serving.spec import InputSpec

X, Y = load_iris(return_X_y=True)
TWO = Y[:100]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
QUICK = {"n_estimators": 5, "n_jobs": 1}


@pytest.fixture
def load_saved(tmp_path, load_model):
    def load_saved(model, inputs=(), suffix="ubj"):
        model.save_model(tmp_path / f"model.{suffix}")
        return load_model(tmp_path / f"model.{suffix}", "xgboost", inputs)

    return load_saved


def trained(objective, labels, rows=X, **parameters):
    return xgboost.train(
        {"objective": objective, "nthread": 1, **parameters}, xgboost.DMatrix(rows, labels), num_boost_round=5
    )


@pytest.mark.parametrize("suffix", ["json", "ubj", "bst"])
def test_both_formats_answer_as_the_classifier_does(load_saved, suffix):
    classifier = xgboost.XGBClassifier(**QUICK).fit(X, Y)
    model = load_saved(classifier, suffix=suffix)
    answer = model.predict(X, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], classifier.predict(X))
    assert np.array_equal(answer["predict_proba"], classifier.predict_proba(X))
    assert model.signature.classes == ("0", "1", "2")
    assert {one.name: (one.datatype, one.shape) for one in model.signature.outputs} == {
        "predict": ("INT64", (-1,)),
        "predict_proba": ("FP32", (-1, 3)),
    }


@pytest.mark.parametrize(
    ("rows", "labels", "parameters"),
    [
        (X[:100], TWO, {}),
        (X, Y, {"objective": "multi:softmax"}),
        (X, Y, {"booster": "dart"}),
        (X, Y, {"booster": "gblinear"}),
        (*make_multilabel_classification(n_features=4, n_classes=3, random_state=0), {}),
    ],
    ids=["two classes", "softmax", "dart", "linear", "several labels"],
)
def test_every_kind_of_classifier_answers_as_xgboosts_own_does(load_saved, rows, labels, parameters):
    classifier = xgboost.XGBClassifier(**QUICK, **parameters).fit(rows, labels)
    answer = load_saved(classifier).predict(rows, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], classifier.predict(rows))
    assert np.allclose(answer["predict_proba"], classifier.predict_proba(rows), rtol=1e-6)


@pytest.mark.parametrize(("objective", "several"), [("binary:logistic", False), ("multi:softprob", True)])
def test_a_plain_booster_with_a_classifiers_objective_is_one(load_saved, objective, several):
    rows, labels = (X, Y) if several else (X[:100], TWO)
    booster = trained(objective, labels, rows, **({"num_class": 3} if several else {}))
    raw = booster.predict(xgboost.DMatrix(rows))
    answer = load_saved(booster).predict(rows, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], raw.argmax(axis=1) if several else raw > 0.5)
    assert np.array_equal(answer["predict_proba"], raw if several else np.stack([1 - raw, raw], axis=1))


@pytest.mark.parametrize("objective", ["binary:hinge", "binary:logitraw"])
def test_an_objective_without_probabilities_offers_none(load_saved, objective):
    model = load_saved(trained(objective, TWO, X[:100]))
    assert [one.name for one in model.signature.outputs] == ["predict"]
    assert set(model.predict(X[:100], ("predict",))["predict"].tolist()) == {0, 1}


def test_a_regressor_and_one_of_several_targets_answer_numbers(load_saved):
    rows, target = load_diabetes(return_X_y=True)
    one = xgboost.XGBRegressor(**QUICK).fit(rows, target)
    several = xgboost.XGBRegressor(**QUICK).fit(rows, np.stack([target, -target], axis=1))
    for regressor, shape in ((one, (-1,)), (several, (-1, 2))):
        model = load_saved(regressor)
        assert np.array_equal(model.predict(rows, ("predict",))["predict"], regressor.predict(rows))
        assert [(out.name, out.shape) for out in model.signature.outputs] == [("predict", shape)]
        assert model.signature.classes == ()


def test_a_ranker_answers_scores(load_saved):
    ranker = xgboost.XGBRanker(**QUICK).fit(X, Y, group=[50, 50, 50])
    assert np.array_equal(load_saved(ranker).predict(X, ("predict",))["predict"], ranker.predict(X))


def test_trees_after_the_best_round_are_left_out_as_the_classifier_does(load_saved):
    classifier = xgboost.XGBClassifier(n_estimators=40, n_jobs=1, early_stopping_rounds=3, learning_rate=1.0)
    noise = np.random.default_rng(0).integers(0, 3, len(Y))
    classifier.fit(X, Y, eval_set=[(X, noise)], verbose=False)
    assert classifier.best_iteration < classifier.get_booster().num_boosted_rounds() - 1
    answer = load_saved(classifier).predict(X, ("predict_proba",))["predict_proba"]
    assert np.array_equal(answer, classifier.predict_proba(X))


def test_a_missing_value_is_nan(load_saved):
    holes = X.copy()
    holes[::3, 1] = np.nan
    classifier = xgboost.XGBClassifier(**QUICK).fit(holes, Y)
    answer = load_saved(classifier).predict(holes, ("predict_proba",))["predict_proba"]
    assert np.array_equal(answer, classifier.predict_proba(holes))


def test_columns_are_named_as_in_the_model(load_saved):
    booster = xgboost.train(
        {"objective": "reg:squarederror"}, xgboost.DMatrix(X, Y, feature_names=NAMES), num_boost_round=2
    )
    assert load_saved(booster).signature.features == tuple(map(InputSpec, NAMES))
    inputs = tuple(InputSpec(name, "FP32") for name in reversed(NAMES))
    model = load_saved(booster, inputs)
    assert model.signature.features == tuple(InputSpec(name, "FP32") for name in NAMES)
    assert np.array_equal(
        model.predict(X.astype(np.float32), ("predict",))["predict"],
        booster.inplace_predict(X, validate_features=False),
    )


def test_a_model_without_names_has_a_width(load_saved):
    signature = load_saved(trained("reg:squarederror", Y)).signature
    assert (signature.width, signature.features, signature.platform) == (4, (), f"xgboost-{xgboost.__version__}")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((InputSpec("a"), InputSpec("b")), "names 2 inputs, the model was fitted on 4"),
        ((InputSpec("text", "BYTES"),), "text is BYTES; XGBoost models take numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(load_saved, inputs, words):
    with pytest.raises(SignatureMismatch, match=words):
        load_saved(trained("reg:squarederror", Y), inputs)


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "INT64", "INT8", "UINT64", "BOOL"])
def test_columns_may_have_any_datatype_of_numbers(load_saved, datatype):
    whole = np.round(X)
    regressor = xgboost.XGBRegressor(**QUICK).fit(whole, Y)
    model = load_saved(regressor, (InputSpec("rows", datatype),))
    rows = whole.astype(model.signature.dtype)
    assert np.array_equal(model.predict(rows, ("predict",))["predict"], regressor.predict(rows.astype(float)))


def test_rows_of_another_width_are_the_callers_mistake(load_saved):
    with pytest.raises(ValueError, match="expected: 4, got 3"):
        load_saved(trained("reg:squarederror", Y)).predict(X[:, :3], ("predict",))


@pytest.mark.parametrize("name", ["model.deprecated", "model.model", "model.pkl"])
def test_other_formats_are_refused(tmp_path, load_model, name):
    (tmp_path / name).write_bytes(b"binf")
    with pytest.raises(UnsupportedModel, match=rf"needs one file \*\.json, \*\.ubj, \*\.bst in {name}"):
        load_model(tmp_path / name, "xgboost")


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_a_file_that_is_cut_off_anywhere_is_refused_and_ends_nobody(tmp_path, load_model, suffix):
    whole = tmp_path / f"whole.{suffix}"
    xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y).save_model(whole)
    content, file = whole.read_bytes(), tmp_path / f"model.{suffix}"
    for part in range(20):
        file.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(UnloadableModel, match=f"model.{suffix} is no XGBoost model: ."):
            load_model(file, "xgboost")


def test_a_model_of_another_library_is_refused(tmp_path, load_model):
    lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(X, Y).booster_.save_model(tmp_path / "model.json")
    with pytest.raises(UnloadableModel, match=r"no XGBoost model: .*Invalid model format"):
        load_model(tmp_path / "model.json", "xgboost")


def test_without_the_library_the_reason_names_the_package(load_saved, without):
    booster = trained("reg:squarederror", Y)
    without("xgboost")
    with pytest.raises(MissingLibrary, match="install xgboost-cpu, or the extra serving-xgboost"):
        load_saved(booster)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_a_pickled_classifier_is_served_by_the_sklearn_runtime(tmp_path, load_model, wrap):
    estimator = wrap(xgboost.XGBClassifier(n_estimators=5)).fit(X, Y)
    joblib.dump(estimator, tmp_path / "model.joblib")
    model = load_model(tmp_path / "model.joblib", "sklearn")
    answer = model.predict(X, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], estimator.predict(X))
    assert np.array_equal(answer["predict_proba"], estimator.predict_proba(X))
