"""What the tests of the replica's server share: a model that can be held up, and a plain client."""

import socket
import threading
from collections.abc import Mapping

import httpx
import numpy as np

from serving.runtimes import Answer, OutputSpec, Signature, Tensors
from serving.spec import InputSpec

IRIS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SETOSA = [5.1, 3.5, 1.4, 0.2]


class Held:
    """Answers each row with its first value plus the sum of its columns; waits at a gate before it does.

    `gate` is open at first. `entered` is set when a call has begun. Raises on a row that begins with -1.
    """

    signature = Signature("test", 2, (), InputSpec("input-0"), (OutputSpec("predict", "FP64", (-1,)),))

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[int] = []

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        self.batches.append(len(rows))
        self.entered.set()
        assert self.gate.wait(30), "nobody opened the gate"
        if (rows[:, 0] == -1).any():
            raise ValueError("row begins with -1")
        return {name: rows[:, 0] + rows.sum(axis=1) for name in outputs}


class Echo:
    """Gives back the tensors that it gets, and says in its parameters what else it got."""

    signature = Signature("test", None, (), InputSpec("x"), (), any_tensors=True, joint=False)

    def predict(self, tensors: Tensors, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        got = {"id": tensors.id, "got": dict(tensors.parameters), "asked": list(outputs)}
        return Answer(tensors.arrays, got, tensors.input_parameters)


def tensor(rows: list[list[float]]) -> dict[str, object]:
    """A v2 request for these rows."""
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}]}


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it ends the connection."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def is_unharmed(client: httpx.Client, url: str) -> bool:
    """Whether a good request on a new connection gets its answer."""
    with httpx.Client(base_url=client.base_url) as fresh:
        answer = fresh.post(url, json=tensor([SETOSA]))
    return answer.status_code == 200 and answer.json()["outputs"][0]["data"] == [0]
