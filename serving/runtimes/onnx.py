"""ONNX models (`.onnx`), answered by onnxruntime on the CPU.

A graph with one input [rows, columns] takes a table, and so does one whose inputs are columns, [rows] or [rows, 1]
each: they are the table's columns by name. Any other graph takes tensors. Outputs are called as in the graph; those of
a converted classifier, its label and its probabilities, are also `predict` and `predict_proba`. Probabilities that a
ZipMap made into maps become an array again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.datatypes import DTYPES, as_entries, datatype_of
from serving.errors import SignatureMismatch, UnsupportedModel
from serving.runtimes.base import OutputSpec, Signature, Tensors, TensorSpec, name_features
from serving.runtimes.files import model_file
from serving.runtimes.onnxsession import Session
from serving.spec import InputSpec, ModelSource

SUFFIXES: Final = (".onnx",)
LABELS: Final = frozenset({"label", "output_label"})
PROBABILITIES: Final = frozenset({"probabilities", "output_probability", "probability_tensor"})
"""What skl2onnx and onnxmltools call the outputs of a classifier."""

log = logging.getLogger(__name__)


def load(path: Path, source: ModelSource) -> "OnnxModel":
    """Load the graph in a file, or in the one model file of a folder. Raises `ModelLoadError`."""
    file = model_file(path, SUFFIXES, "onnx")
    return OnnxModel(Session.open(file, file.name), source.inputs)


class OnnxModel:
    """A graph, ready to answer."""

    def __init__(self, session: Session, inputs: tuple[InputSpec, ...]) -> None:
        """`inputs` are those of the manifest. Raises `SignatureMismatch`, `UnsupportedModel`."""
        self._session = session
        self._one_by_one = _has_one_row(session)
        self._columns = _are_columns(session.inputs)
        self._names = {output.name: output.name for output in session.outputs} | _aliases(session)
        signature = Signature(
            platform=f"onnxruntime-{session.version}",
            width=None,
            features=(),
            tensor=InputSpec(session.inputs[0].name),
            outputs=tuple(replace(session.output(graph), name=name) for name, graph in self._names.items()),
        )
        signature = self._tabular(signature, inputs) or _of_tensors(signature, session.inputs, inputs)
        self.signature = self._tried(signature)

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        wanted = list({self._names[name]: None for name in outputs})
        if self._one_by_one and len(rows) > 1:
            parts = [
                self._ask(rows.slice(row, row + 1) if isinstance(rows, Tensors) else rows[row : row + 1], wanted)
                for row in range(len(rows))
            ]
            answer = {name: np.concatenate([part[name] for part in parts]) for name in wanted}
        else:
            answer = self._ask(rows, wanted)
        return {name: answer[self._names[name]] for name in outputs}

    def _ask(self, rows: Any, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return dict(zip(wanted, map(_entries, self._session.run(self._feeds(rows), wanted)), strict=True))

    def _feeds(self, rows: Any) -> dict[str, np.ndarray]:
        specs = self._session.inputs
        if isinstance(rows, Tensors):
            return {spec.name: _as(rows.arrays[spec.name], spec) for spec in specs}
        if not self._columns:
            return {specs[0].name: _as(rows, specs[0])}
        return {
            spec.name: _as(rows[:, place].reshape(len(rows), *spec.shape[1:]), spec) for place, spec in enumerate(specs)
        }

    def _tabular(self, signature: Signature, inputs: tuple[InputSpec, ...]) -> Signature | None:
        """The signature of a graph that takes a table; None for one of tensors."""
        specs = self._session.inputs
        if self._columns:
            known, width = tuple(spec.name for spec in specs), len(specs)
        elif len(specs) == 1 and len(specs[0].shape) == 2:
            known, width = (), (_narrowed(inputs[0], specs[0]) if len(inputs) == 1 else specs[0].shape)[1]
        else:
            return None
        features, tensor = name_features(inputs, known, None if width < 0 else width)
        if not inputs:
            features = tuple(InputSpec(spec.name, spec.datatype) for spec in specs) if self._columns else ()
            tensor = InputSpec(specs[0].name, specs[0].datatype)
        columns = features or (tensor,)
        for column, spec in zip(columns, specs if self._columns else specs * len(columns), strict=True):
            _check_datatype(column, spec)
        return replace(
            signature, width=len(features) or (None if width < 0 else width), features=features, tensor=tensor
        )

    def _tried(self, signature: Signature) -> Signature:
        """The signature with outputs as they come for one row of ones, and the classes that its maps name.

        What is slow only once is done by that too. A graph may refuse such a row and be right about others.
        """
        specs = self._session.inputs
        sizes = [[max(size, 1) for size in spec.shape] for spec in specs]
        if signature.tabular and signature.width and not self._columns:
            sizes[0][1] = signature.width
        feeds = {
            spec.name: np.full(size, "" if spec.datatype == "BYTES" else 1, DTYPES[spec.datatype])
            for spec, size in zip(specs, sizes, strict=True)
        }
        names = [output.name for output in self._session.outputs]
        try:
            found = dict(zip(names, self._session.run(feeds, names), strict=True))
            arrays = {name: _entries(values) for name, values in found.items()}
        except Exception as error:  # noqa: BLE001 - a graph may refuse a row of ones
            log.warning("the warm-up call raised %r; the model is served all the same", error)
            return signature
        maps = found.get(self._names.get("predict_proba", ""))
        return replace(
            signature,
            outputs=tuple(
                OutputSpec(name, datatype_of(values.dtype), (-1, *values.shape[1:]))
                for name, values in ((name, arrays[graph]) for name, graph in self._names.items())
            ),
            classes=tuple(map(str, maps[0])) if isinstance(maps, list) else (),
        )


def _has_one_row(session: Session) -> bool:
    """Whether the graph was exported for exactly one row. Raises `UnsupportedModel` for another fixed number."""
    for spec in session.inputs:
        if not spec.shape:
            raise UnsupportedModel(f"input {spec.name} of {session.name} has no axis for rows: export it with one")
        if spec.shape[0] > 1:
            raise UnsupportedModel(
                f"input {spec.name} of {session.name} takes exactly {spec.shape[0]} rows, no more and no fewer: export "
                "the model with a dynamic first axis"
            )
    return any(spec.shape[0] == 1 for spec in session.inputs)


def _are_columns(specs: Sequence[TensorSpec]) -> bool:
    return all(spec.shape[1:] in ((), (1,)) for spec in specs)


def _aliases(session: Session) -> dict[str, str]:
    """`predict` and `predict_proba` of a converted classifier."""
    names = [output.name for output in session.outputs]
    labels = [name for name in names if name in LABELS]
    probabilities = [name for name in names if name in PROBABILITIES or name in session.maps]
    if len(labels) != 1 or len(probabilities) != 1:
        return {}
    return {"predict": labels[0], "predict_proba": probabilities[0]}


def _of_tensors(signature: Signature, specs: tuple[TensorSpec, ...], declared: tuple[InputSpec, ...]) -> Signature:
    """The signature of a graph of tensors. The manifest may fix sizes that the graph leaves open.

    Raises `SignatureMismatch`.
    """
    by_name = {one.name: one for one in declared}
    if declared and by_name.keys() != {spec.name for spec in specs}:
        names = ", ".join(spec.name for spec in specs)
        raise SignatureMismatch(f"spec.model.inputs names {', '.join(by_name)}; the model takes {names}")
    tensors = []
    for spec in specs:
        shape = spec.shape
        if (one := by_name.get(spec.name)) is not None:
            _check_datatype(one, spec)
            shape = _narrowed(one, spec)
        tensors.append(replace(spec, shape=(-1, *shape[1:])))
    return replace(signature, tensors=tuple(tensors))


def _narrowed(declared: InputSpec, spec: TensorSpec) -> tuple[int, ...]:
    if declared.shape is None:
        return spec.shape
    if len(declared.shape) != len(spec.shape) or any(
        -1 not in (one, size) and one != size for one, size in zip(declared.shape[1:], spec.shape[1:], strict=True)
    ):
        raise SignatureMismatch(
            f"spec.model.inputs: {declared.name} has shape {list(declared.shape)}, the model takes {list(spec.shape)}"
        )
    return tuple(max(sizes) for sizes in zip(declared.shape, spec.shape, strict=True))


def _check_datatype(declared: InputSpec, spec: TensorSpec) -> None:
    """Refuse an input that could not become what the graph takes without a loss of kind."""
    dtype, wanted = DTYPES[declared.datatype], DTYPES[spec.datatype]
    if declared.nullable and wanted.kind != "f":
        raise SignatureMismatch(
            f"spec.model.inputs: {declared.name} is nullable, and the model takes {spec.datatype}: only floating point "
            "numbers may be missing there"
        )
    if (object in (dtype, wanted) and dtype != wanted) or not np.can_cast(dtype, wanted, "same_kind"):
        raise SignatureMismatch(
            f"spec.model.inputs: {declared.name} is {declared.datatype}; the model takes {spec.datatype}: write "
            "that as its datatype"
        )


def _as(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    return np.ascontiguousarray(values, DTYPES[spec.datatype])


def _entries(values: Any) -> np.ndarray:
    """An output as an array: also one of maps, which all have the same keys in the same order, and one of text."""
    if isinstance(values, list):
        return np.array([list(row.values()) for row in values], np.float32)
    return as_entries(values) if values.dtype == object else values
