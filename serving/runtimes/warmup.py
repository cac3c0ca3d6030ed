"""The first call of a model: what is slow only once is done before anybody waits, and the outputs show their types."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.datatypes import DTYPES, datatype_of
from serving.runtimes.base import OutputSpec, Signature, Tensors

log = logging.getLogger(__name__)


def warm_up(
    predict: Callable[[Any, tuple[str, ...]], Mapping[str, np.ndarray]], signature: Signature
) -> tuple[OutputSpec, ...]:
    """Have one row of ones answered with every output; the outputs as they came.

    Of a model whose input is text or of unknown shape, or that refuses such a row, the outputs as it describes them:
    it may be right about other rows.
    """
    row = ones(signature)
    if row is None:
        return signature.outputs
    try:
        with np.errstate(all="ignore"):
            answer = predict(row, tuple(output.name for output in signature.outputs))
    except Exception as error:  # noqa: BLE001 - a model is foreign code
        log.warning("the warm-up call raised %r; the model is served all the same", error)
        return signature.outputs
    return tuple(
        OutputSpec(name, datatype_of(values.dtype), (-1, *values.shape[1:])) for name, values in answer.items()
    )


def ones(signature: Signature) -> Any:
    """One row of ones, as `LoadedModel.predict` takes it; None where the model takes text, or says too little."""
    if signature.tabular:
        if signature.width is None or signature.dtype == object:
            return None
        return np.ones((1, signature.width), signature.dtype)
    dtypes = {spec.name: DTYPES[spec.datatype] for spec in signature.tensors}
    if not dtypes or object in dtypes.values():
        return None
    return Tensors(
        {spec.name: np.ones([max(size, 1) for size in spec.shape], dtypes[spec.name]) for spec in signature.tensors}
    )
