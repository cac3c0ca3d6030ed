"""Asks the models `one` (v1) and `two` (v2) behind a port what KServe's `InferenceGRPCClient` can ask. Runs in an
environment of its own."""

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]])


def request(model, *, binary):
    tensor = InferInput("x", [*ROWS.shape], "FP64")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    return InferRequest(model, [tensor], request_id="7")


async def calls():
    async with InferenceGRPCClient(url=f"127.0.0.1:{sys.argv[1]}") as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("two")
        for model, version in (("one", "v1"), ("two", "v2")):
            for binary in (True, False):
                answer = await client.infer(request(model, binary=binary))
                assert (answer.id, answer.model_name, answer.model_version) == ("7", model, version)
                (output,) = answer.outputs
                assert (output.name, output.datatype, output.shape) == ("sum", "FP64", [2])
                assert output.as_numpy().tolist() == [3.0, 7.0]
        try:
            await client.infer(request("three", binary=True))
        except grpc.aio.AioRpcError as error:
            refusal = error.code()
        assert refusal == grpc.StatusCode.NOT_FOUND


asyncio.run(calls())
print("done")
