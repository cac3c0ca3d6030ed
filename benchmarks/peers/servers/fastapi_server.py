"""FastAPI by hand: v2 REST inference of one FP64 tensor, with nothing around it."""

import os

import joblib
import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

model = joblib.load(os.environ["MODEL"])
app = FastAPI(openapi_url=None)


@app.post("/v2/models/iris/infer")
async def infer(request: Request) -> Response:
    """Answer one request."""
    tensor = orjson.loads(await request.body())["inputs"][0]
    rows = np.asarray(tensor["data"], dtype=np.float64).reshape(tensor["shape"])
    labels = model.predict(rows)
    output = {"name": "predict", "shape": [len(labels)], "datatype": "INT64", "data": labels.tolist()}
    body = orjson.dumps({"model_name": "iris", "model_version": "1", "outputs": [output]})
    return Response(body, media_type="application/json")
