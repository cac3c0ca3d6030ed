"""A BentoML service whose route and bodies are those of v2 REST."""

import os
from typing import Any

import bentoml
import joblib
import numpy as np


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    monitoring={"enabled": False},
    traffic={"timeout": 60},
)
class Iris:
    """Asynchronous, so that no thread pool is between the request and the model."""

    def __init__(self) -> None:
        self._model = joblib.load(os.environ["MODEL"])

    @bentoml.api(route="/v2/models/iris/infer")
    async def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer one request."""
        tensor = inputs[0]
        rows = np.asarray(tensor["data"], dtype=np.float64).reshape(tensor["shape"])
        labels = self._model.predict(rows)
        output = {"name": "predict", "shape": [len(labels)], "datatype": "INT64", "data": labels.tolist()}
        return {"model_name": "iris", "model_version": "1", "outputs": [output]}
