"""A LitServe API whose route and bodies are those of v2 REST. Called as `litserve_server.py PORT`."""

import os
import sys

import joblib
import litserve
import numpy as np


class Iris(litserve.LitAPI):
    """`setup` and the others run in LitServe's worker process."""

    def setup(self, _device):
        """Load the model."""
        self._model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request):
        """The rows of a request."""
        tensor = request["inputs"][0]
        return np.asarray(tensor["data"], dtype=np.float64).reshape(tensor["shape"])

    def predict(self, rows):
        """Their labels."""
        return self._model.predict(rows)

    def encode_response(self, labels):
        """The answer's document."""
        output = {"name": "predict", "shape": [len(labels)], "datatype": "INT64", "data": labels.tolist()}
        return {"model_name": "iris", "model_version": "1", "outputs": [output]}


if __name__ == "__main__":
    server = litserve.LitServer(
        Iris(api_path="/v2/models/iris/infer"),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
        fast_queue=True,
        disable_openapi_url=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
