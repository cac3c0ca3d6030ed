"""The CustomResourceDefinition, generated from the types; `operators.api.__main__` writes it as YAML."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from operators.api.fields import format_duration
from operators.api.rules import AVAILABLE_STRATEGIES, STEP_KINDS, STRATEGIES
from operators.api.statusschema import status_schema
from operators.api.types import DNS_LABEL, ENV_NAME, KIND, RolloutSpec

_GROUP: Final = "tidegate.dev"
_KEPT: Final = frozenset(
    {
        "additionalProperties", "default", "description", "enum", "format", "items", "maxItems", "maxLength",
        "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required", "type",
        "x-kubernetes-int-or-string",
    }
)  # fmt: skip
"""What both JSON Schema 2020-12 and Kubernetes' structural schemas know, with one meaning."""


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _count(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size()"


def _is_something(field: str) -> str:
    return f"(type(self.{field}) == int ? self.{field} != 0 : self.{field}.matches('[1-9]'))"


_QUANTITY: Final = "quantity(type(self) == int ? string(self) : self)"
_HUNDREDTHS: Final = _rule(
    "self < 0.0 || [self * 100.0 - double(int(self * 100.0 + 0.5))].all(rest, rest < 0.000001 && rest > -0.000001)",
    "has more than two decimals: traffic is divided in hundredths of a percent",
)
"""Instead of `multipleOf`, with which the API server refuses whole numbers where fractions are allowed."""
_SOME_TIME: Final = _rule("self.matches('[1-9]')", "must be longer than 0")
_WEIGHTS: Final = "self.filter(s, has(s.setWeight)).map(s, s.setWeight)"
_SENDING_OR_WAITING: Final = (
    "self.filter(s, has(s.analysis) || has(s.setWeight) && s.setWeight > 0.0 || has(s.setShadow) && s.setShadow > 0.0)"
)
RULES: Final[Mapping[str, list[dict[str, str]]]] = {
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
    "strategy.canary.steps": [
        _rule(f"{_WEIGHTS}.isSorted()", "setWeight must not fall along the steps"),
        _rule(
            f"[{_SENDING_OR_WAITING}].all(found, found.size() == 0 || !has(found[0].analysis))",
            "an analysis would wait forever: the candidate gets no requests before a setWeight or setShadow above 0",
        ),
    ],
    "strategy.canary.steps[]": [_rule(f"{_count(STEP_KINDS)} == 1", f"exactly one of {', '.join(STEP_KINDS)}")],
    "strategy.canary.steps[].setWeight": [_HUNDREDTHS],
    "strategy.canary.steps[].setShadow": [_HUNDREDTHS],
    "serving.resources": [
        _rule(
            f"!has(self.cpu) || {_is_something('cpu')} || has(self.gpu) && {_is_something('gpu')}",
            "cpu is 0: without a GPU a replica needs a share of a CPU, such as 100m",
        )
    ],
    "serving.env": [
        _rule(
            f"self.all(name, name.matches('{ENV_NAME}'))",
            f"names of environment variables must match {ENV_NAME}",
        )
    ],
    "traffic.limits.maxBodyBytes": [
        _rule(
            f"[{_QUANTITY}].all(size, size.compareTo(quantity('1')) >= 0 && size.compareTo(quantity('1Gi')) <= 0)",
            "1 to 1Gi are possible",
        )
    ],
    "analysis.interval": [_SOME_TIME],
    "traffic.timeout": [_SOME_TIME],
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
    if path in RULES:
        result["x-kubernetes-validations"] = RULES[path]
    return result


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}
