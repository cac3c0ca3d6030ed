"""What a conversion is told, and what came of it: a file with a line of JSON, and then the graph that is to be used."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from pydantic import TypeAdapter

from serving.spec import Acceleration, ModelSource


@dataclass(frozen=True, slots=True)
class Job:
    """The model of `source` lies at `path`; the verdict goes to the path `target`, in at most `seconds`."""

    path: str
    source: ModelSource
    target: str
    seconds: int


JOB: Final = TypeAdapter(Job)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the model is to be served by `graph`, which is empty otherwise."""

    acceleration: Acceleration
    graph: bytes = b""

    def to_bytes(self) -> bytes:
        """The file's content."""
        header = asdict(self.acceleration) | {"sha256": hashlib.sha256(self.graph).hexdigest()}
        return json.dumps(header).encode() + b"\n" + self.graph

    @classmethod
    def from_bytes(cls, content: bytes) -> "Verdict":
        """Raises `ValueError` for a damaged file."""
        line, _, graph = content.partition(b"\n")
        try:
            header = json.loads(line)
            if header.pop("sha256") == hashlib.sha256(graph).hexdigest():
                return cls(Acceleration(**header), graph)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"it is no verdict: {error}") from error
        raise ValueError("its graph is damaged")
