"""What every loaded model is to the server, whatever library made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from serving.datatypes import DTYPES
from serving.errors import SignatureMismatch
from serving.spec import Acceleration, InputSpec


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a model. `shape` counts entries per axis, -1 where it varies; the first axis is the rows.

    With `labels` every entry is one of them. `description` is for people.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor that a model takes. `shape` counts entries per axis, -1 where it varies; the rows come first.

    `rules` is what its values must be besides, if anything.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    rules: InputSpec | None = None


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a model of named tensors is asked.

    `arrays` are all of one length along their first axis, unless the model takes each request whole: then they are of
    the lengths that were sent. A whole request also keeps its `parameters`, those of its inputs by their names, its
    `id`, if it had one, and the `headers` with which it came, by their names in lower case; what shares a call with
    others has none of them. An entry of BYTES is text, or `bytes` where it is no UTF-8. `document` is the JSON object
    of a v1 request for a model that wants it as it is (`Signature.documents`); `arrays` are then its rows, if it has
    such.
    """

    arrays: Mapping[str, np.ndarray]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    input_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    document: dict[str, Any] | None = None

    def __len__(self) -> int:
        """The number of rows: the length of the first tensor along its first axis."""
        for array in self.arrays.values():
            return len(array) if array.ndim else 1
        return 0

    @property
    def kind(self) -> tuple[object, ...]:
        """What must be equal for two requests to share a call."""
        return tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(self.arrays.items()))

    def copy(self) -> "Tensors":
        """The same with arrays of its own, that may be written to."""
        return replace(self, arrays={name: array.copy() for name, array in self.arrays.items()})

    def slice(self, start: int, stop: int) -> "Tensors":
        """The rows from `start` to before `stop`."""
        return Tensors({name: array[start:stop] for name, array in self.arrays.items()})

    @staticmethod
    def join(parts: Sequence["Tensors"]) -> "Tensors":
        """The rows of all `parts`, which are of one kind, one after the other."""
        return Tensors({name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays})


class Answer(dict[str, np.ndarray]):
    """Outputs by name from a model that also says something about them, in parameters of the Open Inference Protocol.

    A model that takes each request whole may return one where others return a plain dict.
    """

    __slots__ = ("document", "output_parameters", "parameters")

    def __init__(
        self,
        outputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, Any] | None = None,
        output_parameters: Mapping[str, Mapping[str, Any]] | None = None,
        document: Any = None,
    ) -> None:
        super().__init__(outputs)
        self.parameters = parameters or {}
        """Of the answer."""
        self.output_parameters = output_parameters or {}
        """Of its outputs, by their names."""
        self.document = document
        """The whole answer to a request that came as a document."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    A model takes a table, or named tensors. `width` is the number of the table's columns (None: the model does not
    say). `features` are the columns by name, in the model's order; empty when nobody named them. `tensor` is the table
    as one input. `outputs` are what may be asked for; when nothing is, a table's model gives the first and others all
    of them. If there are none, the model gives what it likes. `classes` are the labels of a classifier's probabilities,
    in their order.

    With `tensors`, or `any_tensors` if the model does not say which, `predict` gets `Tensors` in place of the table.
    Without `joint` each request has a call of its own, whole and as it was sent: the model may give outputs of any
    length, and its own parameters with them (`Answer`). `declared` outputs are those of the manifest: all of them are
    given to whoever asks for none. With `documents` the model gets the body of a v1 request as it is, and answers with
    another: both may be any JSON objects. With `coerces` values of another type are read as the declared one where
    nothing is lost by that. `acceleration` is what came of converting the model, where the manifest asks for that.
    """

    platform: str
    width: int | None
    features: tuple[InputSpec, ...]
    tensor: InputSpec
    outputs: tuple[OutputSpec, ...]
    classes: tuple[str, ...] = ()
    tensors: tuple[TensorSpec, ...] = ()
    any_tensors: bool = False
    joint: bool = True
    declared: bool = False
    documents: bool = False
    coerces: bool = False
    acceleration: Acceleration | None = None

    @property
    def tabular(self) -> bool:
        """Whether the model takes a table."""
        return not (self.tensors or self.any_tensors)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the model's table: numbers of the widest declared type, objects if any column is text.

        A number that is missing is NaN, which whole numbers do not have: with such a column they become FP64.
        """
        columns = self.features or (self.tensor,)
        return np.result_type(*map(missing_dtype, columns))


class LoadedModel(Protocol):
    """A model in memory."""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """Answer `rows` with every one of `outputs`, each an array of as many entries along its first axis.

        `rows` is an array [n, width], or `Tensors` if the signature says so. Entries of outputs are numbers, booleans
        or text. The arrays are the caller's: the model does not write to them later. Called from several threads, but
        never from two at once. May raise anything; a `RequestError` is answered to the client as it is.
        """


def missing_dtype(column: InputSpec) -> np.dtype[Any]:
    """The dtype of a column that may hold missing values, or else its own."""
    dtype = DTYPES[column.datatype]
    return np.dtype(np.float64) if column.nullable and dtype.kind in "iub" else dtype


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
        return tuple(replace(declared[0], name=name, shape=None) for name in known), declared[0]
    if width is not None and len(declared) != width:
        raise SignatureMismatch(f"spec.model.inputs names {len(declared)} inputs, the model was fitted on {width}")
    if set(names) == set(known):
        by_name = {feature.name: feature for feature in declared}
        return tuple(by_name[name] for name in known), table
    return declared, table
