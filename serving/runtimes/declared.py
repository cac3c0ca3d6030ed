"""The outputs that a manifest declares, in place of those that the model has by itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from serving.datatypes import DTYPES, datatype_of
from serving.errors import BadPrediction, SignatureMismatch
from serving.runtimes.base import LoadedModel, OutputSpec, Signature
from serving.spec import DeclaredOutput


class Declared:
    """A model whose outputs have the names, datatypes and labels of its manifest, in its order, and no others."""

    def __init__(self, model: LoadedModel, outputs: tuple[DeclaredOutput, ...]) -> None:
        """Raises `SignatureMismatch` for outputs that the model does not have, or has otherwise."""
        self._model = model
        self._outputs = {output.name: output for output in outputs}
        own = {output.name: output for output in model.signature.outputs}
        self.signature: Signature = replace(
            model.signature, outputs=tuple(_described(output, own) for output in outputs), declared=True
        )

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        wanted = [self._outputs[name] for name in outputs]
        answer = self._model.predict(rows, tuple(dict.fromkeys(output.source for output in wanted)))
        return {output.name: _shaped(answer[output.source], output) for output in wanted}


def _described(output: DeclaredOutput, own: Mapping[str, OutputSpec]) -> OutputSpec:
    found = own.get(output.source)
    if found is None:
        known = ", ".join(own) or "none that it tells beforehand"
        raise SignatureMismatch(f"spec.model.outputs: the model has no output {output.source}; it has {known}")
    try:
        like = _shaped(np.zeros(0, DTYPES[found.datatype]), output)
    except BadPrediction as error:
        raise SignatureMismatch(f"spec.model.outputs: {error}") from None
    return OutputSpec(output.name, datatype_of(like.dtype), found.shape, output.labels, output.description)


def _shaped(values: np.ndarray, output: DeclaredOutput) -> np.ndarray:
    """The values as they were declared. Raises `BadPrediction`."""
    if output.labels:
        return _labelled(values, output)
    if output.datatype is None or datatype_of(values.dtype) == output.datatype:
        return values
    dtype = DTYPES[output.datatype]
    numbers = output.datatype != "BYTES" and values.dtype.kind in "biuf"
    if not numbers or not np.can_cast(values.dtype, dtype, "same_kind"):
        raise BadPrediction(
            f"{output.name} is declared as {output.datatype}, and the model gives {datatype_of(values.dtype)}"
        )
    return values.astype(dtype)


def _labelled(values: np.ndarray, output: DeclaredOutput) -> np.ndarray:
    """The labels that numbers stand for, counted from 0."""
    if values.dtype.kind not in "biuf":
        raise BadPrediction(f"{output.name} has labels, which are for numbers, and the model gives text")
    with np.errstate(invalid="ignore"):
        index = values.astype(np.int64)
    known = (index == values) & (index >= 0) & (index < len(output.labels))
    if not known.all():
        strange = values[~known].flat[0].item()
        raise BadPrediction(f"{output.name} has {len(output.labels)} labels, and the model gives {strange}")
    return np.array(output.labels)[index]
