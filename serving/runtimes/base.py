"""What every loaded model is to the server, whatever library made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from serving.datatypes import DTYPES
from serving.errors import SignatureMismatch
from serving.spec import InputSpec


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a model. `shape` counts entries per axis, -1 where it varies; the first axis is the rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    A model takes a table. `width` is the number of its columns (None: the model does not say). `features` are the
    columns by name, in the model's order; empty when nobody named them. `tensor` is the table as one input. `outputs`
    are what may be asked for, the first is given when nothing is. `classes` are the labels of a classifier's
    probabilities, in their order.
    """

    platform: str
    width: int | None
    features: tuple[InputSpec, ...]
    tensor: InputSpec
    outputs: tuple[OutputSpec, ...]
    classes: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the model's table: numbers of the widest declared type, objects if any column is text."""
        dtypes = [DTYPES[feature.datatype] for feature in self.features] or [DTYPES[self.tensor.datatype]]
        return np.result_type(*dtypes)


class LoadedModel(Protocol):
    """A model in memory."""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """Answer `rows` [n, width] with every one of `outputs`, each an array of n entries along its first axis.

        Entries are numbers, booleans or text. The arrays are the caller's: the model does not write to them later.
        Called from several threads, but never from two at once. May raise anything.
        """


def name_features(
    declared: tuple[InputSpec, ...], known: tuple[str, ...], width: int | None
) -> tuple[tuple[InputSpec, ...], InputSpec]:
    """The columns by name, and the table as one input, from the manifest's inputs and what the model knows itself.

    One declared input for a model of several columns names the table. Otherwise there is one per column: the same
    names as the model's go in the model's order, other names are taken in the order of the manifest. Raises
    `SignatureMismatch` when the counts differ, a name comes twice or a datatype is unknown.
    """
    for feature in declared:
        if feature.datatype not in DTYPES:
            known_types = ", ".join(DTYPES)
            raise SignatureMismatch(
                f"spec.model.inputs: {feature.name} has the unknown datatype {feature.datatype}; known: {known_types}"
            )
    table = InputSpec("input-0")
    names = tuple(feature.name for feature in declared)
    if len(set(names)) != len(names):
        raise SignatureMismatch(f"spec.model.inputs names an input twice: {', '.join(names)}")
    if not declared:
        return tuple(InputSpec(name) for name in known), table
    if len(declared) == 1 and width != 1:
        return tuple(InputSpec(name, declared[0].datatype) for name in known), declared[0]
    if width is not None and len(declared) != width:
        raise SignatureMismatch(f"spec.model.inputs names {len(declared)} inputs, the model was fitted on {width}")
    if set(names) == set(known):
        by_name = {feature.name: feature for feature in declared}
        return tuple(by_name[name] for name in known), table
    return declared, table
