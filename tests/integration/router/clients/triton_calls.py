"""Asks the models `one` (v1) and `two` (v2) behind a port everything that Triton's own client can ask. Runs in an
environment of its own."""

import asyncio
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

ADDRESS = f"127.0.0.1:{sys.argv[1]}"


def inputs(kind, datatype, values):
    tensor = kind("x", values.shape, datatype)
    tensor.set_data_from_numpy(values)
    return [tensor]


client = tritonclient.grpc.InferenceServerClient(ADDRESS)
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("one")
assert client.is_model_ready("two", "v2")
assert client.get_server_metadata().name == "tidegate"
described = client.get_model_metadata("two", as_json=True)
assert described["versions"] == ["v2"]
assert described["inputs"] == [{"name": "x", "datatype": "FP64", "shape": ["-1", "2"]}], described
for datatype, dtype in {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "UINT8": np.uint8}.items():
    values = np.array([[1, 2], [3, 4]], dtype)
    wanted = [tritonclient.grpc.InferRequestedOutput("sum")]
    sent = inputs(tritonclient.grpc.InferInput, datatype, values)
    for model in ("one", "two"):
        answer = client.infer(model, sent, outputs=wanted, request_id="7")
        assert answer.as_numpy("sum").tolist() == [3.0, 7.0]
        assert answer.get_response().id == "7"
        assert answer.get_output("sum").datatype == "FP64"
by_header = client.infer("", sent, headers={"tidegate-model": "two"})
assert by_header.get_response().model_version == "v2"
try:
    client.infer("three", sent)
except InferenceServerException as error:
    refusal = error.status(), error.message()
assert refusal[0] == "StatusCode.NOT_FOUND"
assert refusal[1].startswith("there is no model of that name")


async def many():
    async with tritonclient.grpc.aio.InferenceServerClient(ADDRESS) as channel:
        rows = [np.array([[number, 1]], np.float64) for number in range(100)]
        answers = await asyncio.gather(
            *(channel.infer("one", inputs(tritonclient.grpc.aio.InferInput, "FP64", each)) for each in rows)
        )
        assert [answer.as_numpy("sum")[0] for answer in answers] == [number + 1 for number in range(100)]


asyncio.run(many())
print("done")
