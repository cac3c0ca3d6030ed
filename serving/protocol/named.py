"""Named fields: a row is an object such as `{"sepal_length": 5.1, …}`.

One row gets `{"prediction", "probabilities", "model_version"}`; `{"instances": [{…}, …]}` gets the lists
`{"predictions", "probabilities", "model_version"}`. Probabilities come from classifiers that have them, by label. For a
model of tensors a field is the nested list of one row of a tensor; of several outputs a prediction is an object too.
Outputs that the manifest declares are such an object in any case, and the fields of the answer to one row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestError
from serving.protocol.base import Query, Reader, default_outputs, json_name, read_object
from serving.protocol.rows import by_row, records
from serving.runtimes import Signature

PROBABILITIES = "predict_proba"


class NamedCodec:
    """`POST /api/v1/models/{name}/predict`."""

    def __init__(self, version: str, signature: Signature, reader: Reader) -> None:
        self._version = version
        self._reader = reader
        self._classes = signature.classes
        self._outputs = default_outputs(signature)
        self._declared = signature.declared
        self._single = signature.tabular and bool(self._outputs) and not signature.declared
        if self._single and signature.classes and PROBABILITIES in {output.name for output in signature.outputs}:
            self._outputs = (*self._outputs, PROBABILITIES)

    def decode(self, body: bytes | bytearray, json_bytes: bytes | None = None) -> Query:  # noqa: ARG002 - JSON only
        """Read one row, or several under `instances`. Raises `RequestError`."""
        request = read_object(body)
        single = "instances" not in request or "instances" in self._reader.names
        instances = [request] if single else request["instances"]
        if type(instances) is not list:
            raise RequestError(400, "invalid_request", f"instances must be a list, not {json_name(instances)}")
        return Query(self._reader.from_records(instances, "row" if single else "instances"), self._outputs, single)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The answer, for one row without the lists."""
        if self._declared:
            rows = records(outputs)
            fields = rows[0] if query.echo else {"predictions": rows}
            return orjson.dumps({**fields, "model_version": self._version})
        first = outputs[query.outputs[0]].tolist() if self._single else by_row(outputs)
        columns: dict[str, list[Any]] = {"predictions": first}
        if self._single and len(query.outputs) > 1:
            columns["probabilities"] = [
                dict(zip(self._classes, row, strict=True)) for row in outputs[PROBABILITIES].tolist()
            ]
        if not query.echo:
            return orjson.dumps({**columns, "model_version": self._version})
        only = {"prediction" if name == "predictions" else name: values[0] for name, values in columns.items()}
        return orjson.dumps({**only, "model_version": self._version})
