"""Replicas with a real server and model, and calls to them over gRPC with nothing but grpcio."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc.aio
import numpy as np

from router.ir import Backend, Endpoint, Route, RouteKey
from serving.protocol import v2_grpc_messages as messages
from serving.records import RecordsConfig
from serving.runtimes import OutputSpec, Signature
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec

SERVICE = "/inference.GRPCInferenceService/"


class Sums:
    """Adds up the two values of each row. Raises on a row that begins with -1; waits at `gate`, which is open."""

    signature = Signature("test", 2, (), InputSpec("x"), (OutputSpec("sum", "FP64", (-1,)),))

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        assert self.gate.wait(30), "nobody opened the gate"
        if (rows[:, 0] == -1).any():
            raise ValueError("row begins with -1")
        return {name: rows.sum(axis=1) for name in outputs}


Start = Callable[..., ModelServer]


@contextmanager
def replicas() -> Iterator[Start]:
    """Starts replicas of a model and version; all are stopped at the end."""
    started: list[ModelServer] = []

    def start(model: str, version: str, loaded: Any = None, records: str | None = None, **fields: Any) -> ModelServer:
        sends = None if records is None else RecordsConfig(records, block_seconds=0.01, batch_seconds=0.02)
        server = ModelServer(ServerConfig(model, version, records=sends, **fields), loaded or Sums())
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def route(
    model: str, *backends: tuple[str, int, Sequence[ModelServer]], hosts: tuple[str, ...] = ("*",), **fields: Any
) -> Route:
    """A route whose backends are these versions, candidate first, with their weights and replicas."""
    return Route(
        RouteKey("default", model),
        model,
        hosts,
        tuple(
            Backend(version, weight, tuple(Endpoint("127.0.0.1", server.port) for server in servers))
            for version, weight, servers in backends
        ),
        **fields,
    )


def request(rows: Sequence[Sequence[float]], model: str = "", **fields: Any) -> Any:
    """A ModelInfer message with these rows as bytes."""
    values = np.array(rows, np.float64)
    message = messages.ModelInferRequest(model_name=model, raw_input_contents=[values.tobytes()], **fields)
    message.inputs.add(name="x", datatype="FP64", shape=values.shape)
    return message


def sums(answer: Any) -> list[float]:
    """What a ModelInfer answer says."""
    (raw,) = answer.raw_output_contents
    return list(np.frombuffer(raw).tolist())


def infer(channel: Any, method: str = "ModelInfer") -> Any:
    """A method of the service; called with a message."""
    return channel.unary_unary(
        f"{SERVICE}{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(messages, f"{method}Response", messages.ModelInferResponse).FromString,
    )


def connect(port: int, **options: Any) -> Any:
    """A channel of its own connection, that speaks without TLS."""
    settings = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options.items()]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=settings)


async def versions(port: int, header: str, keys: Sequence[str], model: str, *, named: bool) -> list[str]:
    """Which version answered each key in the metadata; the model is `named` there too, or else by the message."""
    hint = [("tidegate-model", model)] if named else []
    message = request([[1.0, 2.0]], "" if named else model)
    limit = asyncio.Semaphore(32)
    async with connect(port) as channel:
        ask = infer(channel)

        async def version(key: str) -> str:
            async with limit:
                call = ask(message, metadata=[(header, key), *hint], timeout=30)
                assert sums(await call) == [3.0]
                return str(dict(await call.initial_metadata())["tidegate-version"])

        return [*await asyncio.gather(*(version(key) for key in keys))]


def failure_of(error: grpc.aio.AioRpcError) -> tuple[str, str, dict[str, str]]:
    """Status, message and metadata of a failed call."""
    return error.code().name, error.details() or "", {name: str(value) for name, value in error.trailing_metadata()}
