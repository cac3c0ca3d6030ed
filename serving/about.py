"""What a model is and how good it was in training: `GET /api/v1/models/{name}/info`."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson

from serving.artifacts import read_beside
from serving.errors import ModelLoadError
from serving.runtimes import Signature
from serving.spec import ModelSource

SUFFIX: Final = ".metrics.json"
"""What follows the name of the model's file or folder: a JSON object, of the trainer's own choice, lies there."""
LARGEST: Final = 1 << 20
"""Bytes of such a file."""

log = logging.getLogger(__name__)

Metrics = Mapping[str, Any]


def read_metrics(source: ModelSource) -> Metrics:
    """What lies beside a model about its training; nothing if it cannot be used, which is logged."""
    try:
        content = read_beside(source, SUFFIX, LARGEST)
        if content is None:
            return {}
        document = orjson.loads(content)
        if not isinstance(document, dict):
            raise TypeError("it must hold a JSON object")
    except (ModelLoadError, OSError, TypeError, ValueError) as problem:
        log.warning("the metrics %s%s are left out: %s", source.uri, SUFFIX, problem)
        return {}
    return document


def info(model: str, version: str, signature: Signature, metrics: Metrics) -> dict[str, Any]:
    """The answer. `features` are the columns of a table by name, or the tensors that the model takes."""
    return {
        "name": model,
        "version": version,
        "runtime": signature.platform,
        "features": [
            {"name": each.name, "datatype": each.datatype} for each in signature.features or signature.tensors
        ],
        "outputs": [
            {"name": each.name, "datatype": each.datatype, **({"labels": each.labels} if each.labels else {})}
            for each in signature.outputs
        ],
        "metrics": metrics,
    }
