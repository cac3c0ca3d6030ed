"""The binary tensor extension of v2 through a real Envoy, to a replica's own server and back."""

import asyncio
import json
from typing import Any

import numpy as np

from serving.runtimes import Signature, Tensors
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec
from tests.integration.router.upstreams import Upstream

HEADER = "inference-header-content-length"


class Echo:
    """Gives back the tensors that it gets."""

    signature = Signature("test", None, (), InputSpec("x"), (), any_tensors=True, joint=False)

    def predict(self, tensors: Tensors, outputs: tuple[str, ...]) -> dict[str, np.ndarray]:
        return dict(tensors.arrays)


async def test_bytes_behind_the_json_and_the_header_that_says_where_they_begin_pass_both_ways(
    stack: Any, make_route: Any
) -> None:
    server = ModelServer(ServerConfig("echo", "v"), Echo())
    replica = Upstream("v", port=await asyncio.to_thread(server.start))
    try:
        await stack.publish(make_route("echo", (replica, 10_000)))
        raw = np.arange(10_000, dtype="<f4").tobytes()
        tensor = {"name": "x", "shape": [100, 100], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        answer = await stack.ask(
            "/v2/models/echo/infer", head + raw, {"Inference-Header-Content-Length": str(len(head))}
        )
        assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
        length = int(answer.headers[HEADER])
        assert json.loads(answer.body[:length])["outputs"] == [tensor]
        assert answer.body[length:] == raw
    finally:
        await asyncio.to_thread(server.stop)
