"""The v1 protocol of TensorFlow Serving and KServe: `{"instances": […]}` in, `{"predictions": […]}` out.

https://www.tensorflow.org/tfx/serving/api_rest#predict_api
"""

from collections.abc import Mapping

import numpy as np
import orjson

from serving.errors import RequestError
from serving.protocol.base import Query, json_name, read_object
from serving.protocol.table import Table
from serving.runtimes import Signature


class V1Codec:
    """`POST /v1/models/{name}:predict`. An instance is a list of values, or an object with one value per column."""

    def __init__(self, signature: Signature, table: Table) -> None:
        self._table = table
        self._outputs = (signature.outputs[0].name,)

    def decode(self, body: bytes | bytearray) -> Query:
        """Read a predict request. Raises `RequestError`."""
        request = read_object(body)
        if "instances" not in request:
            raise RequestError(400, "missing_input", 'instances is missing: send {"instances": [[…], …]}')
        instances = request["instances"]
        if type(instances) is not list:
            raise RequestError(400, "invalid_request", f"instances must be a list, not {json_name(instances)}")
        read = self._table.from_records if instances and type(instances[0]) is dict else self._table.from_lists
        return Query(read(instances, "instances"), self._outputs)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The predict response: one prediction per instance."""
        return orjson.dumps({"predictions": outputs[query.outputs[0]].tolist()})
