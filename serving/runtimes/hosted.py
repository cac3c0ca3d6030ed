"""What the runtimes of other servers' classes share: making one, a loop for its coroutines, tensors in and out, errors.

Such a class gets each request whole, in the form that it would get at home, and its answer may be anything.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import numpy as np

from serving.artifacts import require_code
from serving.datatypes import DTYPES, as_entries, datatype_of
from serving.errors import (
    BadPrediction,
    MissingLibrary,
    RequestError,
    SignatureMismatch,
    UnloadableModel,
    UnsupportedModel,
)
from serving.runtimes.base import Signature, TensorSpec
from serving.runtimes.python import find_class
from serving.spec import InputSpec, ModelSource

FOLDERS: Final = ("model_dir", "model_path", "model_uri", "path", "uri")
"""Parameters of a constructor that are given the artifact's file or folder, as text."""
NAMES: Final = ("name", "model_name")
"""Those that are given the model's name."""

_Value = TypeVar("_Value")


def package(module: str, name: str) -> ModuleType:
    """Import what a class was made for. Raises `MissingLibrary`, `UnloadableModel`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"such a class needs the module {error.name}: add {name} to spec.serving.pip, which gives the version an "
            "environment of its own"
        ) from error
    except Exception as error:
        # Not only an ImportError: protobuf, for one, raises errors of its own for messages that another release made.
        raise UnloadableModel(f"the package {name} is installed, but does not work here: {error}") from error


def require_class(path: Path, source: ModelSource, base: type | None = None) -> type:
    """The class that the manifest names, which must be a `base`, where its code may run. Raises `ModelLoadError`."""
    name = source.class_name
    if name is None:
        raise UnsupportedModel(
            f"the {source.runtime} runtime needs spec.model.class, such as my_package.my_module:MyModel"
        )
    require_code(source, f"{path.name} with the class {name}, which")
    found = find_class(name, path)
    if base is not None and not issubclass(found, base):
        raise UnsupportedModel(f"{name} is no {base.__module__.partition('.')[0]}.{base.__name__}")
    return found


def construct(kind: type, path: Path, name: str, given: Mapping[str, Any] | None = None) -> Any:
    """An object of the class, made with `given` and with those of its parameters that mean its name or its folder.

    Raises `UnloadableModel`.
    """
    values: dict[str, Any] = dict(given or {})
    try:
        parameters = inspect.signature(kind).parameters.values()
        for parameter in parameters:
            if parameter.name in FOLDERS:
                values.setdefault(parameter.name, str(path))
            elif parameter.name in NAMES:
                values.setdefault(parameter.name, name)
        return kind(**values)
    except BaseException as error:
        raise UnloadableModel(f"{kind.__name__} raised {type(error).__name__} while it was made: {error}") from error


def signature(platform: str, inputs: tuple[InputSpec, ...], *, documents: bool) -> Signature:
    """What is known of such a class: nothing, or the tensors that the manifest declares. Raises `SignatureMismatch`."""
    unknown = [one.datatype for one in inputs if one.datatype not in DTYPES]
    if unknown:
        raise SignatureMismatch(f"spec.model.inputs: {unknown[0]} is no datatype; known: {', '.join(DTYPES)}")
    return Signature(
        platform=platform,
        width=None,
        features=(),
        tensor=InputSpec("input-0"),
        outputs=(),
        tensors=tuple(TensorSpec(one.name, one.datatype, one.shape or (-1,)) for one in inputs),
        any_tensors=not inputs,
        joint=False,
        documents=documents,
    )


class Loop:
    """An event loop on a thread of its own, for classes whose methods are coroutines: what they begin there goes on
    between requests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="tidegate-coroutines", daemon=True).start()

    def run(self, work: Awaitable[_Value]) -> _Value:
        """Wait for `work`. Raises what it raises, but a `RuntimeError` where it wants to end the process."""
        return asyncio.run_coroutine_threadsafe(_contained(work), self._loop).result()


async def _contained(work: Awaitable[_Value]) -> _Value:
    try:
        return await work
    except (KeyboardInterrupt, SystemExit) as error:  # it would end the loop, and nobody would hear of it
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


async def settled(value: Any) -> Any:
    """What a method has returned that may be a coroutine."""
    return await value if inspect.isawaitable(value) else value


def flat(array: np.ndarray) -> list[Any]:
    """The values of a tensor as JSON would bring them: flat, and Python's own."""
    values: list[Any] = array.ravel().tolist()
    return values


def datatype(array: np.ndarray) -> str:
    """The datatype of a tensor of a request."""
    return datatype_of(array.dtype)


def tensor(name: str, kind: str, shape: Any, data: Any) -> np.ndarray:
    """An output as a class describes it. Raises `BadPrediction`."""
    if kind not in DTYPES:
        raise BadPrediction(f"output {name} has the unknown datatype {kind}")
    try:
        if kind == "BYTES":
            array = np.empty(len(entries := _leaves(data)), object)
            array[:] = entries
        else:
            array = np.asarray(data, DTYPES[kind])
        return array.reshape([int(size) for size in shape])
    except (TypeError, ValueError, OverflowError) as error:
        raise BadPrediction(
            f"output {name} does not have the values that its shape and datatype say: {error}"
        ) from error


def _leaves(data: Any) -> list[Any]:
    if isinstance(data, np.ndarray):
        data = data.tolist()
    if isinstance(data, list | tuple):
        return [leaf for part in data for leaf in _leaves(part)]
    return [data]


def regular(values: Any) -> np.ndarray | None:
    """Values as an array of numbers, booleans or text; None if they are not all alike, or nested unevenly."""
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    return None if array.dtype == object or array.ndim == 0 else as_entries(array)


def refusal(status: Any, message: str) -> RequestError | None:
    """The error of a class that says itself which HTTP status it wants; None if that is none of an error."""
    try:
        wanted = HTTPStatus(int(status))
    except (TypeError, ValueError):
        return None
    if wanted < 400:
        return None
    return RequestError(wanted, "model_refused" if wanted < 500 else "model_error", message)
