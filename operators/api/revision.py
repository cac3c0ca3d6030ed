"""Versions: what makes one, what it is called, and what must run to have it.

A version is everything that its processes are started with, so that a running version never changes: the blocks
`model` and `serving` and the body limit. Not part of it are the number of replicas, which is scaled in place, and the
drain time, which a version keeps from its beginning.
"""

import hashlib
import json
from dataclasses import fields
from typing import Any, Final

from pydantic.alias_generators import to_camel

from operators.api.statusjson import canonical
from operators.api.types import RESOLVED_SHA256, ModelRollout
from operators.status import Revision
from serving.spec import InputSpec, ModelSource, ServeTarget, TargetKey

ID_LENGTH: Final = 10
_DRAIN_SECONDS: Final = 10.0
"""What a replica may take to finish its requests, when none may take longer."""


def revision_of(rollout: ModelRollout) -> Revision:
    """The version that the manifest asks for.

    Its id is the first ten hex digits of the SHA-256 of the canonical JSON of both blocks. Defaults are left out, so
    that an upgrade of Tidegate that adds a field starts no rollout. The digest that the URI was resolved to stands in
    for a missing `sha256`: a file that was replaced is another version.
    """
    spec = rollout.spec
    resources, batching = spec.serving.resources, spec.serving.batching
    model = _without_defaults(
        ModelSource,
        uri=spec.model.uri,
        runtime=spec.model.runtime,
        sha256=spec.model.sha256 or rollout.metadata.annotations.get(RESOLVED_SHA256),
        inputs=[{"name": entry.name, "datatype": entry.datatype} for entry in spec.model.inputs],
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
    )
    digest = hashlib.sha256(canonical({"model": model, "serving": serving}).encode()).hexdigest()
    drain = _without_defaults(ServeTarget, drain_seconds=max(spec.traffic.timeout, _DRAIN_SECONDS))
    return Revision(digest[:ID_LENGTH], canonical(model), canonical(serving | drain))


def target_of(revision: Revision, rollout: ModelRollout) -> ServeTarget:
    """What must run to have this version of the rollout, in as many replicas as its manifest says now."""
    model, serving = _arguments(ModelSource, revision.model), _arguments(ServeTarget, revision.serving)
    return ServeTarget(
        key=TargetKey(rollout.metadata.namespace, rollout.metadata.name, revision.id),
        source=ModelSource(**model | {"inputs": tuple(InputSpec(**entry) for entry in model.get("inputs", ()))}),
        replicas=rollout.spec.serving.replicas,
        **serving | {"env": tuple(serving.get("env", {}).items()), "pip": tuple(serving.get("pip", ()))},
    )


def _without_defaults(cls: type[ModelSource | ServeTarget], **values: Any) -> dict[str, Any]:
    """The values as a JSON object, camelCase, without those that `cls` has anyway."""
    defaults = {field.name: field.default for field in fields(cls)}
    return {to_camel(name): value for name, value in values.items() if value not in (defaults[name], [], {})}


def _arguments(cls: type[ModelSource | ServeTarget], text: str) -> dict[str, Any]:
    """The reverse of `_without_defaults`."""
    names = {to_camel(field.name): field.name for field in fields(cls)}
    return {names[name]: value for name, value in json.loads(text).items()}
