"""Asks a server with KServe's `InferenceRESTClient`, and prints what it understood as JSON. Runs in an environment of
its own."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL = f"http://{sys.argv[1]}"
SETOSA = np.array([[5.1, 3.5, 1.4, 0.2]])


def request(array, *, binary, parameters=None, name="x", model="iris"):
    datatype = {"f8": "FP64", "f2": "FP16"}[array.dtype.str[1:]]
    one = InferInput(name, list(array.shape), datatype)
    one.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model, [one], request_id="7", parameters=parameters)


def described(answer):
    return {
        "id": answer.id,
        "model": answer.model_name,
        "outputs": {
            output.name: [output.datatype, output.shape, output.as_numpy().tolist()] for output in answer.outputs
        },
    }


async def about_iris():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client, InferenceRESTClient() as v1:
        headers = {}
        as_bytes = request(SETOSA, binary=True, parameters={"binary_data_output": True})
        found = {
            "ready": [await client.is_server_ready(URL), await client.is_server_live(URL)],
            "model_ready": [await client.is_model_ready(URL, "iris"), await client.is_model_ready(URL, "other")],
            "v1_ready": await v1.is_model_ready(URL, "iris"),
            "v1": await v1.infer(URL, {"instances": SETOSA.tolist()}, "iris"),
            "json": described(await client.infer(URL, request(SETOSA, binary=False), "iris")),
            "binary": described(await client.infer(URL, as_bytes, "iris", response_headers=headers)),
            "content_type": headers["content-type"],
        }
        try:
            await client.infer(URL, request(SETOSA[:, :2], binary=True), "iris")
        except httpx.HTTPStatusError as error:
            found["bad_width"] = [error.response.status_code, str(error)]
        return found


async def about_echo():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        half = np.array([[0.5, -1.0]], np.float16)
        sent = request(half, binary=True, parameters={"binary_data_output": True}, model="echo")
        return described(await client.infer(URL, sent, "echo"))


print(json.dumps(asyncio.run(about_iris() if sys.argv[2] == "iris" else about_echo())))
