"""`RolloutStatus` as the JSON that stands in a manifest's `status`, and back.

camelCase names, nothing where a value is None or empty, times in RFC 3339 to the millisecond, shares in percent,
revisions' blocks as objects, and Kubernetes' own form for conditions. Reading gives back exactly what was written,
times to the millisecond.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic.alias_generators import to_camel

from operators.api.fields import basis_points, format_time, parse_time
from operators.status import Condition, RolloutStatus

TIMES: Final = frozenset(
    {
        "at",
        "since",
        "started_at",
        "step_started_at",
        "until",
        "evidence_since",
        "promoted_at",
        "starting_since",
        "counting_since",
        "decided_at",
    }
)
"""Fields that hold seconds since the epoch."""
SHARES: Final = frozenset({"weight", "shadow"})
"""Fields that hold basis points."""
BLOCKS: Final = frozenset({"model", "serving"})
"""Fields that hold canonical JSON text."""
INLINED: Final = "revision"
"""The field whose own fields stand beside its neighbours: a candidate *is* a revision on its way. Local stores may hold
statuses in which they stand in a block of this name; those are read too."""
CONDITION_STATUS: Final[Mapping[bool | None, str]] = {True: "True", False: "False", None: "Unknown"}


def canonical(value: object) -> str:
    """JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def status_to_json(status: RolloutStatus) -> dict[str, Any]:
    """The status as a JSON object."""
    return _written(status)


def status_from_json(content: Mapping[str, Any]) -> RolloutStatus:
    """The status that `status_to_json` wrote. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    status: RolloutStatus = _read(RolloutStatus, content)
    return status


def json_name(cls: type, field: Field[Any]) -> str:
    """What a field of a status record is called in JSON."""
    if cls is Condition and field.name == "since":
        return "lastTransitionTime"
    return to_camel(field.name)


def _written(record: Any) -> dict[str, Any]:
    cls = type(record)
    content: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name == INLINED:
            content |= _written(value)
        elif not (value is None or value == ()) or (cls is Condition and field.name == "status"):
            content[json_name(cls, field)] = _encoder(cls, field.name)(value)
    return content


def _encoder(cls: type, name: str) -> Callable[[Any], Any]:
    if name in TIMES:
        return format_time
    if name in SHARES:
        return lambda share: share / 100
    if name in BLOCKS:
        return json.loads
    if cls is Condition and name == "status":
        return CONDITION_STATUS.__getitem__
    return _encoded


def _encoded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return _written(value) if is_dataclass(value) else value


def _read(cls: Any, content: Mapping[str, Any]) -> Any:
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in fields(cls):
        value = content.get(json_name(cls, field))
        if field.name == INLINED:
            values[field.name] = _read(hints[field.name], content.get(INLINED, content))
        elif value is not None:
            values[field.name] = _decoder(cls, field.name, hints[field.name])(value)
        elif field.default is MISSING:
            if type(None) not in get_args(hints[field.name]):
                raise KeyError(f"{cls.__name__} without {json_name(cls, field)}")
            values[field.name] = None
    return cls(**values)


def _decoder(cls: type, name: str, hint: Any) -> Callable[[Any], Any]:
    if name in TIMES:
        return parse_time
    if name in SHARES:
        return basis_points
    if name in BLOCKS:
        return canonical
    if cls is Condition and name == "status":
        return {text: status for status, text in CONDITION_STATUS.items()}.__getitem__
    return lambda value: _decoded(hint, value)


def _decoded(hint: Any, value: Any) -> Any:
    if get_origin(hint) is UnionType:
        hint = next(variant for variant in get_args(hint) if variant is not type(None))
    if get_origin(hint) is tuple:
        return tuple(_decoded(get_args(hint)[0], item) for item in value)
    if is_dataclass(hint):
        return _read(hint, value)
    return hint(value)
