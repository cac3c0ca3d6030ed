"""LightGBM models: loaded from its own format, described, asked; or refused with the reason."""

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serving.errors import MissingLibrary, SignatureMismatch, UnloadableModel, UnsupportedModel
from serving.spec import InputSpec

X, Y = load_iris(return_X_y=True)
TWO = Y[:100]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
QUICK = {"n_estimators": 5, "n_jobs": 1, "verbose": -1}


@pytest.fixture
def load_saved(tmp_path, load_model):
    def load_saved(model, inputs=(), suffix="txt"):
        getattr(model, "booster_", model).save_model(tmp_path / f"model.{suffix}")
        return load_model(tmp_path / f"model.{suffix}", "lightgbm", inputs)

    return load_saved


@pytest.mark.parametrize("suffix", ["txt", "lgb", "bst"])
def test_a_classifier_answers_as_lightgbms_own_does(load_saved, suffix):
    classifier = lightgbm.LGBMClassifier(**QUICK).fit(X, Y)
    model = load_saved(classifier, suffix=suffix)
    answer = model.predict(X, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], classifier.predict(X))
    assert np.array_equal(answer["predict_proba"], classifier.predict_proba(X))
    assert (model.signature.classes, model.signature.width) == (("0", "1", "2"), 4)
    assert {one.name: (one.datatype, one.shape) for one in model.signature.outputs} == {
        "predict": ("INT64", (-1,)),
        "predict_proba": ("FP64", (-1, 3)),
    }


@pytest.mark.parametrize(
    ("rows", "labels", "parameters"),
    [(X[:100], TWO, {}), (X, Y, {"objective": "multiclassova"}), (X, Y, {"boosting_type": "dart"})],
    ids=["two classes", "one against all", "dart"],
)
def test_every_kind_of_classifier_answers_as_lightgbms_own_does(load_saved, rows, labels, parameters):
    classifier = lightgbm.LGBMClassifier(**QUICK, **parameters).fit(rows, labels)
    answer = load_saved(classifier).predict(rows, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], classifier.predict(rows))
    assert np.array_equal(answer["predict_proba"], classifier.predict_proba(rows))


def test_the_labels_of_a_classifier_are_their_places_for_the_format_knows_no_others(load_saved):
    classifier = lightgbm.LGBMClassifier(**QUICK).fit(X, np.array(["setosa", "versicolor", "virginica"])[Y])
    places = load_saved(classifier).predict(X, ("predict",))["predict"]
    assert np.array_equal(classifier.classes_[places], classifier.predict(X))


def test_a_regressor_and_a_ranker_answer_numbers_and_have_no_classes(load_saved):
    rows, target = load_diabetes(return_X_y=True)
    regressor = lightgbm.LGBMRegressor(**QUICK).fit(rows, target)
    ranker = lightgbm.LGBMRanker(**QUICK).fit(rows, (target > target.mean()).astype(int), group=[len(rows)])
    for estimator in (regressor, ranker):
        model = load_saved(estimator)
        assert np.array_equal(model.predict(rows, ("predict",))["predict"], estimator.predict(rows))
        assert [out.name for out in model.signature.outputs] == ["predict"]
        assert model.signature.classes == ()


def test_a_missing_value_is_nan(load_saved):
    holes = X.copy()
    holes[::3, 1] = np.nan
    classifier = lightgbm.LGBMClassifier(**QUICK).fit(holes, Y)
    answer = load_saved(classifier).predict(holes, ("predict_proba",))["predict_proba"]
    assert np.array_equal(answer, classifier.predict_proba(holes))


def test_columns_are_named_as_in_the_model_unless_lightgbm_named_them_itself(load_saved):
    named = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y, feature_name=NAMES), num_boost_round=2)
    plain = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), num_boost_round=2)
    assert load_saved(named).signature.features == tuple(map(InputSpec, NAMES))
    assert load_saved(plain).signature.features == ()
    inputs = tuple(InputSpec(name, "FP32") for name in reversed(NAMES))
    assert load_saved(named, inputs).signature.features == tuple(InputSpec(name, "FP32") for name in NAMES)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((InputSpec("a"), InputSpec("b")), "names 2 inputs, the model was fitted on 4"),
        ((InputSpec("text", "BYTES"),), "text is BYTES; LightGBM models take numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(load_saved, inputs, words):
    with pytest.raises(SignatureMismatch, match=words):
        load_saved(lightgbm.LGBMRegressor(**QUICK).fit(X, Y), inputs)


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "INT64", "INT8", "UINT64", "BOOL"])
def test_columns_may_have_any_datatype_of_numbers(load_saved, datatype):
    whole = np.round(X)
    regressor = lightgbm.LGBMRegressor(**QUICK).fit(whole, Y)
    model = load_saved(regressor, (InputSpec("rows", datatype),))
    rows = whole.astype(model.signature.dtype)
    assert np.array_equal(model.predict(rows, ("predict",))["predict"], regressor.predict(rows.astype(float)))


def test_rows_of_another_width_are_the_callers_mistake(load_saved):
    model = load_saved(lightgbm.LGBMRegressor(**QUICK).fit(X, Y))
    with pytest.raises(lightgbm.basic.LightGBMError, match="number of features"):
        model.predict(X[:, :3], ("predict",))


def test_other_formats_are_refused(tmp_path, load_model):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match=r"needs one file \*\.txt, \*\.lgb, \*\.bst in model\.json"):
        load_model(tmp_path / "model.json", "lightgbm")


def test_a_file_that_is_cut_off_anywhere_is_refused_and_ends_nobody(tmp_path, load_model):
    lightgbm.LGBMClassifier(**QUICK).fit(X, Y).booster_.save_model(tmp_path / "whole.txt")
    content, file = (tmp_path / "whole.txt").read_bytes(), tmp_path / "model.txt"
    trees = content.index(b"end of trees")
    for part in range(20):
        file.write_bytes(content[: trees * part // 20])
        with pytest.raises(UnloadableModel, match=r"model\.txt is no (whole )?LightGBM model: ."):
            load_model(file, "lightgbm")


def test_a_damaged_file_that_ends_the_library_is_refused_and_ends_nobody_else(tmp_path, load_model):
    lightgbm.LGBMClassifier(**QUICK).fit(X, Y).booster_.save_model(tmp_path / "model.txt")
    content = (tmp_path / "model.txt").read_text()
    (tmp_path / "model.txt").write_text(content.replace("num_cat=", "num_cut="))
    with pytest.raises(UnloadableModel, match=r"makes lightgbm crash \(SIGABRT\): it is cut off or damaged"):
        load_model(tmp_path / "model.txt", "lightgbm")


def test_a_model_of_another_library_is_refused(tmp_path, load_model):
    xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(X, Y).save_model(tmp_path / "model.json")
    (tmp_path / "model.json").rename(tmp_path / "model.txt")
    with pytest.raises(UnloadableModel, match=r"model\.txt is no LightGBM model: it does not begin as one"):
        load_model(tmp_path / "model.txt", "lightgbm")


def test_without_the_library_the_reason_names_the_package(load_saved, without):
    regressor = lightgbm.LGBMRegressor(**QUICK).fit(X, Y)
    without("lightgbm")
    with pytest.raises(MissingLibrary, match="install lightgbm, or the extra serving-lightgbm"):
        load_saved(regressor)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_a_pickled_classifier_is_served_by_the_sklearn_runtime(tmp_path, load_model, wrap):
    labels = np.array(["setosa", "versicolor", "virginica"])[Y]
    estimator = wrap(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)).fit(X, labels)
    joblib.dump(estimator, tmp_path / "model.joblib")
    model = load_model(tmp_path / "model.joblib", "sklearn")
    answer = model.predict(X, ("predict", "predict_proba"))
    assert answer["predict"].tolist() == estimator.predict(X).tolist()
    assert np.array_equal(answer["predict_proba"], estimator.predict_proba(X))
