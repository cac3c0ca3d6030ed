"""What runtimes share on the way to a model: its file, its library, and what the manifest may say of a table."""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType

from serving.datatypes import DTYPES
from serving.errors import MissingLibrary, SignatureMismatch, UnloadableModel, UnsupportedModel
from serving.runtimes.base import Signature


def model_file(path: Path, suffixes: Collection[str], runtime: str) -> Path:
    """The file, or the one model file of a folder: the one called `model`, if there are several.

    Raises `UnsupportedModel`.
    """
    if path.is_file():
        candidates = [path]
    else:
        candidates = sorted(file for file in path.iterdir() if file.is_file() and file.suffix in suffixes)
        candidates = [file for file in candidates if file.stem == "model"] or candidates
    if len(candidates) != 1 or candidates[0].suffix not in suffixes:
        found = ", ".join(file.name for file in candidates) or "none"
        raise UnsupportedModel(
            f"the {runtime} runtime needs one file *{', *'.join(suffixes)} in {path.name}; found {found}"
        )
    return candidates[0]


def library(module: str, package: str, runtime: str) -> ModuleType:
    """Import what a runtime needs. Raises `MissingLibrary`, with the package to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"the {runtime} runtime needs the module {error.name}: install {package}, or the extra "
            f"serving-{runtime} of tidegate, where replicas run, or add {package} to spec.serving.pip"
        ) from error
    except (ImportError, OSError) as error:
        raise UnloadableModel(f"the package {package} is installed, but does not work here: {error}") from error


def require_numbers(signature: Signature, runtime: str) -> None:
    """Refuse declared columns of text for a library that takes numbers only. Raises `SignatureMismatch`."""
    for column in signature.features or (signature.tensor,):
        if DTYPES[column.datatype].kind == "O":
            raise SignatureMismatch(f"spec.model.inputs: {column.name} is BYTES; {runtime} models take numbers")
