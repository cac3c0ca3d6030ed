"""scikit-learn models, from joblib and pickle files (`.joblib`, `.pkl`) and from skops files (`.skops`).

Unpickling runs code of whoever made the file, so that it is for the cluster's policy to allow it. A skops file may hold
skops' default trusted types, classes that scikit-learn itself defines, and what the policy names besides.
"""

import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
import skops.io

from serving.artifacts import require_code, trusted_types
from serving.datatypes import as_entries
from serving.errors import NotAnEstimator, UnloadableModel, UntrustedType
from serving.runtimes.base import OutputSpec, Signature, name_features
from serving.runtimes.files import model_file
from serving.runtimes.warmup import warm_up
from serving.spec import InputSpec, ModelSource

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
"""What a model may be asked for: those of these methods that it has."""

SUFFIXES = (".joblib", ".pkl", ".skops")


def load(path: Path, source: ModelSource) -> "SklearnModel":
    """Load the estimator in a file, or in the one model file of a folder. Raises `ModelLoadError`."""
    file = model_file(path, SUFFIXES, "sklearn")
    estimator = _load_skops(file) if file.suffix == ".skops" else _load_pickle(file, source)
    if not callable(getattr(estimator, "predict", None)):
        raise NotAnEstimator(f"{file.name} holds a {type(estimator).__name__}, which has no predict method")
    return SklearnModel(estimator, source.inputs)


class SklearnModel:
    """An estimator, ready to answer."""

    def __init__(self, estimator: Any, inputs: tuple[InputSpec, ...]) -> None:
        composed = _use_one_job(estimator)
        self.estimator = estimator
        # Rows were checked to be finite when they were parsed, unless values may be missing; what one estimator hands
        # the next in a pipeline was not.
        missing = any(one.nullable for one in inputs)
        self._thread = _ThreadConfig(assume_finite=not (composed or missing))
        self._methods = {name: method for name in METHODS if callable(method := getattr(estimator, name, None))}
        # Rows come as plain arrays whose columns are in the model's order: the names were matched before.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
        self.signature = self._describe(estimator, inputs)

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        self._thread.touch()
        return {name: _table(self._methods[name](rows)) for name in outputs}

    def _describe(self, estimator: Any, inputs: tuple[InputSpec, ...]) -> Signature:
        width = getattr(estimator, "n_features_in_", None)
        width = None if width is None else int(width)
        known = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
        features, tensor = name_features(inputs, known, width)
        width = len(features) or width
        classes = getattr(estimator, "classes_", None)
        labels = as_entries(classes) if isinstance(classes, np.ndarray) and classes.ndim == 1 else None
        signature = Signature(
            platform=f"sklearn-{sklearn.__version__}",
            width=width,
            features=features,
            tensor=tensor,
            outputs=tuple(OutputSpec(name, "FP64", (-1,)) for name in self._methods),
            classes=() if labels is None else tuple(str(label) for label in labels.tolist()),
        )
        return replace(signature, outputs=warm_up(self.predict, signature))


class _ThreadConfig(threading.local):
    """scikit-learn's configuration is per thread; `threading.local` runs `__init__` once in each that touches it."""

    def __init__(self, *, assume_finite: bool) -> None:
        super().__init__()
        sklearn.set_config(assume_finite=assume_finite, skip_parameter_validation=True)

    def touch(self) -> None:
        """Make sure that the calling thread is configured."""


def _use_one_job(estimator: Any) -> bool:
    """Set every `n_jobs` to 1, and tell whether the estimator holds others.

    Starting a pool costs more than predicting a small batch: a forest of 100 trees takes 3 ms for a row with one job
    and 11 ms with `n_jobs=-1` on two cores. Predictions are the same. `None` is one job to scikit-learn, every core to
    XGBoost and LightGBM.
    """
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    pools = {name: 1 for name, value in parameters.items() if name.split("__")[-1] == "n_jobs" and value != 1}
    if pools:
        estimator.set_params(**pools)
    for part in (estimator, *parameters.values()):
        if hasattr(part, "get_booster") and part.__sklearn_is_fitted__():  # XGBoost's, which keeps the number elsewhere
            part.get_booster().set_param({"nthread": 1})
    return any("__" in name for name in parameters)


def _table(values: Any) -> np.ndarray:
    """An estimator's answer with the rows first: some answer a list with one array per target, or a sparse matrix."""
    if isinstance(values, list):
        values = np.stack(values, axis=1)
    elif hasattr(values, "toarray"):
        values = values.toarray()
    return as_entries(values)


def _load_pickle(file: Path, source: ModelSource) -> Any:
    require_code(source, f"{file.name}, a pickle,")
    try:
        return joblib.load(file)
    except ModuleNotFoundError as error:
        raise UnloadableModel(
            f"{file.name} needs the module {error.name}: add its package to spec.serving.pip"
        ) from error
    except BaseException as error:
        raise UnloadableModel(f"unpickling {file.name} raised {type(error).__name__}: {error}") from error


def _load_skops(file: Path) -> Any:
    trusted = trusted_types()
    try:
        foreign = skops.io.get_untrusted_types(file=file)
        untrusted = [name for name in foreign if not (_is_sklearn_class(name) or name in trusted)]
        if not untrusted:
            return skops.io.load(file, trusted=foreign)
    except Exception as error:
        raise UnloadableModel(f"reading {file.name} raised {type(error).__name__}: {error}") from error
    raise UntrustedType(f"{file.name} holds types that are not trusted: {', '.join(sorted(untrusted))}")


def _is_sklearn_class(name: str) -> bool:
    """Whether scikit-learn defines this class itself: its modules also hold functions of others, which run commands."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn."):
        return False
    kind = getattr(import_module(module), attribute, None)
    return isinstance(kind, type) and kind.__module__.startswith("sklearn.")
