"""XGBoost models in its own formats, JSON and UBJSON (`.json`, `.ubj`; `.bst` is either).

What answers is the Booster, whether it was saved by itself or by a scikit-learn class. A model is a classifier when its
objective is one, or when XGBoost's scikit-learn class that saved it was; `predict` then gives labels, as
`XGBClassifier` does, and `predict_proba` probabilities. Trees that were grown after the best round of an early stopping
are left out, as XGBoost's scikit-learn classes do. A missing value is NaN.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.errors import UnloadableModel
from serving.runtimes.base import OutputSpec, Signature, name_features
from serving.runtimes.files import library, model_file, require_numbers
from serving.runtimes.trial import reason_against
from serving.runtimes.warmup import warm_up
from serving.spec import InputSpec, ModelSource

SUFFIXES: Final = (".json", ".ubj", ".bst")
BINARY: Final = frozenset({"binary:logistic", "binary:hinge", "binary:logitraw"})
WITHOUT_PROBABILITIES: Final = frozenset({"binary:hinge", "binary:logitraw"})
_PLACE: Final = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+:\d+: ")
"""Where in its source XGBoost has found an error."""


def load(path: Path, source: ModelSource) -> "XGBoostModel":
    """Load the Booster in a file, or in the one model file of a folder. Raises `ModelLoadError`."""
    xgboost = library("xgboost", "xgboost-cpu", "xgboost")
    file = model_file(path, SUFFIXES, "xgboost")
    reason = reason_against(xgboost, file)
    if reason is not None:
        raise UnloadableModel(f"{file.name} is no XGBoost model: {_PLACE.sub('', reason)}")
    return XGBoostModel(xgboost, xgboost.Booster(model_file=file), source.inputs)


class XGBoostModel:
    """A Booster, ready to answer."""

    def __init__(self, xgboost: Any, booster: Any, inputs: tuple[InputSpec, ...]) -> None:
        # A pool of threads costs more than predicting a few rows: 0.13 ms for one with two threads, 0.09 ms with one.
        booster.set_param({"nthread": 1})
        self._xgboost = xgboost
        self.booster = booster
        learner = json.loads(booster.save_config())["learner"]
        objective = learner["objective"]["name"]
        self._in_place = learner["gradient_booster"]["name"] != "gblinear"  # has no in-place prediction
        self._kind = "margin" if objective == "multi:softmax" else "value"  # its values are labels already
        best = booster.attr("best_iteration")
        self._range = (0, int(best) + 1) if best is not None and self._in_place else (0, 0)
        classes = _classes(objective, learner["learner_model_param"], booster.attr("scikit_learn"))
        labels = _thresholds if int(learner["learner_model_param"]["num_class"]) < 2 else _likeliest
        self._outputs: dict[str, Callable[[np.ndarray], np.ndarray]] = {"predict": labels if classes else np.asarray}
        if classes and objective not in WITHOUT_PROBABILITIES:
            self._outputs["predict_proba"] = _softmax if self._kind == "margin" else _probabilities
        names, width = tuple(booster.feature_names or ()), booster.num_features()
        features, tensor = name_features(inputs, names, width)
        signature = Signature(
            platform=f"xgboost-{xgboost.__version__}",
            width=width,
            features=features,
            tensor=tensor,
            outputs=tuple(OutputSpec(name, "FP32", (-1,)) for name in self._outputs),
            classes=classes,
        )
        require_numbers(signature, "XGBoost")
        self.signature = replace(signature, outputs=warm_up(self.predict, signature))

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        values = self._ask(rows)
        return {name: self._outputs[name](values) for name in outputs}

    def _ask(self, rows: np.ndarray) -> np.ndarray:
        if self._in_place:
            answer = self.booster.inplace_predict(rows, iteration_range=self._range, predict_type=self._kind)
        else:
            matrix = self._xgboost.DMatrix(rows, nthread=1)
            answer = self.booster.predict(matrix, output_margin=self._kind == "margin", validate_features=False)
        return np.asarray(answer)


def _classes(objective: str, model: Mapping[str, str], saved_by: str | None) -> tuple[str, ...]:
    """The labels of a classifier, which XGBoost itself counts from 0; none for other models."""
    of_estimator = json.loads(saved_by or "{}").get("_estimator_type")
    if not (objective.startswith("multi:") or objective in BINARY or of_estimator == "classifier"):
        return ()
    return tuple(map(str, range(max(2, int(model["num_class"])))))


def _likeliest(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.argmax(axis=1))


def _thresholds(values: np.ndarray) -> np.ndarray:
    """1 for more than a half: of two classes, or of each target's two."""
    return (values > 0.5).astype(np.int64)


def _probabilities(values: np.ndarray) -> np.ndarray:
    return values if values.ndim > 1 else np.stack([1.0 - values, values], axis=1)


def _softmax(margins: np.ndarray) -> np.ndarray:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
