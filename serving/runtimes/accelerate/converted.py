"""A model whose answers come from a graph that was made of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from serving.datatypes import DTYPES, as_entries
from serving.runtimes.base import LoadedModel, OutputSpec
from serving.runtimes.onnxsession import Session
from serving.spec import Acceleration

MADE = ("predict", "predict_proba")
"""What converters make of a model, in the order of the graph's outputs: a label and probabilities, or a number."""


class Converted:
    """Looks like `original` in every respect: names, shapes and datatypes of inputs and outputs are the same.

    What the graph does not give, such as `decision_function`, the original answers.
    """

    def __init__(self, original: LoadedModel, session: Session, acceleration: Acceleration | None = None) -> None:
        self._original = original
        self._session = session
        own = {output.name: output for output in original.signature.outputs}
        made = zip(MADE, session.outputs, strict=False)
        self._made = {name: (graph.name, own[name]) for name, graph in made if name in own}
        [table] = session.inputs
        self._table, self._dtype = table.name, DTYPES[table.datatype]
        self.signature = replace(original.signature, acceleration=acceleration)

    @property
    def made(self) -> tuple[str, ...]:
        """The outputs that the graph gives."""
        return tuple(self._made)

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        made = [name for name in outputs if name in self._made]
        if not made:
            return self._original.predict(rows, outputs)
        feeds = {self._table: np.ascontiguousarray(rows, self._dtype)}
        values = self._session.run(feeds, [self._made[name][0] for name in made])
        answer = {name: _like(found, self._made[name][1]) for name, found in zip(made, values, strict=True)}
        others = tuple(name for name in outputs if name not in self._made)
        return {**answer, **self._original.predict(rows, others)} if others else answer


def _like(values: Any, output: OutputSpec) -> np.ndarray:
    """The values as the original gives them."""
    values = np.reshape(values, (len(values), *output.shape[1:]))
    if output.datatype == "BYTES":
        return as_entries(values)
    return np.asarray(values, DTYPES[output.datatype])
