"""The ways to load a model. A runtime's library is imported only when a model asks for it."""

from importlib import import_module
from pathlib import Path
from typing import cast

from serving.artifacts import obtain
from serving.errors import UnsupportedModel
from serving.runtimes.accelerate import accelerated
from serving.runtimes.base import Answer, LoadedModel, OutputSpec, Signature, Tensors, TensorSpec
from serving.runtimes.declared import Declared
from serving.runtimes.ruled import Ruled, has_rules
from serving.spec import ModelSource

__all__ = ["Answer", "LoadedModel", "OutputSpec", "Signature", "TensorSpec", "Tensors", "load", "open_model"]

_OWN = ("lightgbm", "mlflow", "onnx", "python", "sklearn", "xgboost")
_FOREIGN = ("kserve", "mlserver", "seldon")
RUNTIMES = {name: f"serving.runtimes.{name}" for name in sorted((*_OWN, *_FOREIGN))}
"""The module of each runtime; it has `load(path, source) -> LoadedModel`. A class made for another server is also told
its model's name: `load(path, source, name)`."""


def load(source: ModelSource, cache: Path, name: str = "model") -> LoadedModel:
    """Fetch, verify and load a model, which is called `name`. Raises `ModelLoadError` with the real reason."""
    _module_of(source)
    artifact = obtain(source, cache)
    model = _open(artifact.path, artifact.source, name)
    if source.accelerate is not None:
        model = accelerated(model, artifact.path, artifact.sha256, artifact.source, cache)
    return _as_declared(model, artifact.source)


def open_model(path: Path, source: ModelSource, name: str = "model") -> LoadedModel:
    """Load the model in a verified file or folder; `source` is its artifact's. Raises `ModelLoadError`."""
    return _as_declared(_open(path, source, name), source)


def _open(path: Path, source: ModelSource, name: str) -> LoadedModel:
    module = import_module(_module_of(source))
    told = (name,) if source.runtime in _FOREIGN else ()
    return cast("LoadedModel", module.load(path, source, *told))


def _as_declared(model: LoadedModel, source: ModelSource) -> LoadedModel:
    if source.outputs:
        model = Declared(model, source.outputs)
    return Ruled(model, source) if has_rules(source) else model


def _module_of(source: ModelSource) -> str:
    module = RUNTIMES.get(source.runtime)
    if module is None:
        raise UnsupportedModel(f"unknown runtime {source.runtime!r}; this release has: {', '.join(RUNTIMES)}")
    return module
