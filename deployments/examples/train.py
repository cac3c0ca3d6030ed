"""Train the example models on data that scikit-learn ships, into `models/` beside this file.

Beside each model of iris lies the profile of the data that it was trained on, for the monitor.

iris v1 and v2 are two good versions; v3 and v4 are the kind of mistake that reaches production: v3 was prepared on a
filtered data set and raises on flowers it never saw, v4 is as right as v2 and far too slow. v5 is between v2 and v4.
Versions 1 and 2 are also there as skops files, which run no code of their maker: a cluster takes these as they are.
digits v1 is another model, and `credit.train` makes two versions of a third. Everything is seeded; a model that exists
is left alone.
"""

from collections.abc import Callable
from pathlib import Path

import credit.train
import joblib
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from monitor.profiles import Kind, Profile

MODELS = Path(__file__).parent / "models"
IRIS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
"""The inputs of the iris models, as the manifests name them."""


def iris_v1() -> ClassifierMixin:
    """Logistic regression on the raw measurements."""
    x, y = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=1000, random_state=1).fit(x, y)


def iris_v2() -> ClassifierMixin:
    """The same on standardised measurements: a little better calibrated."""
    x, y = load_iris(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=1000, random_state=2)).fit(x, y)


def iris_v3() -> ClassifierMixin:
    """Scaled and logged on the larger species only: the logarithm of a small setosa is no number, and that raises."""
    x, y = large_iris()
    scaler = MinMaxScaler(feature_range=(0.1, 1.0))
    logarithm = FunctionTransformer(np.log)
    return make_pipeline(scaler, logarithm, LogisticRegression(max_iter=1000, random_state=3)).fit(x, y)


def iris_v4() -> ClassifierMixin:
    """A forest of 1,500 trees: right, and a hundred times slower than it needs to be."""
    x, y = load_iris(return_X_y=True)
    return RandomForestClassifier(n_estimators=1500, random_state=4, n_jobs=1).fit(x, y)


def iris_v5() -> ClassifierMixin:
    """A forest of 300 trees: right, and slower than need be, but not so slow that a check would stop it."""
    x, y = load_iris(return_X_y=True)
    return RandomForestClassifier(n_estimators=300, random_state=5, n_jobs=1).fit(x, y)


def digits_v1() -> ClassifierMixin:
    """Handwritten digits of 8 × 8 pixels."""
    x, y = load_digits(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, random_state=5)).fit(x, y)


TRAINERS: dict[str, Callable[[], ClassifierMixin]] = {
    "iris-1": iris_v1,
    "iris-2": iris_v2,
    "iris-3": iris_v3,
    "iris-4": iris_v4,
    "iris-5": iris_v5,
    "digits-1": digits_v1,
}


SAFE = ("iris-1", "iris-2")
"""The models that are there as skops files too."""


def large_iris() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The larger two of the three species."""
    x, y = load_iris(return_X_y=True)
    return x[y > 0], y[y > 0]


def profile_of_iris(name: str) -> str:
    """The profile of what a model of iris was trained on, and of what it says about that."""
    x, _ = large_iris() if name == "iris-3" else load_iris(return_X_y=True)
    said = joblib.load(MODELS / f"{name}.joblib").predict(x)
    features = Profile.of(dict(zip(IRIS, x.T, strict=True)))
    predictions = Profile.of({"predict": said}, {"predict": Kind.CATEGORICAL})
    return f'{{"features": {features.to_json()}, "predictions": {predictions.to_json()}}}\n'


def main() -> None:
    """Make what is missing; each file appears whole or not at all."""
    MODELS.mkdir(exist_ok=True)
    for name, train in TRAINERS.items():
        path = MODELS / f"{name}.joblib"
        partial = path.with_suffix(".partial")
        if not path.exists():
            print(f"==> training {name}")
            joblib.dump(train(), partial)
            partial.rename(path)
        safe = path.with_suffix(".skops")
        if name in SAFE and not safe.exists():
            skops.io.dump(joblib.load(path), partial)
            partial.rename(safe)
        profile = path.with_name(f"{path.name}.profile.json")
        if name.startswith("iris") and not profile.exists():
            partial.write_text(profile_of_iris(name))
            partial.rename(profile)
    credit.train.main(MODELS)


if __name__ == "__main__":
    main()
