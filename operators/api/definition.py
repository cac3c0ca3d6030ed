"""The CustomResourceDefinition, generated from the types; `operators.api.__main__` writes it as YAML."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from operators.api.block import DNS_LABEL
from operators.api.cel import RULES
from operators.api.fields import format_duration
from operators.api.statusschema import status_schema
from operators.api.types import KIND, RolloutSpec

_GROUP: Final = "tidegate.dev"
_KEPT: Final = frozenset(
    {
        "additionalProperties", "default", "description", "enum", "format", "items", "maxItems", "maxLength",
        "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required", "type",
        "x-kubernetes-int-or-string",
    }
)  # fmt: skip
"""What both JSON Schema 2020-12 and Kubernetes' structural schemas know, with one meaning."""


_BY_NAME: Final = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_UNIQUE: Final[Mapping[str, dict[str, Any]]] = {
    "model.inputs": _BY_NAME,
    "model.outputs": _BY_NAME,
    "analysis.checks": _BY_NAME,
    "variants": _BY_NAME,
    "variants[].model.inputs": _BY_NAME,
    "variants[].model.outputs": _BY_NAME,
    "traffic.hosts": {"x-kubernetes-list-type": "set"},
}
"""Lists whose entries may not repeat, by path."""
_UNFILLED: Final = re.compile(r"traffic\.sticky\.ttl|strategy\.shadow\.minSamples|.*\.in")
"""Paths of defaults that the API server does not fill in: a rule asks whether somebody wrote them."""

_COLUMNS: Final = (
    ("Phase", "string", ".status.phase"),
    ("Step", "integer", ".status.step"),
    ("Weight", "number", ".status.weight"),
    ("Stable", "string", ".status.stable.id"),
    ("Candidate", "string", ".status.candidate.id"),
    ("Verdict", "string", ".status.conditions[?(@.type=='Analysed')].reason"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


def crd() -> dict[str, Any]:
    """The definition as a mapping, ready for the API server."""
    schema = {
        "type": "object",
        "description": "One model, its versions, and how traffic moves between them.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "tidegate.dev/v1alpha1."},
            "kind": {"type": "string", "description": "ModelRollout."},
            # The API server describes it itself and takes nothing here but patterns for the name.
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "pattern": DNS_LABEL, "description": "The model's name."}},
            },
            "spec": _spec_schema(),
            "status": status_schema(),
        },
    }
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.serving.replicas", "statusReplicasPath": ".status.stableReady"},
        },
        "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"modelrollouts.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": "modelrollouts",
                "singular": "modelrollout",
                "shortNames": ["mr"],
            },
            "versions": [version],
        },
    }


def _spec_schema() -> dict[str, Any]:
    raw = RolloutSpec.model_json_schema(by_alias=True, mode="validation")
    schema = _structural(raw, raw.get("$defs", {}), "")
    schema["description"] = "What should be."
    return schema


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A JSON Schema of pydantic as Kubernetes wants it: no references, no null, no closed objects, rules in CEL."""
    merged = dict(schema)
    if "$ref" in merged:
        merged = deepcopy(definitions[merged["$ref"].rsplit("/", 1)[-1]]) | merged
    variants = [variant for variant in merged.get("anyOf", ()) if variant.get("type") != "null"]
    if len(variants) == 1:
        return _structural(variants[0] | _without(merged, "anyOf"), definitions, path)
    result = {name: value for name, value in merged.items() if name in _KEPT}
    if variants:
        result["x-kubernetes-preserve-unknown-fields"] = True  # several types: the operator says which fits
    _write_default(result, path)
    if "const" in merged:
        result["enum"] = [merged["const"]]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in merged and result.get("type") == "number":
            result |= {bound.lower(): merged[f"exclusive{bound}"], f"exclusive{bound}": True}
    if "properties" in result:
        result["properties"] = {
            name: _structural(field, definitions, f"{path}.{name}".lstrip("."))
            for name, field in result["properties"].items()
        }
        result.pop("additionalProperties", None)
    elif "patternProperties" in merged:
        (values,) = merged["patternProperties"].values()
        result["additionalProperties"] = _structural(values, definitions, f"{path}{{}}")
    if "items" in result:
        result["items"] = _structural(result["items"], definitions, f"{path}[]")
    result |= deepcopy(_UNIQUE.get(path, {}))
    if path in RULES:
        result["x-kubernetes-validations"] = deepcopy(RULES[path])
    return result


def _write_default(schema: dict[str, Any], path: str) -> None:
    match schema.get("default", ...):
        case None:
            del schema["default"]
        case float(seconds) if schema.get("type") == "string":
            schema["default"] = format_duration(seconds)
        case dict() if "properties" in schema:
            schema["default"] = {}  # the API server fills in the defaults within
    if _UNFILLED.fullmatch(path):
        schema.pop("default", None)


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}
