"""`ModelRollout`, `tidegate.dev/v1alpha1`: what a person writes down.

The types are the one place where fields, their defaults and their descriptions stand; the CustomResourceDefinition is
generated from them (`operators.api.crd`). What one field alone can get wrong is refused here, what several can in
`operators.api.rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from operators.api.block import DNS_LABEL, HEADER_NAME, Block
from operators.api.checks import Analysis
from operators.api.fields import Duration, Quantity, Time, parse_quantity
from operators.api.strategies import Match, Strategy
from operators.plan import Command
from operators.status import RolloutStatus

API_VERSION: Final = "tidegate.dev/v1alpha1"
KIND: Final = "ModelRollout"
RESOLVED_SHA256: Final = "tidegate.dev/resolved-sha256"
"""The annotation with the digest (hex) of the artifact that the model's URI meant when the manifest was applied."""

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


class Input(Block):
    """One named input of a model."""

    name: str = Field(min_length=1, max_length=128, description="The input's name, a column of the model's table.")
    datatype: Literal[
        "FP64",
        "FP32",
        "FP16",
        "INT64",
        "INT32",
        "INT16",
        "INT8",
        "UINT64",
        "UINT32",
        "UINT16",
        "UINT8",
        "BOOL",
        "BYTES",
    ] = Field(default="FP64", description="Its datatype in the Open Inference Protocol.")


class Model(Block):
    """What should be live. A change here is a new version."""

    uri: str = Field(
        pattern=r"^file:///.+", max_length=2048, description="Where the model's file is: file:///absolute/path."
    )
    runtime: Literal["sklearn"] = Field(description="What loads and runs the model.")
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="The file's SHA-256 in hex: anything else is refused."
    )
    inputs: tuple[Input, ...] = Field(
        default=(), max_length=4096, description="The model's inputs in order. Requests that do not fit are refused."
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


class Serving(Block):
    """How a version runs. A change here, except of `replicas`, is a new version."""

    replicas: int = Field(
        default=1, ge=1, le=1000, description="Replicas of each version. A change scales what runs, without a rollout."
    )
    resources: Resources = Field(default=Resources(), description="What Ray reserves for each replica.")
    batching: Batching = Field(default=Batching(), description="How requests are gathered for a call of the model.")
    env: Mapping[Annotated[str, Field(pattern=ENV_NAME)], str] = Field(
        default={}, max_length=256, description="Environment variables of the replicas."
    )
    pip: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), max_length=256, description="Python packages that Ray installs for the replicas."
    )


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


class Traffic(Block):
    """How requests find the model."""

    hosts: tuple[Annotated[str, Field(pattern=HOST, max_length=253)], ...] = Field(
        default=("*",), min_length=1, max_length=64, description="Host names the model answers on; * is any other host."
    )
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
