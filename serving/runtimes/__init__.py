"""The ways to load a model. A runtime's library is imported only when a model asks for it."""

from importlib import import_module
from pathlib import Path
from typing import cast

from serving.artifacts import materialise
from serving.errors import UnsupportedModel
from serving.runtimes.base import LoadedModel, OutputSpec, Signature
from serving.spec import ModelSource

__all__ = ["LoadedModel", "OutputSpec", "Signature", "load"]

RUNTIMES = {"sklearn": "serving.runtimes.sklearn"}
"""The module of each runtime; it has `load(path, inputs) -> LoadedModel`."""


def load(source: ModelSource, cache: Path) -> LoadedModel:
    """Fetch, verify and load a model. Raises `ModelLoadError` with the real reason."""
    module = RUNTIMES.get(source.runtime)
    if module is None:
        raise UnsupportedModel(f"unknown runtime {source.runtime!r}; this release has: {', '.join(sorted(RUNTIMES))}")
    path = materialise(source, cache)
    return cast("LoadedModel", import_module(module).load(path, source.inputs))
