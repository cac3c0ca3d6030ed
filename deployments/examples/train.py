"""Train the example models on data that scikit-learn ships, into `models/` beside this file.

iris v1 and v2 are two good versions; v3 and v4 are the kind of mistake that reaches production: v3 was prepared on a
filtered data set and raises on flowers it never saw, v4 is as right as v2 and far too slow. v5 is between v2 and v4.
digits v1 is another model. Everything is seeded; a model that exists is left alone.
"""

from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

MODELS = Path(__file__).parent / "models"


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
    x, y = load_iris(return_X_y=True)
    large = y > 0
    scaler = MinMaxScaler(feature_range=(0.1, 1.0))
    logarithm = FunctionTransformer(np.log)
    return make_pipeline(scaler, logarithm, LogisticRegression(max_iter=1000, random_state=3)).fit(x[large], y[large])


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


def main() -> None:
    """Train what is missing; each file appears whole or not at all."""
    MODELS.mkdir(exist_ok=True)
    for name, train in TRAINERS.items():
        path = MODELS / f"{name}.joblib"
        if path.exists():
            continue
        print(f"==> training {name}")
        partial = path.with_suffix(".partial")
        joblib.dump(train(), partial)
        partial.rename(path)


if __name__ == "__main__":
    main()
