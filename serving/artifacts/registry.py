"""Versions of models in a registry of MLflow, by number or by alias."""

import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from serving.artifacts import objects
from serving.artifacts.settings import ArtifactSettings
from serving.errors import ArtifactRefused, ArtifactUnavailable, UnsupportedModel
from serving.uri import BadUri, Location, parse

VARIABLES: Final = ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
_NOT_THE_MODELS: Final = "registered_model_meta"
"""A file with name and version that MLflow adds to what it downloads; with it, the content would be another."""


def fetch(location: Location, target: Path, largest: int) -> None:
    """Copy a version's files into the folder `target`. Raises `ModelLoadError`, and whatever MLflow raises."""
    if not any(os.environ.get(name) for name in VARIABLES):
        raise UnsupportedModel(f"models: needs the address of MLflow: set {VARIABLES[1]} for Ray's processes")
    # It would download with programs of its own, past the gate.
    os.environ["MLFLOW_ENABLE_MULTIPART_DOWNLOAD"] = "false"
    try:
        repositories = import_module("mlflow.store.artifact.artifact_repository_registry")
        models = import_module("mlflow.store.artifact.models_artifact_repo")
    except ImportError as error:
        raise UnsupportedModel(
            "models: needs the package mlflow-skinny, which is not installed: build the image of the Ray pods with "
            "tidegate[mlflow], or add mlflow-skinny to spec.serving.pip"
        ) from error
    place = models.ModelsArtifactRepository.get_underlying_uri(f"models:/{location.path}")
    if not place:
        raise ArtifactUnavailable("the registry does not say where its files are")
    try:
        stored = parse(place)
    except BadUri:
        stored = None
    if stored is not None and stored.scheme in objects.PACKAGES:
        objects.fetch(stored, target, largest)
        return
    repository = repositories.get_artifact_repository(place)
    if _is_local(repository) and "file" not in ArtifactSettings.read(os.environ).schemes:
        raise ArtifactRefused("the registry names a place in the file system, and models may not come by file:")
    target.mkdir()
    copied = Path(repository.download_artifacts("", str(target)))
    if copied != target:
        shutil.copytree(copied, target, dirs_exist_ok=True)
    (target / _NOT_THE_MODELS).unlink(missing_ok=True)


def _is_local(repository: Any) -> bool:
    """Whether files come from the node's own file system, perhaps by way of a run or of another model."""
    while (inner := getattr(repository, "repo", None)) is not None:
        repository = inner
    local = import_module("mlflow.store.artifact.local_artifact_repo")
    return isinstance(repository, local.LocalArtifactRepository)
