"""LightGBM models in its own text format (`.txt`, `.lgb`, `.bst`), saved by a Booster.

A model is a classifier when its objective is one: `predict` then gives labels, as `LGBMClassifier` does, and
`predict_proba` probabilities. The format knows no labels, only their places: the classes are 0, 1, …. A missing value
is NaN.
"""

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

SUFFIXES: Final = (".txt", ".lgb", ".bst")
BINARY: Final = "binary"
MULTICLASS: Final = frozenset({"multiclass", "multiclassova"})
_HEADER: Final = 1 << 20
"""Bytes in which the objective is named."""
_OBJECTIVE: Final = re.compile(rb"^objective=(\w+)", re.MULTILINE)
_UNNAMED: Final = re.compile(r"Column_\d+")
"""What LightGBM calls columns that have no names."""


def load(path: Path, source: ModelSource) -> "LightGBMModel":
    """Load the Booster in a file, or in the one model file of a folder. Raises `ModelLoadError`."""
    lightgbm = library("lightgbm", "lightgbm", "lightgbm")
    file = model_file(path, SUFFIXES, "lightgbm")
    content = file.read_bytes()
    if not content.startswith(b"tree"):
        raise UnloadableModel(f"{file.name} is no LightGBM model: it does not begin as one")
    if b"\nend of trees" not in content:
        raise UnloadableModel(f"{file.name} is no whole LightGBM model: it is cut off before the end of its trees")
    reason = reason_against(lightgbm, file)
    if reason is not None:
        raise UnloadableModel(f"{file.name} is no LightGBM model: {reason}")
    objective = _OBJECTIVE.search(content[:_HEADER])
    return LightGBMModel(
        lightgbm, lightgbm.Booster(model_file=file), objective[1].decode() if objective else "", source.inputs
    )


class LightGBMModel:
    """A Booster, ready to answer."""

    def __init__(self, lightgbm: Any, booster: Any, objective: str, inputs: tuple[InputSpec, ...]) -> None:
        self.booster = booster
        self._outputs: dict[str, Callable[[np.ndarray], np.ndarray]] = {"predict": np.asarray}
        classes: tuple[str, ...] = ()
        if objective == BINARY:
            self._outputs = {"predict": _above_a_half, "predict_proba": _of_two}
            classes = ("0", "1")
        elif objective in MULTICLASS:
            self._outputs = {"predict": _likeliest, "predict_proba": np.asarray}
            classes = tuple(map(str, range(booster.num_model_per_iteration())))
        names, width = tuple(booster.feature_name()), booster.num_feature()
        features, tensor = name_features(inputs, () if all(map(_UNNAMED.fullmatch, names)) else names, width)
        signature = Signature(
            platform=f"lightgbm-{lightgbm.__version__}",
            width=width,
            features=features,
            tensor=tensor,
            outputs=tuple(OutputSpec(name, "FP64", (-1,)) for name in self._outputs),
            classes=classes,
        )
        require_numbers(signature, "LightGBM")
        self.signature = replace(signature, outputs=warm_up(self.predict, signature))

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        if rows.dtype.kind != "f":
            rows = rows.astype(np.float64)  # LightGBM itself would take whole numbers as FP32
        # More threads gain nothing below hundreds of rows, and take the cores of other replicas.
        values = np.asarray(self.booster.predict(rows, num_threads=1))
        return {name: self._outputs[name](values) for name in outputs}


def _above_a_half(values: np.ndarray) -> np.ndarray:
    return (values > 0.5).astype(np.int64)


def _of_two(values: np.ndarray) -> np.ndarray:
    return np.stack([1.0 - values, values], axis=1)


def _likeliest(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.argmax(axis=1))
