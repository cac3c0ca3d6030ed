"""The CustomResourceDefinition, generated from the types: `python -m operators.api` prints it as YAML."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from operators.api.fields import format_duration
from operators.api.rules import AVAILABLE_STRATEGIES, STEP_KINDS, STRATEGIES
from operators.api.statusschema import status_schema
from operators.api.types import DNS_LABEL, KIND, RolloutSpec

_GROUP: Final = "tidegate.dev"
_KEPT: Final = frozenset(
    {
        "additionalProperties", "default", "description", "enum", "format", "items", "maxItems", "maxLength", "maximum",
        "minItems", "minLength", "minimum", "multipleOf", "pattern", "properties", "required", "type",
        "x-kubernetes-int-or-string",
    }
)  # fmt: skip
"""What both JSON Schema 2020-12 and Kubernetes' structural schemas know, with one meaning."""


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _count(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size()"


_WEIGHTS: Final = "self.filter(s, has(s.setWeight)).map(s, s.setWeight)"
_RULES: Final[Mapping[str, list[dict[str, str]]]] = {
    "": [
        _rule(
            "!has(self.strategy) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) "
            "|| !self.strategy.canary.steps.exists(s, has(s.analysis)) "
            "|| (has(self.analysis.checks) && self.analysis.checks.size() > 0)",
            "an analysis step has nothing to wait for: spec.analysis.checks is empty",
        )
    ],
    "strategy": [
        _rule(f"{_count(STRATEGIES)} == 1", f"exactly one of {', '.join(STRATEGIES)}"),
        _rule(
            " || ".join(f"has(self.{name})" for name in AVAILABLE_STRATEGIES),
            f"available in this release: {', '.join(AVAILABLE_STRATEGIES)}, or no strategy at all",
        ),
    ],
    "strategy.canary.steps": [_rule(f"{_WEIGHTS}.isSorted()", "setWeight must not fall along the steps")],
    "strategy.canary.steps[]": [_rule(f"{_count(STEP_KINDS)} == 1", f"exactly one of {', '.join(STEP_KINDS)}")],
    "analysis.checks[]": [
        _rule("self.metric == 'error-rate' || !has(self.versus)", "versus: stable is for error-rate"),
        _rule("has(self.versus) == has(self.margin)", "versus: stable and margin belong together"),
    ],
}
"""CEL rules by the path of the field that they stand at. Fields of several types (`max`) are out of CEL's reach."""

_BY_NAME: Final = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_UNIQUE: Final[Mapping[str, dict[str, Any]]] = {
    "model.inputs": _BY_NAME,
    "analysis.checks": _BY_NAME,
    "traffic.hosts": {"x-kubernetes-list-type": "set"},
}
"""Lists whose entries may not repeat, by path."""

_COLUMNS: Final = (
    ("Phase", "string", ".status.phase"),
    ("Step", "integer", ".status.step"),
    ("Weight", "number", ".status.weight"),
    ("Stable", "string", ".status.stable.id"),
    ("Candidate", "string", ".status.candidate.revision.id"),
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
            "metadata": {
                "type": "object",
                "description": "Kubernetes' metadata; the name is the model's name in requests.",
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
        "subresources": {"status": {}},
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
    strategies = schema["properties"]["strategy"]["properties"]
    for name in STRATEGIES:
        # Kept, so that the rules can say what is wrong with them; a field unknown here would vanish silently.
        unavailable = {"description": "Not available in this release.", "type": "object"}
        strategies.setdefault(name, unavailable | {"x-kubernetes-preserve-unknown-fields": True})
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
    match result.get("default", ...):
        case None:
            del result["default"]
        case float(seconds) if result.get("type") == "string":
            result["default"] = format_duration(seconds)
        case dict() if "properties" in result:
            result["default"] = {}  # the API server fills in the defaults within
    if "const" in merged:
        result["enum"] = [merged["const"]]
    if "exclusiveMinimum" in merged and result.get("type") == "number":
        result |= {"minimum": merged["exclusiveMinimum"], "exclusiveMinimum": True}
    if "properties" in result:
        result["properties"] = {
            name: _structural(field, definitions, f"{path}.{name}".lstrip("."))
            for name, field in result["properties"].items()
        }
        result.pop("additionalProperties", None)
    elif "patternProperties" in merged:
        result["additionalProperties"] = {"type": "string"}
    if "items" in result:
        result["items"] = _structural(result["items"], definitions, f"{path}[]")
    result |= _UNIQUE.get(path, {})
    if path in _RULES:
        result["x-kubernetes-validations"] = _RULES[path]
    return result


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}
