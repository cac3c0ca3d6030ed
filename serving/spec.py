"""What the operator asks of Ray Serve, and what it gets to hear back. Only the standard library is imported here."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class TargetKey:
    """Names one version of one rollout. Never parsed from or formatted into another name by anyone but `render`."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One named input of a model, in the Open Inference Protocol's datatypes (FP64, INT32, …)."""

    name: str
    datatype: str = "FP64"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the model comes from. `sha256` (hex) is verified before a byte is interpreted, when given."""

    uri: str
    runtime: str
    sha256: str | None = None
    inputs: tuple[InputSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeTarget:
    """One model version that should run: becomes one immutable Serve application.

    `cpu` and `gpu` are counts per replica (fractions allowed), `memory_bytes` is per replica (0: not limited).
    `max_batch` is the number of rows one model call may hold, `max_queue` the number of requests a replica keeps
    waiting before it answers 503. `max_body_bytes` bounds a request. `drain_seconds` is how long a replica that is
    going away finishes what it has accepted.
    """

    key: TargetKey
    source: ModelSource
    replicas: int = 1
    cpu: float = 0.1
    gpu: float = 0.0
    memory_bytes: int = 0
    max_batch: int = 64
    max_queue: int = 1024
    max_body_bytes: int = 1 << 20
    drain_seconds: float = 10.0
    env: tuple[tuple[str, str], ...] = ()
    pip: tuple[str, ...] = ()


class TargetPhase(Enum):
    """How far a version is: `FAILED` is final until something about it changes."""

    MISSING = "missing"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, order=True)
class ReplicaAddress:
    """Where one ready replica's own HTTP server listens, and which of Ray's replicas it is."""

    host: str
    port: int
    replica: str


@dataclass(frozen=True, slots=True)
class TargetState:
    """What Ray Serve says of one version. `message` is Ray's own text when something is wrong."""

    phase: TargetPhase
    replicas: tuple[ReplicaAddress, ...] = ()
    message: str = ""
