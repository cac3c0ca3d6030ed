"""A model that is a class of its owner's: `runtime: python` with `class: package.module:Class`.

The module lies in the artifact's folder, or is installed. Nothing of Tidegate need be imported for such a class:

    class Model:
        inputs = [{"name": "age", "datatype": "INT64"}, {"name": "income"}]   # optional, as in spec.model.inputs
        outputs = ["predict"]                                                 # optional
        classes = ["no", "yes"]                                               # optional, of predict_proba

        def __init__(self, path): ...       # or a class method `load(path)` that returns the model
        def predict(self, rows): ...        # an array [rows, columns]; the answer has one entry per row

`path` is a `pathlib.Path`: the artifact's file or folder. What `predict` returns is the first output, or a mapping with
all of `outputs` by name. `inputs` of the manifest take the place of those of the class. An input with a `shape` is a
tensor: then `predict` gets an object whose `arrays` are the tensors by name. Attributes are read once, after the model
was made; `joint = False` says that every request must have a call of its own. `predict` is never called twice at once.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from serving.artifacts import require_code
from serving.datatypes import DTYPES, as_entries
from serving.errors import BadPrediction, NotAnEstimator, SignatureMismatch, UnloadableModel, UnsupportedModel
from serving.runtimes.base import OutputSpec, Signature, TensorSpec, name_features
from serving.runtimes.code import import_from
from serving.runtimes.ruled import check_rules
from serving.runtimes.warmup import warm_up
from serving.spec import InputSpec, ModelSource

_INPUT: Final = TypeAdapter(InputSpec)
_RULES: Final = frozenset(field.name for field in fields(InputSpec)) - {"name", "datatype", "shape"}
OUTPUTS: Final = ("predict",)
"""What a class gives that says nothing else."""


def load(path: Path, source: ModelSource) -> "PythonModel":
    """Make the model of its class. Raises `ModelLoadError`."""
    name = source.class_name
    if name is None:
        raise UnsupportedModel("the python runtime needs spec.model.class, such as my_package.my_module:MyModel")
    require_code(source, f"{path.name} with the class {name}, which")
    model = make(find_class(name, path), name, path)
    if not callable(getattr(model, "predict", None)):
        raise NotAnEstimator(f"{name} has no predict method")
    return PythonModel(model, name, source.inputs)


def find_class(name: str, path: Path) -> type:
    """The class `module:Class`, from the artifact's folder or installed. Raises `UnloadableModel`."""
    module_name, _, attribute = name.partition(":")
    found: Any = import_from(path if path.is_dir() else path.parent, module_name)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UnloadableModel(f"the module {module_name} has no class {attribute or '(none was named)'}")
    if not isinstance(found, type):
        raise UnloadableModel(f"{name} is a {type(found).__name__} and no class")
    return found


def make(kind: Any, name: str, path: Path) -> Any:
    """The model, by the class's own `load(path)` if it has one. Raises `UnloadableModel`."""
    by_itself = isinstance(inspect.getattr_static(kind, "load", None), classmethod | staticmethod)
    try:
        return kind.load(path) if by_itself else kind(path)
    except BaseException as error:
        raise UnloadableModel(f"{name} raised {type(error).__name__} while it was loaded: {error}") from error


class PythonModel:
    """An object with `predict`, ready to answer."""

    def __init__(self, model: Any, name: str, inputs: tuple[InputSpec, ...]) -> None:
        self._model = model
        self._name = name
        declared = inputs or _inputs(getattr(model, "inputs", ()), name)
        outputs = _outputs(getattr(model, "outputs", OUTPUTS), name)
        self._first = outputs[0].name
        tensors: tuple[TensorSpec, ...] = ()
        shaped = any(one.shape is not None for one in declared)
        if shaped:
            tensors = tuple(
                TensorSpec(one.name, one.datatype, one.shape or (-1,), one if one.ruled or one.description else None)
                for one in declared
            )
        columns = () if shaped else declared
        features, tensor = name_features(columns, tuple(one.name for one in columns), len(columns) or None)
        signature = Signature(
            platform="python",
            width=len(features) or None,
            features=features,
            tensor=tensor,
            outputs=outputs,
            classes=tuple(map(str, getattr(model, "classes", ()))),
            tensors=tensors,
            joint=bool(getattr(model, "joint", True)),
        )
        check_rules(signature)
        self.signature = replace(signature, outputs=warm_up(self.predict, signature))

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        answer = self._model.predict(rows)
        if not isinstance(answer, Mapping):
            answer = {self._first: answer}
        missing = [name for name in outputs if name not in answer]
        if missing:
            raise BadPrediction(
                f"{self._name} was asked for {', '.join(missing)} and gave {', '.join(map(str, answer))}"
            )
        return {name: as_entries(answer[name]) for name in outputs}


def _inputs(value: Any, name: str) -> tuple[InputSpec, ...]:
    """The class's own inputs. Raises `SignatureMismatch`."""
    place = f"{name}.inputs"
    try:
        return tuple(
            _INPUT.validate_python({"name": called, "datatype": datatype, "shape": shape, **rules})
            for called, datatype, shape, rules in _entries(value, "FP64", place, _RULES)
        )
    except ValidationError as error:
        [first, *_] = error.errors()
        raise SignatureMismatch(f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _outputs(value: Any, name: str) -> tuple[OutputSpec, ...]:
    """The class's own outputs. Raises `SignatureMismatch`."""
    outputs = tuple(
        OutputSpec(called, datatype, shape or (-1,))
        for called, datatype, shape, _ in _entries(value, "FP64", f"{name}.outputs")
    )
    if not outputs:
        raise SignatureMismatch(f"{name}.outputs is empty")
    return outputs


def _entries(
    value: Any, datatype: str, place: str, more: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, tuple[int, ...] | None, dict[str, Any]]]:
    """Name, datatype, shape and what there is of `more` of what a class lists: names, or mappings as in a manifest."""
    try:
        for entry in value:
            one = entry if isinstance(entry, Mapping) else {"name": entry}
            if not isinstance(one["name"], str) or one.keys() - {"name", "datatype", "shape"} - more:
                raise ValueError(one)
            if one.get("datatype", datatype) not in DTYPES:
                raise ValueError(one["datatype"])
            shape = one.get("shape")
            sizes = None if shape is None else tuple(map(int, shape))
            yield one["name"], one.get("datatype", datatype), sizes, {key: one[key] for key in more & one.keys()}
    except (TypeError, ValueError, KeyError) as error:
        raise SignatureMismatch(
            f"{place} must list names, or mappings with name, datatype and shape, as spec.model.inputs does; it is "
            f"{value!r}"
        ) from error
