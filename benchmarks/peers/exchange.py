"""How a contender is asked for predictions and how its answer is read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.client import infer_body, post

Rows = Sequence[Sequence[float]]


class UnreadableAnswer(ValueError):
    """A body that is not an answer of the protocol it should be of."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One protocol: where to post, the body of a request for some rows, and the labels that a body answers with."""

    path: str
    body: Callable[[Rows], bytes]
    parse: Callable[[bytes], list[int]]

    def request(self, rows: Rows) -> bytes:
        """The bytes of one HTTP request for these rows."""
        return post(self.path, self.body(rows))

    def labels(self, body: bytes) -> list[int]:
        """The labels, one a row; raises `UnreadableAnswer`."""
        try:
            return self.parse(body)
        except (ValueError, LookupError, TypeError) as error:
            raise UnreadableAnswer(f"{type(error).__name__}: {error}, in {body[:300]!r}") from error


def _v2_labels(body: bytes) -> list[int]:
    (output,) = json.loads(body)["outputs"]
    return [int(label) for label in output["data"]]


def _seldon_body(rows: Rows) -> bytes:
    return json.dumps({"data": {"ndarray": [[float(value) for value in row] for row in rows]}}).encode()


def _seldon_labels(body: bytes) -> list[int]:
    return [int(label) for label in json.loads(body)["data"]["ndarray"]]


V2 = Exchange("/v2/models/iris/infer", infer_body, _v2_labels)
"""The Open Inference Protocol's REST form: one FP64 tensor, one output."""

SELDON = Exchange("/api/v1.0/predictions", _seldon_body, _seldon_labels)
"""Seldon Core's own protocol, version 1."""
