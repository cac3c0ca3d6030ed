"""The v1 protocol of TensorFlow Serving and KServe: `{"instances": […]}` in, `{"predictions": […]}` out.

https://www.tensorflow.org/tfx/serving/api_rest#predict_api
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestError
from serving.protocol.base import Query, Reader, default_outputs, json_name, read_object
from serving.protocol.rows import by_row
from serving.runtimes import Answer, Signature, Tensors


class V1Codec:
    """`POST /v1/models/{name}:predict`. An instance is a list of values, or an object with one value per column.

    For a model of tensors it is the nested list of one row of its tensor, or an object with one for each tensor; of
    several outputs a prediction is an object too. A model that takes documents gets whatever object was sent.
    """

    def __init__(self, signature: Signature, reader: Reader) -> None:
        self._reader = reader
        self._outputs = default_outputs(signature)
        self._documents = signature.documents
        self._single = signature.tabular and len(self._outputs) == 1

    def decode(self, body: bytes | bytearray, json_bytes: bytes | None = None) -> Query:  # noqa: ARG002 - JSON only
        """Read a predict request. Raises `RequestError`."""
        request = read_object(body)
        if self._documents:
            return Query(self._document(request), ())
        if "instances" not in request:
            raise RequestError(400, "missing_input", 'instances is missing: send {"instances": [[…], …]}')
        instances = request["instances"]
        if type(instances) is not list:
            raise RequestError(400, "invalid_request", f"instances must be a list, not {json_name(instances)}")
        return Query(self._rows(instances), self._outputs)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The predict response: one prediction per instance, or the document that the model has made."""
        if self._documents:
            return _write(outputs.document if isinstance(outputs, Answer) else None)
        if self._single:
            return orjson.dumps({"predictions": outputs[query.outputs[0]].tolist()})
        return orjson.dumps({"predictions": by_row(outputs)})

    def _rows(self, instances: list[Any]) -> np.ndarray | Tensors:
        read = self._reader.from_records if instances and type(instances[0]) is dict else self._reader.from_lists
        return read(instances, "instances")

    def _document(self, request: dict[str, Any]) -> Tensors:
        """The request as it is, and for the records what rows there are in it."""
        instances = request.get("instances")
        arrays: Mapping[str, np.ndarray] = {}
        if type(instances) is list:
            with contextlib.suppress(RequestError):  # the model may take what no tensor can hold
                rows = self._rows(instances)
                arrays = rows.arrays if isinstance(rows, Tensors) else {}
        return Tensors(arrays, document=request)


def _write(document: Any) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise RequestError(500, "model_error", f"the model's answer is no JSON: {error}") from error
