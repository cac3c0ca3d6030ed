"""What the operator asks of Ray Serve, and what it gets to hear back. Only the standard library is imported here."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class TargetKey:
    """Names one version of one rollout. Never parsed from or formatted into another name by anyone but `render`."""

    namespace: str
    name: str
    version: str


Scalar = str | bool | int | float
"""What JSON has for one value."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One named input of a model, in the Open Inference Protocol's datatypes (FP64, INT32, …).

    `shape` makes it a tensor, where it would be a column of a table: counts per axis, -1 where they vary, rows first.
    Values are at least `min`, at most `max`, one of `values` if there are any, and `nullable` ones may be missing;
    `unique` ones differ within a request. `default` stands for a column that is left out. `description` and `example`
    are for people.
    """

    name: str
    datatype: str = "FP64"
    shape: tuple[int, ...] | None = None
    min: float | None = None
    max: float | None = None
    values: tuple[Scalar, ...] = ()
    nullable: bool = False
    unique: bool = False
    default: Scalar | None = None
    description: str = ""
    example: Scalar | None = None

    @property
    def ruled(self) -> bool:
        """Whether it asks for more than its datatype."""
        return (
            self.min is not None
            or self.max is not None
            or bool(self.values)
            or self.nullable
            or self.unique
            or self.default is not None
        )


@dataclass(frozen=True, slots=True)
class DeclaredOutput:
    """One output that a model shall have: its own output `of`, or the one that is called `name`.

    `datatype` is what its numbers are made, `labels` is the text that stands for the numbers from 0 on, `description`
    is for people.
    """

    name: str
    of: str | None = None
    datatype: str | None = None
    labels: tuple[str, ...] = ()
    description: str = ""

    @property
    def source(self) -> str:
        """The model's own output."""
        return self.of or self.name


@dataclass(frozen=True, slots=True, order=True)
class Acceleration:
    """What came of `ModelSource.accelerate`: whether it was `done`, why (in CamelCase), and a sentence about that."""

    done: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the model comes from. `sha256` (hex) is verified before a byte is interpreted, when given.

    `class_name` is the class that a runtime of classes makes the model of, `module:Class`. Without
    `outputs` the model has its own. With `coerce` values of another type are read as the declared one where that is
    possible without a loss. `accelerate` is the format to convert the model to, `onnx`, where it stays the same model.
    """

    uri: str
    runtime: str
    sha256: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    class_name: str | None = None
    outputs: tuple[DeclaredOutput, ...] = ()
    coerce: bool = False
    accelerate: str | None = None


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Lets Ray Serve choose the number of replicas, up to `max_replicas`.

    `target_ongoing_requests` is how many requests one replica should have in flight. A larger number of replicas is
    chosen once it has been needed for `upscale_delay` seconds without a break, a smaller one after `downscale_delay`.
    """

    max_replicas: int
    target_ongoing_requests: int = 8
    upscale_delay: float = 5.0
    downscale_delay: float = 60.0


@dataclass(frozen=True, slots=True)
class ServeTarget:
    """One model version that should run: becomes one immutable Serve application.

    `replicas` is how many of it run, or, with `autoscaling`, the least number.
    `cpu` and `gpu` are counts per replica (fractions allowed), `memory_bytes` is per replica (0: not limited).
    `max_batch` is the number of rows one model call may hold, `max_queue` the number of requests a replica keeps
    waiting before it answers 503. `max_body_bytes` bounds a request. `drain_seconds` is how long a replica that is
    going away finishes what it has accepted. With `members_bytes` the version is many models, and these are the bytes
    that loaded ones may take; `members_loaded` is how many of them may be loaded (0: any number).
    """

    key: TargetKey
    source: ModelSource
    replicas: int = 1
    autoscaling: Autoscaling | None = None
    cpu: float = 0.1
    gpu: float = 0.0
    memory_bytes: int = 0
    max_batch: int = 64
    max_queue: int = 1024
    max_body_bytes: int = 1 << 20
    drain_seconds: float = 10.0
    env: tuple[tuple[str, str], ...] = ()
    pip: tuple[str, ...] = ()
    members_bytes: int = 0
    members_loaded: int = 0


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
    """What Ray Serve says of one version. `message` is Ray's own text when something is wrong.

    `acceleration` is what its replicas say of theirs: one that serves the model as it is speaks for all.
    """

    phase: TargetPhase
    replicas: tuple[ReplicaAddress, ...] = ()
    message: str = ""
    acceleration: Acceleration | None = None
