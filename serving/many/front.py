"""What is answered for all members together: health, and what is asked of the rollout's own name."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from serving.batching import Batcher, Worker
from serving.endpoints import Endpoints
from serving.errors import RequestError
from serving.protocol.base import Sent
from serving.runtimes import Signature, Tensors
from serving.spec import InputSpec

SIGNATURE: Final = Signature("tidegate-members", None, (), InputSpec("input-0"), (), any_tensors=True)
"""The rollout itself takes nothing and gives nothing."""


class Front(Endpoints):
    """The paths of the rollout itself. Whoever asks it for a prediction is told to name a member."""

    def __init__(
        self, name: str, version: str, loop: asyncio.AbstractEventLoop, worker: Worker, draining: Callable[[], bool]
    ) -> None:
        nobody = Nobody(name)
        super().__init__(
            name, version, SIGNATURE, Batcher(nobody, 1, 1, loop, worker=worker), reader=nobody, draining=draining
        )


class Nobody:
    """Stands where a model and its reader stand, and refuses what comes."""

    signature = SIGNATURE
    names: tuple[str, ...] = ()
    max_rows = 0

    def __init__(self, name: str) -> None:
        self._name = name

    def from_inputs(self, inputs: Sequence[Sent]) -> np.ndarray | Tensors:
        """Refuse it. Raises `RequestError`."""
        raise self._refusal(inputs)

    def from_lists(self, instances: Sequence[Any], field: str) -> np.ndarray | Tensors:
        """Refuse it. Raises `RequestError`."""
        raise self._refusal(instances, field)

    def from_records(self, records: Sequence[Any], field: str) -> np.ndarray | Tensors:
        """Refuse it. Raises `RequestError`."""
        raise self._refusal(records, field)

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """Refuse it. Raises `RequestError`."""
        raise self._refusal(rows, outputs)

    def _refusal(self, *_: object) -> RequestError:
        return RequestError(
            404,
            "unknown_model",
            f"{self._name} is many models: name one of them, as {self._name}.MEMBER; "
            f"GET /v2/models/{self._name}/members lists them",
        )
