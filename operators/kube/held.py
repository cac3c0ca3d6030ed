"""Rollouts whose manifest makes no sense: they are held as they are, and their status says so.

The API server refuses most of what is wrong with a manifest. What it lets through (a rule that CEL cannot express, a
field of a newer release after this one was put back) must not take away what is serving.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from operators.api import InvalidManifest, ModelRollout, RolloutSpec, status_from_json
from operators.api.fields import format_time
from operators.api.types import Metadata, Model, Paths, Serving, Traffic
from operators.kube.client import Object
from operators.status import Phase, RolloutStatus

M = TypeVar("M", bound=BaseModel)

_SIZES = ("replicas", "autoscaling")
_METADATA = {str(field.alias) for field in Metadata.model_fields.values()}


def stand_in(document: Object) -> ModelRollout | None:
    """The rollout's name, status, replicas, hosts and paths, as far as they can be read. None without a usable name."""
    metadata = {name: value for name, value in document["metadata"].items() if name in _METADATA}
    try:
        read = Metadata.model_validate_json(json.dumps(metadata))
    except ValidationError:
        return None
    spec, status = _mapping(document.get("spec")), _status(document.get("status"))
    return ModelRollout(
        metadata=read,
        spec=RolloutSpec(
            model=Model(uri="file:///unknown", runtime="sklearn"),  # nobody starts it
            serving=_size(spec.get("serving"), status),
            traffic=_claims(spec.get("traffic")),
        ),
        status=status,
        held=True,
    )


def refused_status(metadata: Object, status: Object, error: InvalidManifest, now: float) -> Object | None:
    """The status with what is wrong in it; None when it says so already."""
    wrong = f"the manifest makes no sense: {'; '.join(map(str, error.problems))}"
    found = status.get("conditions")
    kept = [one for one in found if isinstance(one, Mapping)] if isinstance(found, Sequence) else []
    before = {str(one.get("type")): one for one in kept}
    conditions = {
        kind: _condition(kind, value, wrong, now, before.get(kind))
        for kind, value in (("Accepted", "False"), ("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True"))
    }
    told = {
        "observedGeneration": metadata["generation"],
        "phase": (Phase.DEGRADED if "stable" in status else Phase.PENDING).value,
        "message": f"{wrong}; what runs stays as it is",
        "conditions": [*conditions.values(), *(one for one in kept if one.get("type") not in conditions)],
    }
    return None if status | told == status else status | told


def _condition(kind: str, status: str, message: str, now: float, before: Mapping[str, Any] | None) -> Object:
    since = before["lastTransitionTime"] if before is not None and before.get("status") == status else format_time(now)
    return {"type": kind, "status": status, "reason": "Invalid", "message": message, "lastTransitionTime": since}


def _status(content: object) -> RolloutStatus:
    try:
        return status_from_json(_mapping(content))
    except (ValueError, TypeError, KeyError):
        return RolloutStatus()


def _size(block: object, status: RolloutStatus) -> Serving:
    """The manifest's size; as many replicas as there are, where a part of it cannot be read."""
    size = _only(Serving, _SIZES, block)
    given = {name for name in _SIZES if name in _mapping(block)}
    return size if given == size.model_fields_set else Serving(replicas=max(status.stable_ready, 1))


def _claims(block: object) -> Traffic:
    """The manifest's hosts and paths. One that cannot be read gives up none of the others: all may be serving."""
    paths = _only(Paths, (*Paths.model_fields,), _mapping(block).get("paths"))
    return _only(Traffic, ("hosts",), block).model_copy(update={"paths": paths})


def _only(kind: type[M], names: Sequence[str], block: object) -> M:
    """The block with those of these fields of the manifest's that make sense."""
    kept: dict[str, Any] = {}
    for name, value in _mapping(block).items():
        if name in names:
            with contextlib.suppress(ValidationError):
                kind.model_validate_json(json.dumps({name: value}))
                kept[name] = value
    return kind.model_validate_json(json.dumps(kept))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
