"""`ModelRollout`, `tidegate.dev/v1alpha1`: what a person writes down.

The types are the one place where fields, their defaults and their descriptions stand; the CustomResourceDefinition is
generated from them (`operators.api.crd`). What one field alone can get wrong is refused here, what several can in
`operators.api.rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field

from operators.api.block import DNS_LABEL, HEADER_NAME, Block
from operators.api.checks import Analysis
from operators.api.fields import Duration, Quantity, Time, parse_quantity
from operators.api.strategies import Match, Strategy
from operators.plan import Command
from operators.status import RolloutStatus
from router.ir import PATH
from serving.uri import parse

API_VERSION: Final = "tidegate.dev/v1alpha1"
KIND: Final = "ModelRollout"
RESOLVED_SHA256: Final = "tidegate.dev/resolved-sha256"
"""The annotation with the digest (hex) of the artifact that the model's URI meant when the manifest was applied."""

CLASS: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
OWN_VARIABLES: Final = "TIDEGATE_"
"""What the names of variables begin with that are the cluster's own settings: no rollout may change them."""
ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
COOKIE_NAME: Final = r"^[A-Za-z0-9_.-]+$"
HOST: Final = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"


@dataclass(frozen=True, slots=True, order=True)
class RolloutKey:
    """Names one rollout."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """`namespace/name`, for people."""
        return f"{self.namespace}/{self.name}"


Datatype = Literal[
    "FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8", "BOOL", "BYTES"
]  # fmt: skip
"""The datatypes of the Open Inference Protocol."""


class Input(Block):
    """One named input of a model."""

    name: str = Field(min_length=1, max_length=128, description="The input's name: a column of a table, or a tensor.")
    datatype: Datatype = Field(default="FP64", description="Its datatype in the Open Inference Protocol.")
    shape: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="A tensor's shape, where the model takes tensors: -1 for the rows, which come first, and for what "
        "varies.",
    )
    min: float | None = Field(default=None, description="The least number that is taken.")
    max: float | None = Field(default=None, description="The largest number that is taken.")
    values: tuple[str | int | float | bool, ...] = Field(
        default=(), max_length=1000, description="All values that are taken."
    )
    nullable: bool = Field(
        default=False, description="Whether a value may be missing: the model gets NaN, of text None."
    )
    unique: bool = Field(default=False, description="Whether the rows of one request must differ in it.")
    default: str | int | float | bool | None = Field(
        default=None, description="What the column holds in rows of named fields, or of v2 requests, without it."
    )
    description: str = Field(default="", max_length=1024, description="What it is, for people.")
    example: str | int | float | bool | None = Field(default=None, description="A value, for people.")


class Output(Block):
    """One named output of a model."""

    name: str = Field(min_length=1, max_length=128, description="The output's name in answers.")
    of: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="The model's own output that it is, such as predict_proba, if that has another name.",
    )
    datatype: Datatype | None = Field(default=None, description="What its numbers are made; without it, they stay.")
    labels: tuple[Annotated[str, Field(max_length=256)], ...] = Field(
        default=(), max_length=4096, description="Text that stands for the numbers 0, 1, …, such as names of classes."
    )
    description: str = Field(default="", max_length=1024, description="What it is, for people.")


def _checked_uri(uri: str) -> str:
    parse(uri)
    return uri


Runtime = Literal["sklearn", "xgboost", "lightgbm", "onnx", "mlflow", "python", "kserve", "mlserver", "seldon"]


class Model(Block):
    """What should be live. A change here is a new version."""

    uri: Annotated[str, AfterValidator(_checked_uri)] = Field(
        max_length=2048,
        description="Where the model's file or folder is: file, pvc, https, s3, gs, az, abfs or models (MLflow).",
    )
    runtime: Runtime = Field(
        description="What loads and runs the model. Of kserve, mlserver and seldon: a class made for that server."
    )
    class_: str | None = Field(
        default=None,
        alias="class",
        pattern=CLASS,
        max_length=256,
        description="The class that is the model, module:Class; for the runtimes python, kserve, mlserver and seldon.",
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="The file's SHA-256 in hex: anything else is refused."
    )
    inputs: tuple[Input, ...] = Field(
        default=(), max_length=4096, description="The model's inputs in order. Requests that do not fit are refused."
    )
    validation: Literal["strict", "coerce"] = Field(
        default="strict",
        description="What becomes of values of another type: strict refuses them, coerce reads them as the declared "
        "type where nothing is lost by that.",
    )
    outputs: tuple[Output, ...] = Field(
        default=(),
        max_length=256,
        description="The outputs that answers have, each a field of an answer to named fields; without them, the "
        "model's own.",
    )
    accelerate: Literal["onnx"] | None = Field(
        default=None,
        description="Converts the model when it is loaded, for faster answers; it is served as it is, and the "
        "condition Accelerated says why, unless the answers stay the same. For sklearn, xgboost and lightgbm.",
    )


class Resources(Block):
    """What Ray reserves for one replica."""

    cpu: Quantity = Field(default="100m", description="CPUs, fractions allowed.")
    memory: Quantity = Field(default="0", description="Memory in bytes; 0 reserves none.")
    gpu: Quantity = Field(default="0", description="GPUs, fractions allowed.")

    @property
    def cpu_count(self) -> float:
        """CPUs."""
        return float(parse_quantity(self.cpu))

    @property
    def gpu_count(self) -> float:
        """GPUs."""
        return float(parse_quantity(self.gpu))

    @property
    def memory_bytes(self) -> int:
        """Bytes, 0 for none reserved."""
        return int(parse_quantity(self.memory))


class Batching(Block):
    """How requests are gathered for one call of the model, without ever waiting for more."""

    max_size: int = Field(default=64, ge=1, le=65536, description="Rows in one call of the model, at most.")
    max_queue: int = Field(default=1024, ge=1, le=65536, description="Requests that may wait; beyond it, 503.")


class Autoscaling(Block):
    """How many replicas each version has, by its requests in flight. A change is followed without a rollout."""

    min_replicas: int = Field(default=1, ge=1, le=1000, description="The least number of replicas of each version.")
    max_replicas: int = Field(ge=1, le=1000, description="The largest number of replicas of each version.")
    target_ongoing_requests: int = Field(
        default=8, ge=1, le=65536, description="Requests in flight per replica, waiting ones included, to aim at."
    )
    upscale_delay: Duration = Field(default=5.0, description="How long more replicas must be needed before they start.")
    downscale_delay: Duration = Field(
        default=60.0, description="How long fewer replicas must be enough before the others go."
    )


class MultiModel(Block):
    """Many models in each replica: one for each file or folder in that of `model.uri`, called as it is."""

    memory: Quantity = Field(
        default="512Mi", description="What loaded models may take together; the least recently used give way."
    )
    max_loaded: int = Field(default=0, ge=0, description="How many may be loaded at once; 0 for any number.")

    @property
    def memory_bytes(self) -> int:
        """Bytes."""
        return int(parse_quantity(self.memory))


class Serving(Block):
    """How a version runs. A change here, except of `replicas` and `autoscaling`, is a new version."""

    replicas: int = Field(
        default=1, ge=1, le=1000, description="Replicas of each version. A change scales what runs, without a rollout."
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Instead of replicas: a number that follows the requests in flight."
    )
    resources: Resources = Field(default=Resources(), description="What Ray reserves for each replica.")
    batching: Batching = Field(default=Batching(), description="How requests are gathered for a call of the model.")
    env: Mapping[Annotated[str, Field(pattern=ENV_NAME)], str] = Field(
        default={}, max_length=256, description="Environment variables of the replicas."
    )
    pip: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), max_length=256, description="Python packages that Ray installs for the replicas."
    )

    multi_model: MultiModel | None = Field(
        default=None,
        description="The version is many models, which requests name as ROLLOUT.MODEL: each is loaded when it is asked "
        "for.",
    )

    @property
    def least(self) -> int:
        """The number of replicas, or the least that autoscaling leaves."""
        return self.replicas if self.autoscaling is None else self.autoscaling.min_replicas

    @property
    def sizes(self) -> str:
        """The possible numbers of replicas, for people."""
        most = self.least if self.autoscaling is None else self.autoscaling.max_replicas
        return f"{self.least}" if most == self.least else f"{self.least}-{most}"


class Variant(Block):
    """A further version of an experiment, beside `spec.model`, which is its control."""

    name: str = Field(pattern=DNS_LABEL, max_length=40, description="What the version is called in the experiment.")
    model: Model = Field(description="What it is.")


class Sticky(Block):
    """What decides which version a request gets."""

    header: str | None = Field(
        default=None, pattern=HEADER_NAME, max_length=128, description="A request header: equal values, same version."
    )
    cookie: str | None = Field(
        default=None,
        pattern=COOKIE_NAME,
        max_length=128,
        description="A cookie, which clients without it are given: same version as long as they keep it.",
    )
    ttl: Duration = Field(default=2_592_000.0, gt=0, description="How long clients keep the cookie; 30d if unset.")


class Retries(Block):
    """How often a request may be tried again on another replica of the same version."""

    attempts: int = Field(default=2, ge=0, le=10, description="Further attempts, at most.")
    idempotent: bool = Field(
        default=True, description="Whether a request that may have reached the model may be retried."
    )


class Limits(Block):
    """What is refused before it reaches the model."""

    max_body_bytes: Quantity = Field(default="1Mi", description="The largest request body; a change is a new version.")


PathField = Annotated[str, Field(pattern=f"^{PATH}$", max_length=256)]


class Paths(Block):
    """Where the model answers beside the paths that every model has, on the hosts of the rollout."""

    predict: PathField | None = Field(default=None, description="Predictions with named fields (POST).")
    health: PathField | None = Field(default=None, description="How the model is.")
    info: PathField | None = Field(default=None, description="What the model is, and how good it was in training.")
    openapi: PathField | None = Field(default=None, description="The OpenAPI document of its named fields.")
    docs: PathField | None = Field(default=None, description="The same as a page for people.")

    @property
    def given(self) -> Mapping[str, str]:
        """The paths that there are, by what they are for."""
        return self.model_dump(exclude_none=True)


class Traffic(Block):
    """How requests find the model."""

    hosts: tuple[Annotated[str, Field(pattern=HOST, max_length=253)], ...] = Field(
        default=("*",), min_length=1, max_length=64, description="Host names the model answers on; * is any other host."
    )
    paths: Paths = Field(default=Paths(), description="Where the model answers beside the paths that every model has.")
    sticky: Sticky | None = Field(default=None, description="Same key, same version; without it each request is drawn.")
    match: tuple[Match, ...] = Field(
        default=(),
        max_length=20,
        description="canary only: requests that the candidate answers whatever its weight: any of these.",
    )
    timeout: Duration = Field(default=5.0, gt=0, description="The time after which a request is answered 504.")
    retries: Retries = Field(default=Retries(), description="Attempts on another replica of the same version.")
    limits: Limits = Field(default=Limits(), description="What is refused before it reaches the model.")

    @property
    def max_body_bytes(self) -> int:
        """The largest request body in bytes."""
        return int(parse_quantity(self.limits.max_body_bytes))


class RolloutSpec(Block):
    """What should be."""

    model: Model = Field(description="What should be live. A change here is a new version.")
    serving: Serving = Field(default=Serving(), description="How each version runs.")
    strategy: Strategy | None = Field(
        default=None, description="How a new version takes over; without it, at once when it is ready."
    )
    variants: tuple[Variant, ...] = Field(
        default=(), max_length=9, description="abTest and bandit: further versions that run beside spec.model."
    )
    analysis: Analysis = Field(default=Analysis(), description="What is watched in every step.")
    traffic: Traffic = Field(default=Traffic(), description="How requests find the model.")
    progress_deadline_seconds: int = Field(
        default=600, ge=1, description="A candidate that is not ready within this time is aborted."
    )
    scale_down_delay_seconds: int = Field(
        default=30, ge=0, description="How long a version without traffic keeps its replicas, for an instant undo."
    )
    rollback_window: int = Field(
        default=2, ge=0, description="Going back to one of so many former stable versions skips the steps."
    )
    revision_history_limit: int = Field(default=5, ge=0, le=50, description="Former stable versions kept for undo.")
    paused: bool = Field(default=False, description="Whether steps wait. Failed checks abort all the same.")


class Metadata(Block):
    """Kubernetes' ObjectMeta, as far as Tidegate looks at it."""

    name: str = Field(pattern=DNS_LABEL, description="The rollout's name, and the model's in requests.")
    namespace: str = Field(default="default", pattern=DNS_LABEL, description="The rollout's namespace.")
    uid: str = Field(default="", description="Another rollout of the same name has another one.")
    generation: int = Field(default=1, description="Grows with every change of the spec.")
    creation_timestamp: Time = Field(default=0.0, description="When the rollout was created.")
    deletion_timestamp: Time | None = Field(default=None, description="When somebody asked for its deletion.")
    annotations: Mapping[str, str] = Field(default={}, description="Commands, and digests that belong to the spec.")
    labels: Mapping[str, str] = Field(default={}, description="Not looked at.")


class ModelRollout(Block):
    """One model, its versions, and how traffic moves between them."""

    metadata: Metadata
    spec: RolloutSpec
    status: RolloutStatus = Field(default_factory=RolloutStatus, exclude=True)
    held: bool = Field(default=False, exclude=True)
    """Whether the spec only stands in for one that makes no sense. Then what the status names stays as it is."""

    @property
    def key(self) -> RolloutKey:
        """Its name."""
        return RolloutKey(self.metadata.namespace, self.metadata.name)

    @property
    def commands(self) -> Mapping[Command, str]:
        """What people have asked for and nobody has answered yet, with the value of each annotation."""
        annotations = self.metadata.annotations
        return {
            command: annotations[f"tidegate.dev/{command.value}"]
            for command in Command
            if f"tidegate.dev/{command.value}" in annotations
        }

    def with_status(self, status: RolloutStatus) -> Self:
        """The same rollout with another status."""
        return self.model_copy(update={"status": status})

    def without_commands(self, consumed: tuple[Command, ...]) -> Self:
        """The same rollout after these commands were dealt with."""
        gone = {f"tidegate.dev/{command.value}" for command in consumed}
        kept = {name: value for name, value in self.metadata.annotations.items() if name not in gone}
        return self.model_copy(update={"metadata": self.metadata.model_copy(update={"annotations": kept})})
