"""Models on the node's own file system: `file:` and claims that are mounted into the Ray pods."""

import shutil
from pathlib import Path
from urllib.parse import unquote

from serving.artifacts.settings import ArtifactSettings
from serving.errors import ArtifactNotFound, UnsupportedModel
from serving.uri import Location

SCHEMES = ("file", "pvc")


def named_path(location: Location, settings: ArtifactSettings) -> Path:
    """The path that a location names, whether or not there is anything. Raises `ModelLoadError`."""
    if location.scheme == "file":
        return Path(location.path)
    claim, path = location.authority, unquote(location.path)
    if settings.claims is None:
        raise UnsupportedModel("no claims are mounted here: pvc: needs a cluster, and the chart's models.claims")
    if not (settings.claims / claim).is_dir():
        raise UnsupportedModel(
            f"the claim {claim} is not mounted into the Ray pods: add it to the chart's models.claims"
        )
    if ".." in Path(path).parts:
        raise ArtifactNotFound(f"{path} leads out of the claim {claim}")
    return settings.claims / claim / path


def copy(location: Location, settings: ArtifactSettings, target: Path) -> Path:
    """Copy the file or folder into the folder `target`; the copy. Raises `ArtifactNotFound`, `UnsupportedModel`."""
    named = named_path(location, settings)
    try:
        path = named.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactNotFound(f"there is nothing at {named}") from error
    _require_within_claim(path, named, location, settings)
    if target.resolve().is_relative_to(path):
        raise ArtifactNotFound(f"{named} is no model's folder: the cache for models lies within it")
    _copy(path, target / path.name)
    return target / path.name


def read_beside(location: Location, settings: ArtifactSettings, suffix: str, limit: int) -> bytes | None:
    """Up to `limit` bytes of the regular file beside a model; None if there is none.

    Raises `ArtifactNotFound` for one that is not in the model's claim, `UnsupportedModel`, `OSError`.
    """
    model = named_path(location, settings)
    named = model.with_name(model.name + suffix)
    if not named.is_file():
        return None
    path = named.resolve()
    _require_within_claim(path, named, location, settings)
    with path.open("rb") as file:
        return file.read(limit)


def _require_within_claim(path: Path, named: Path, location: Location, settings: ArtifactSettings) -> None:
    """Refuse what symbolic links on the way from `named` to `path` lead out of its claim to."""
    if location.scheme != "pvc" or settings.claims is None:
        return
    if not path.is_relative_to((settings.claims / location.authority).resolve()):
        raise ArtifactNotFound(f"{named} leads out of the claim {location.authority}")


def _copy(path: Path, target: Path) -> None:
    """Copy a regular file, or a folder of regular files. A symbolic link inside a folder may not lead out of it."""
    if path.is_file():
        shutil.copyfile(path, target)
        return
    if not path.is_dir():
        raise ArtifactNotFound(f"{path} is neither a regular file nor a folder")
    for entry in path.rglob("*"):
        if not entry.resolve().is_relative_to(path):
            raise ArtifactNotFound(f"{entry} leads out of the model's folder {path}")
        if not (entry.is_file() or entry.is_dir()):
            raise ArtifactNotFound(f"{entry} is neither a regular file nor a folder")
    shutil.copytree(path, target)
