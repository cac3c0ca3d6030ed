"""Versions: what makes one, what it is called, and what must run to have it. Experiments: what makes one.

A version is everything that its processes are started with, so that a running version never changes: the blocks
`model` and `serving` and the body limit. Not part of it are the number of replicas and what it follows, which change in
place, and the drain time, which a version keeps from its beginning.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from pydantic.alias_generators import to_camel

from operators.api.statusjson import canonical
from operators.api.types import RESOLVED_SHA256, Autoscaling, Input, ModelRollout, Output, Serving
from operators.status import Revision, RolloutStatus
from serving.spec import Autoscaling as Scaling
from serving.spec import DeclaredOutput, InputSpec, ModelSource, Scalar, ServeTarget, TargetKey

ID_LENGTH: Final = 10
_DRAIN_SECONDS: Final = 10.0
"""What a replica may take to finish its requests, when none may take longer."""


def revision_of(rollout: ModelRollout, variant: str | None = None) -> Revision:
    """The version that the manifest asks for, or that of one of its variants. Raises `KeyError` for an unknown name.

    Its id is the first ten hex digits of the SHA-256 of the canonical JSON of both blocks. Defaults are left out, so
    that an upgrade of Tidegate that adds a field starts no rollout. The digest that the URI was resolved to stands in
    for a missing `sha256`: a file that was replaced is another version. A variant without inputs
    or outputs has those of `spec.model`: the same requests reach all versions of an experiment.
    """
    spec = rollout.spec
    block = spec.model if variant is None else {one.name: one.model for one in spec.variants}[variant]
    resources, batching, many = spec.serving.resources, spec.serving.batching, spec.serving.multi_model
    model = _without_defaults(
        ModelSource,
        uri=block.uri,
        runtime=block.runtime,
        sha256=block.sha256 or rollout.metadata.annotations.get(resolved_sha256(variant)),
        inputs=[_input(entry) for entry in block.inputs or spec.model.inputs],
        class_name=block.class_,
        outputs=[_output(entry) for entry in block.outputs or spec.model.outputs],
        accelerate=block.accelerate,
        coerce=block.validation == "coerce",
    )
    serving = _without_defaults(
        ServeTarget,
        cpu=resources.cpu_count,
        gpu=resources.gpu_count,
        memory_bytes=resources.memory_bytes,
        max_batch=batching.max_size,
        max_queue=batching.max_queue,
        max_body_bytes=spec.traffic.max_body_bytes,
        env=dict(spec.serving.env),
        pip=list(spec.serving.pip),
        members_bytes=0 if many is None else many.memory_bytes,
        members_loaded=0 if many is None else many.max_loaded,
    )
    digest = hashlib.sha256(canonical({"model": model, "serving": serving}).encode()).hexdigest()
    drain = _without_defaults(ServeTarget, drain_seconds=max(spec.traffic.timeout, _DRAIN_SECONDS))
    return Revision(digest[:ID_LENGTH], canonical(model), canonical(serving | drain))


def hosts_many(revision: Revision) -> bool:
    """Whether the version is many models."""
    return "membersBytes" in json.loads(revision.serving)


def resolved_sha256(variant: str | None = None) -> str:
    """The annotation with the digest (hex) of what a URI meant when the manifest was applied: `spec.model`'s, or that
    of a variant's model.
    """
    return RESOLVED_SHA256 if variant is None else f"{RESOLVED_SHA256}.{variant}"


def experiment_digest(rollout: ModelRollout) -> str:
    """What tells one experiment of a rollout from another, in ten hex digits.

    The same versions by the same names, compared by the same rules, are the same experiment. Defaults are left out of
    the rules, as in a version's id.
    """
    strategy = rollout.spec.strategy
    content = {
        "control": revision_of(rollout).id,
        "variants": {one.name: revision_of(rollout, one.name).id for one in rollout.spec.variants},
        "strategy": strategy and strategy.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:ID_LENGTH]


def full_size(serving: Serving, stable_ready: int) -> int:
    """How many replicas a version must have to take the requests over, when stable has `stable_ready`.

    With autoscaling, that is stable's number: what one version needed, the next will need from one moment to the other.
    """
    if serving.autoscaling is None:
        return serving.replicas
    return max(serving.least, min(stable_ready, serving.autoscaling.max_replicas))


def sizes_of(serving: Serving, status: RolloutStatus) -> dict[str, int | None]:
    """How many replicas versions should have by their ids, where that is not the manifest's number (or None).

    With autoscaling stable does not shrink while others get its requests: all of them may come back at once.
    """
    full = None if serving.autoscaling is None else full_size(serving, status.stable_ready)
    beside = {variant.revision.id: full for variant in status.variants if not variant.failure}
    if status.candidate is not None:
        beside[status.candidate.revision.id] = status.replicas or full
    sizes = {one.revision.id: one.replicas for one in status.retiring} | beside
    if beside and status.stable is not None:
        sizes[status.stable.id] = full
    return sizes


def target_of(revision: Revision, rollout: ModelRollout, replicas: int | None = None) -> ServeTarget:
    """What must run to have this version of the rollout: so many replicas, or as many as its manifest says now.

    With autoscaling these are the least.
    """
    scaling = rollout.spec.serving.autoscaling
    model, serving = _arguments(ModelSource, revision.model), _arguments(ServeTarget, revision.serving)
    return ServeTarget(
        key=TargetKey(rollout.metadata.namespace, rollout.metadata.name, revision.id),
        source=ModelSource(
            **model
            | {
                "inputs": tuple(_input_spec(**entry) for entry in model.get("inputs", ())),
                "outputs": tuple(_output_spec(**entry) for entry in model.get("outputs", ())),
            }
        ),
        replicas=rollout.spec.serving.least if replicas is None else replicas,
        autoscaling=None if scaling is None else _autoscaling(scaling),
        **serving | {"env": tuple(serving.get("env", {}).items()), "pip": tuple(serving.get("pip", ()))},
    )


def _autoscaling(block: Autoscaling) -> Scaling:
    return Scaling(block.max_replicas, block.target_ongoing_requests, block.upscale_delay, block.downscale_delay)


def _input(entry: Input) -> dict[str, Any]:
    return {
        "name": entry.name,
        "datatype": entry.datatype,
        **entry.model_dump(mode="json", exclude_defaults=True),
    }


def _output(entry: Output) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude_defaults=True)


def _output_spec(labels: Iterable[str] = (), **fields: Any) -> DeclaredOutput:
    return DeclaredOutput(**fields, labels=tuple(labels))


def _input_spec(shape: Iterable[int] | None = None, values: Iterable[Scalar] = (), **fields: Any) -> InputSpec:
    return InputSpec(**fields, shape=None if shape is None else tuple(shape), values=tuple(values))


def _without_defaults(cls: type[ModelSource | ServeTarget], **values: Any) -> dict[str, Any]:
    """The values as a JSON object, camelCase, without those that `cls` has anyway."""
    defaults = {field.name: field.default for field in fields(cls)}
    return {to_camel(name): value for name, value in values.items() if value not in (defaults[name], [], {})}


def _arguments(cls: type[ModelSource | ServeTarget], text: str) -> dict[str, Any]:
    """The reverse of `_without_defaults`."""
    names = {to_camel(field.name): field.name for field in fields(cls)}
    return {names[name]: value for name, value in json.loads(text).items()}
