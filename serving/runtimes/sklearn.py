"""scikit-learn models, from joblib and pickle files (`.joblib`, `.pkl`) and from skops files (`.skops`).

Unpickling runs code of whoever made the file: use `spec.model.sha256`, or skops, where the maker is not trusted.
A skops file may hold skops' default trusted types and classes that scikit-learn itself defines.
"""

import logging
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

from serving.datatypes import as_entries, datatype_of
from serving.errors import NotAnEstimator, UnloadableModel, UnsupportedModel, UntrustedType
from serving.runtimes.base import OutputSpec, Signature, name_features
from serving.spec import InputSpec

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
"""What a model may be asked for: those of these methods that it has."""

SUFFIXES = (".joblib", ".pkl", ".skops")

log = logging.getLogger(__name__)


def load(path: Path, inputs: tuple[InputSpec, ...]) -> "SklearnModel":
    """Load the estimator in a file, or in the one model file of a folder. Raises `ModelLoadError`."""
    file = _model_file(path)
    estimator = _load_skops(file) if file.suffix == ".skops" else _load_pickle(file)
    if not callable(getattr(estimator, "predict", None)):
        raise NotAnEstimator(f"{file.name} holds a {type(estimator).__name__}, which has no predict method")
    return SklearnModel(estimator, inputs)


class SklearnModel:
    """An estimator, ready to answer."""

    def __init__(self, estimator: Any, inputs: tuple[InputSpec, ...]) -> None:
        composed = _use_one_job(estimator)
        # Rows were checked to be finite when they were parsed; what one estimator hands the next in a pipeline was not.
        self._thread = _ThreadConfig(assume_finite=not composed)
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
        return replace(signature, outputs=self._warm_up(signature))

    def _warm_up(self, signature: Signature) -> tuple[OutputSpec, ...]:
        """Answer one row of ones: what is slow only once is done now, and the outputs show their types."""
        if signature.width is None or signature.dtype == object:
            return signature.outputs
        try:
            row = np.ones((1, signature.width), signature.dtype)
            with np.errstate(all="ignore"):
                answer = self.predict(row, tuple(self._methods))
        except Exception as error:  # noqa: BLE001 - a model may refuse a row of ones and be right about others
            log.warning("the warm-up call raised %r; the model is served all the same", error)
            return signature.outputs
        return tuple(
            OutputSpec(name, datatype_of(values.dtype), (-1, *values.shape[1:])) for name, values in answer.items()
        )


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
    and 11 ms with `n_jobs=-1` on two cores. Predictions are the same.
    """
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    pools = {name: 1 for name, value in parameters.items() if name.split("__")[-1] == "n_jobs" and value is not None}
    if pools:
        estimator.set_params(**pools)
    return any("__" in name for name in parameters)


def _table(values: Any) -> np.ndarray:
    """An estimator's answer with the rows first: some answer a list with one array per target, or a sparse matrix."""
    if isinstance(values, list):
        values = np.stack(values, axis=1)
    elif hasattr(values, "toarray"):
        values = values.toarray()
    return as_entries(values)


def _model_file(path: Path) -> Path:
    if path.is_file():
        candidates = [path]
    else:
        candidates = sorted(file for file in path.iterdir() if file.is_file() and file.suffix in SUFFIXES)
        candidates = [file for file in candidates if file.stem == "model"] or candidates
    if len(candidates) != 1 or candidates[0].suffix not in SUFFIXES:
        found = ", ".join(file.name for file in candidates) or "none"
        raise UnsupportedModel(
            f"the sklearn runtime needs one file *{', *'.join(SUFFIXES)} in {path.name}; found {found}"
        )
    return candidates[0]


def _load_pickle(file: Path) -> Any:
    try:
        return joblib.load(file)
    except ModuleNotFoundError as error:
        raise UnloadableModel(
            f"{file.name} needs the module {error.name}: add its package to spec.serving.pip"
        ) from error
    except BaseException as error:
        raise UnloadableModel(f"unpickling {file.name} raised {type(error).__name__}: {error}") from error


def _load_skops(file: Path) -> Any:
    try:
        foreign = skops.io.get_untrusted_types(file=file)
        untrusted = [name for name in foreign if not _is_sklearn_class(name)]
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
