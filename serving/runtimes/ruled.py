"""The rules that a manifest has for the inputs of a model, beside what the model says of them itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from serving.errors import SignatureMismatch
from serving.runtimes.base import LoadedModel, Signature
from serving.schema import Rule
from serving.spec import InputSpec, ModelSource


class Ruled:
    """A model whose inputs must be what its manifest says, or may be what can be read as that."""

    def __init__(self, model: LoadedModel, source: ModelSource) -> None:
        """Raises `SignatureMismatch` for rules about an input that the model does not have, or has otherwise."""
        self._model = model
        self.signature: Signature = replace(_ruled(model.signature, source.inputs), coerces=source.coerce)
        check_rules(self.signature)

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        return self._model.predict(rows, outputs)


def has_rules(source: ModelSource) -> bool:
    """Whether a manifest says more of the inputs than what they are."""
    return source.coerce or any(map(_says_more, source.inputs))


def _ruled(signature: Signature, declared: tuple[InputSpec, ...]) -> Signature:
    rules = {one.name: one for one in declared if _says_more(one)}
    columns = [feature.name for feature in signature.features]
    tensors = [tensor.name for tensor in signature.tensors]
    whole_table = signature.tabular and len(declared) == 1 and declared[0].name == signature.tensor.name
    for name in rules:
        if name not in (*columns, *tensors) and not whole_table:
            known = ", ".join((*columns, *tensors)) or "inputs without names"
            raise SignatureMismatch(f"spec.model.inputs has rules for {name}; the model takes {known}")
    return replace(
        signature,
        features=tuple(
            replace(rule, datatype=one.datatype, shape=None, nullable=rule.nullable or one.nullable)
            if (rule := rules.get(one.name)) is not None
            else one
            for one in signature.features
        ),
        tensors=tuple(replace(one, rules=rules.get(one.name, one.rules)) for one in signature.tensors),
    )


def check_rules(signature: Signature) -> None:
    """Raise `SignatureMismatch` for rules that the datatypes of the inputs make no sense of."""
    for column in (*signature.features, signature.tensor):
        Rule.of(column)
    for tensor in signature.tensors:
        if tensor.rules is not None:
            Rule.of(replace(tensor.rules, datatype=tensor.datatype))


def _says_more(declared: InputSpec) -> bool:
    return declared.ruled or bool(declared.description) or declared.example is not None
