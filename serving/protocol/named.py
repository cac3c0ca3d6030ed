"""Named fields: a row is an object such as `{"sepal_length": 5.1, …}`.

One row gets `{"prediction", "probabilities", "model_version"}`; `{"instances": [{…}, …]}` gets the lists
`{"predictions", "probabilities", "model_version"}`. Probabilities come from classifiers that have them, by label.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestError
from serving.protocol.base import Query, json_name, read_object
from serving.protocol.table import Table
from serving.runtimes import Signature

PROBABILITIES = "predict_proba"


class NamedCodec:
    """`POST /api/v1/models/{name}/predict`."""

    def __init__(self, version: str, signature: Signature, table: Table) -> None:
        self._version = version
        self._table = table
        self._classes = signature.classes
        names = [output.name for output in signature.outputs]
        self._outputs = (names[0], PROBABILITIES) if PROBABILITIES in names and signature.classes else (names[0],)

    def decode(self, body: bytes | bytearray) -> Query:
        """Read one row, or several under `instances`. Raises `RequestError`."""
        request = read_object(body)
        single = "instances" not in request or "instances" in self._table.names
        instances = [request] if single else request["instances"]
        if type(instances) is not list:
            raise RequestError(400, "invalid_request", f"instances must be a list, not {json_name(instances)}")
        return Query(self._table.from_records(instances, "row" if single else "instances"), self._outputs, single)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The answer, for one row without the lists."""
        columns: dict[str, list[Any]] = {"predictions": outputs[query.outputs[0]].tolist()}
        if len(query.outputs) > 1:
            columns["probabilities"] = [
                dict(zip(self._classes, row, strict=True)) for row in outputs[PROBABILITIES].tolist()
            ]
        if not query.echo:
            return orjson.dumps({**columns, "model_version": self._version})
        only = {"prediction" if name == "predictions" else name: values[0] for name, values in columns.items()}
        return orjson.dumps({**only, "model_version": self._version})
