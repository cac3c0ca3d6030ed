"""MLflow models: a folder with an `MLmodel` file, answered by its `python_function` flavor, whatever made the model.

The signature says what the model takes: its columns become those of a table, which reaches the model as a pandas
DataFrame; its tensors, arrays. Outputs are the columns of a DataFrame or the entries of a dict that the model answers,
or else `predict`. Loading one runs code of whoever made the folder.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.artifacts import require_code
from serving.datatypes import DTYPES, as_entries, datatype_of
from serving.errors import BadPrediction, UnloadableModel, UnsupportedModel
from serving.runtimes.base import OutputSpec, Signature, Tensors, TensorSpec, name_features
from serving.runtimes.code import keep_folder_clean
from serving.runtimes.files import library
from serving.runtimes.warmup import ones
from serving.spec import InputSpec, ModelSource

FILE: Final = "MLmodel"
DATATYPES: Final = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}
"""What the types of MLflow's columns are in the Open Inference Protocol."""
PREDICT: Final = "predict"
"""What an answer without names is called."""

log = logging.getLogger(__name__)


def load(path: Path, source: ModelSource) -> "MLflowModel":
    """Load the model in a folder. Raises `ModelLoadError`."""
    folder = path.parent if path.name == FILE else path
    if not (folder / FILE).is_file():
        raise UnsupportedModel(f"the mlflow runtime needs a folder with a file {FILE}; {path.name} is none")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    pyfunc = library("mlflow.pyfunc", "mlflow-skinny and pandas", "mlflow")
    require_code(source, f"{path.name}, an MLflow model,")
    keep_folder_clean()
    try:
        model = pyfunc.load_model(str(folder), suppress_warnings=True)
    except ModuleNotFoundError as error:
        raise UnloadableModel(
            f"{path.name} needs the module {error.name}: add its package to spec.serving.pip, with the version that "
            f"its requirements.txt names"
        ) from error
    except BaseException as error:
        raise UnloadableModel(f"loading {path.name} raised {type(error).__name__}: {error}") from error
    return MLflowModel(model, library("pandas", "pandas", "mlflow"), source.inputs)


class MLflowModel:
    """A `python_function` model, ready to answer."""

    def __init__(self, model: Any, pandas: Any, inputs: tuple[InputSpec, ...]) -> None:
        """`inputs` are those of the manifest: they count where the model's own signature says nothing."""
        self._model = model
        self._pandas = pandas
        schema = model.metadata.get_input_schema()
        signature = Signature("mlflow", None, (), InputSpec("input-0"), (OutputSpec(PREDICT, "FP64", (-1,)),))
        self._table: str | None = None
        """The name of the one tensor [rows, columns] that the model takes, if it takes such a thing."""
        self._by_name = False
        if schema is None or not schema.is_tensor_spec():
            columns = inputs if schema is None else _columns(schema)
            features, tensor = name_features(columns, tuple(one.name for one in columns), len(columns) or None)
            signature = replace(signature, width=len(features) or None, features=features, tensor=tensor)
        else:
            specs, self._by_name = _tensors(schema), schema.has_input_names()
            if len(specs) == 1 and len(specs[0].shape) == 2:
                self._table = specs[0].name
                width = specs[0].shape[1]
                tensor = InputSpec(self._table, specs[0].datatype)
                signature = replace(signature, width=None if width < 0 else width, tensor=tensor)
            else:
                signature = replace(signature, tensors=specs)
        self._columns = signature.features
        self.signature = replace(signature, outputs=self._tried(signature))

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        answer = self._arrays(self._model.predict(self._data(rows)))
        missing = [name for name in outputs if name not in answer]
        if missing:
            raise BadPrediction(f"the model was asked for {', '.join(missing)} and gave {', '.join(answer)}")
        return {name: answer[name] for name in outputs}

    def _data(self, rows: Any) -> Any:
        """What the model is given, of the type that its signature demands."""
        if isinstance(rows, Tensors):
            return dict(rows.arrays) if self._by_name else next(iter(rows.arrays.values()))
        if self._table is not None:
            return {self._table: rows} if self._by_name else rows
        if not self._columns:
            return rows
        columns = {one.name: self._column(rows[:, place], one) for place, one in enumerate(self._columns)}
        return self._pandas.DataFrame({name: values for name, values in columns.items() if values is not None})

    def _column(self, values: np.ndarray, column: InputSpec) -> np.ndarray | None:
        """The values of a column; None if it must be left out, for pandas has no whole numbers that are missing."""
        dtype = DTYPES[column.datatype]
        missing = self._pandas.isna(values)
        if dtype.kind in "fO" or not missing.any():
            return values.astype(dtype)
        if dtype.kind == "b":
            return np.array(
                [None if gone else bool(value) for value, gone in zip(values, missing, strict=True)], object
            )
        return None if missing.all() else values.astype(np.float64)

    def _arrays(self, answer: Any) -> dict[str, np.ndarray]:
        """An answer by the names of its outputs."""
        if isinstance(answer, self._pandas.DataFrame):
            if not all(isinstance(name, str) for name in answer.columns):
                return {PREDICT: as_entries(answer.to_numpy())}
            return {name: as_entries(answer[name].to_numpy()) for name in answer.columns}
        if isinstance(answer, Mapping):
            return {str(name): as_entries(values) for name, values in answer.items()}
        return {PREDICT: as_entries(answer)}

    def _tried(self, signature: Signature) -> tuple[OutputSpec, ...]:
        """The outputs as they come for the example that was saved with the model, or for one row of ones."""
        example = self._model.input_example
        if example is None and (row := ones(signature)) is not None:
            example = self._data(row)
        if example is not None:
            try:
                answer = self._arrays(self._model.predict(example))
                return tuple(
                    OutputSpec(name, datatype_of(values.dtype), (-1, *values.shape[1:]))
                    for name, values in answer.items()
                )
            except Exception as error:  # noqa: BLE001 - a model may refuse a row of ones and be right about others
                log.warning("the warm-up call raised %r; the model is served all the same", error)
        schema = self._model.metadata.get_output_schema()
        if schema is None or not schema.has_input_names():
            return signature.outputs
        return tuple(OutputSpec(str(name), "FP64", (-1,)) for name in schema.input_names())


def _columns(schema: Any) -> tuple[InputSpec, ...]:
    """The columns of a signature; those without names are called by their places. Raises `UnsupportedModel`.

    Optional ones may be missing.
    """
    columns = []
    for name, kind, spec in zip(schema.input_names(), schema.input_types(), schema.inputs, strict=True):
        called = getattr(kind, "name", type(kind).__name__)
        datatype = DATATYPES.get(called)
        if datatype is None:
            raise UnsupportedModel(f"column {name} of the model is a {called}, which no column of a request can be")
        columns.append(InputSpec(str(name), datatype, nullable=not spec.required))
    return tuple(columns)


def _tensors(schema: Any) -> tuple[TensorSpec, ...]:
    """The tensors of a signature. Raises `UnsupportedModel`."""
    tensors = []
    for place, spec in enumerate(schema.inputs):
        datatype = "BYTES" if spec.type.kind in "OSU" else datatype_of(spec.type)
        if datatype == "BYTES" and spec.type.kind not in "OSU":
            raise UnsupportedModel(
                f"tensor {spec.name or place} of the model is a {spec.type}, which no request carries"
            )
        tensors.append(TensorSpec(spec.name or f"input-{place}", datatype, (-1, *spec.shape[1:])))
    return tuple(tensors)
