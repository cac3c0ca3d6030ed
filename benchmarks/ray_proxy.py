"""The same model behind Ray Serve's own HTTP proxy, as its documentation would have it: a process that serves until its
standard input ends. Called as `python -m benchmarks.ray_proxy MODEL PORT`; prints `ready` once it answers.
"""

import sys

import joblib
import numpy as np
import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=256, logging_config={"enable_access_log": False})
class Iris:
    """v2 REST inference of one FP64 tensor, with nothing around it."""

    def __init__(self, path: str) -> None:
        self._model = joblib.load(path)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        document = orjson.loads(await request.body())
        tensor = document["inputs"][0]
        rows = np.asarray(tensor["data"], dtype=np.float64).reshape(tensor["shape"])
        labels = self._model.predict(rows)
        output = {"name": "predict", "shape": [len(labels)], "datatype": "INT64", "data": labels.tolist()}
        body = orjson.dumps({"model_name": "iris", "model_version": "1", "outputs": [output]})
        return Response(body, media_type="application/json")


def main(path: str, port: int) -> None:
    """Serve until standard input ends."""
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port, "access_log": False})
    serve.run(Iris.bind(path), route_prefix="/v2/models/iris/infer")  # type: ignore[attr-defined]
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
