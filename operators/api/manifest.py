"""Manifests in and out: a mapping becomes a `ModelRollout` or a list of problems, each with its field."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from operators.api.problem import Problem
from operators.api.rules import broken_rules
from operators.api.statusjson import status_from_json, status_to_json
from operators.api.types import API_VERSION, KIND, Metadata, ModelRollout
from operators.status import RolloutStatus

_METADATA: Final = frozenset({to for field in Metadata.model_fields.values() if (to := field.alias)})
_METADATA_OF_KUBERNETES: Final = frozenset(
    {
        "deletionGracePeriodSeconds", "finalizers", "generateName", "managedFields", "ownerReferences",
        "resourceVersion", "selfLink",
    }
)  # fmt: skip
"""Fields that the API server adds and nobody here reads."""


class InvalidManifest(Exception):
    """A manifest that makes no sense; `problems` says all that is wrong with it, its text has a line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """All that is wrong; at least one problem."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def parse_manifest(document: Mapping[str, object]) -> ModelRollout:
    """Read a manifest as YAML or JSON gave it. Raises `InvalidManifest`."""
    problems = [*_envelope(document)]
    status = RolloutStatus()
    if document.get("status"):
        try:
            status = status_from_json(_mapping(document["status"]))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(Problem("status", f"was not written by Tidegate: {error}"))
    metadata = {
        name: value for name, value in _mapping(document.get("metadata")).items() if name not in _METADATA_OF_KUBERNETES
    }
    content = {"metadata": metadata, "spec": document.get("spec")}
    try:
        # JSON's rules are the API server's: a list may become a tuple, text never becomes a number.
        rollout = ModelRollout.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problems += _problems(error.errors(include_url=False))
    except (TypeError, ValueError) as error:
        problems.append(Problem("spec", f"holds a value that JSON does not know: {error}"))
    else:
        problems += broken_rules(rollout)
    if problems:
        raise InvalidManifest(problems)
    return rollout.with_status(status)


def manifest_to_json(rollout: ModelRollout) -> dict[str, Any]:
    """The manifest as `kubectl get -o json` shows it: what was written, without the defaults, and the status."""
    status = status_to_json(rollout.status)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        **rollout.model_dump(mode="json", by_alias=True, exclude_unset=True),
        **({"status": status} if rollout.status != RolloutStatus() else {}),
    }


def _envelope(document: Mapping[str, object]) -> Iterator[Problem]:
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(name) != expected:
            found = f"{document[name]!r}" if name in document else "missing"
            yield Problem(name, f"must be {expected}, it is {found}")
    known = ("apiVersion", "kind", "metadata", "spec", "status")
    for name in document:
        if name not in known:
            yield Problem(str(name), _unknown(str(name), known))
    if not isinstance(document.get("metadata", {}), Mapping):
        yield Problem("metadata", "must be a mapping of fields")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _problems(errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    seen: set[str] = set()
    for error in errors:
        location = tuple(part for part in error["loc"] if part not in _VARIANTS)
        if error["type"] == "too_short" and error["input"]:
            continue  # pydantic counts the entries that are left: what is wrong with the others is said already
        field = _path(location)
        if field not in seen:  # a field of two types has two errors
            seen.add(field)
            yield Problem(field, _reason(error, location))


_VARIANTS: Final = ("float", "str", "bool", "[key]")
"""What pydantic adds to a location to say which variant of a value it tried."""


def _path(location: Sequence[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _reason(error: ErrorDetails, location: Sequence[str | int]) -> str:
    """Why, in the words of somebody who wrote YAML."""
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return _unknown(str(location[-1]), _fields_beside(location))
        case "missing":
            return "is required"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be {context['expected']}, it is {_shown(given)}"
        case "string_pattern_mismatch":
            return f"is {_shown(given)}, it must match {context['pattern']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping of fields, it is {_shown(given)}"
        case "tuple_type":
            return f"must be a list, it is {_shown(given)}"
        case "string_type" if error["loc"][-1] == "str":
            return f"must be text, a number, true or false, it is {_shown(given)}"
        case "string_type":
            return f"must be text, it is {_shown(given)}: put it in quotes"
        case _:
            return f"is {_shown(given)}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known here: {', '.join(known)}"
    return f"is not a field of this release; {hint}"


def _fields_beside(location: Sequence[str | int]) -> list[str]:
    """The names of the fields that may stand where `location` does."""
    block: Any = ModelRollout
    for part in location[:-1]:
        if isinstance(part, str):
            block = next(
                _block(field.annotation) for field in block.model_fields.values() if part in (field.alias, field.title)
            )
    return [str(field.alias) for field in block.model_fields.values() if not field.exclude]


def _block(annotation: Any) -> type[BaseModel]:
    """The block within `Block | None` or `tuple[Block, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(found for inner in annotation.__args__ if (found := _maybe_block(inner)) is not None)


def _maybe_block(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
