"""The CustomResourceDefinition that is generated from the types."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.api import crd, route_crd
from operators.api.__main__ import definitions
from operators.api.cel import RULES
from operators.api.strategyrules import STRATEGIES

CHART = Path(__file__).parents[3] / "charts" / "tidegate" / "files" / "crds"
VALIDATIONS = "x-kubernetes-validations"
VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


FIELDS = dict(nodes(SCHEMA))
ROUTE_FIELDS = dict(nodes(route_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))


def test_the_chart_carries_what_the_types_say() -> None:
    assert {path.name: path.read_text() for path in CHART.iterdir()} == definitions(), "run `make crd`"
    assert [yaml.safe_load(text) for text in definitions().values()] == [crd(), route_crd()]


@pytest.mark.parametrize("all_fields", [FIELDS, ROUTE_FIELDS], ids=["rollout", "route"])
def test_every_field_is_described(all_fields: dict[str, dict[str, Any]]) -> None:
    bare = [path for path, field in all_fields.items() if "description" not in field and path[-2:] not in ("[]", "{}")]
    assert bare == ["metadata"]  # which the API server describes itself


def test_the_schema_is_structural() -> None:
    for path, field in FIELDS.items():
        typed = "type" in field or field.keys() & {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
        assert typed, path
        assert not field.keys() & {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title"}, path
        assert not ("properties" in field and "additionalProperties" in field), path
        assert field.get("default", 0) is not None, path
        if "pattern" in field:
            re.compile(field["pattern"])


def test_defaults_are_written_as_a_person_writes_them() -> None:
    defaults = {path: field["default"] for path, field in FIELDS.items() if "default" in field}
    assert defaults["spec.analysis.interval"] == "15s"
    assert defaults["spec.traffic.timeout"] == "5s"
    assert defaults["spec.serving.replicas"] == 1
    assert defaults["spec.serving"] == {}


def test_rules_across_fields_are_said_in_cel() -> None:
    rules = {path: field[VALIDATIONS] for path, field in FIELDS.items() if VALIDATIONS in field}
    assert rules["spec.strategy"][0]["message"] == "exactly one of canary, blueGreen, shadow, abTest, bandit"
    assert rules["spec.strategy.canary.steps"][0]["message"] == "setWeight must not fall along the steps"
    assert rules["spec.strategy.abTest.shares{}"][0]["message"] == "a version without requests cannot be compared"
    assert set(rules) == {"spec", *(f"spec.{path}" for path in RULES if path)}, "a path names no field"


def test_lists_of_named_things_cannot_name_one_twice() -> None:
    assert FIELDS["spec.analysis.checks"]["x-kubernetes-list-map-keys"] == ["name"]
    assert FIELDS["spec.model.inputs"]["x-kubernetes-list-map-keys"] == ["name"]
    assert FIELDS["spec.variants"]["x-kubernetes-list-map-keys"] == ["name"]
    assert FIELDS["spec.variants[].model.inputs"]["x-kubernetes-list-map-keys"] == ["name"]
    assert FIELDS["spec.traffic.hosts"]["x-kubernetes-list-type"] == "set"


def test_every_strategy_is_there_with_its_fields() -> None:
    assert list(FIELDS["spec.strategy"]["properties"]) == list(STRATEGIES)
    assert all("properties" in FIELDS[f"spec.strategy.{name}"] for name in STRATEGIES)


def test_what_a_rule_asks_to_be_written_is_not_filled_in() -> None:
    for path in ("spec.traffic.sticky.ttl", "spec.strategy.shadow.minSamples", "spec.traffic.match[].in"):
        assert "default" not in FIELDS[path], path


def test_a_rule_complains_about_fields_that_exist() -> None:
    for path, rules in RULES.items():
        for rule in rules:
            assert f"spec.{path}{rule.get('fieldPath', '')}".replace("spec..", "spec.") in FIELDS, rule


def test_kubectl_get_shows_the_columns_that_matter() -> None:
    columns = {column["name"]: column["jsonPath"] for column in VERSION["additionalPrinterColumns"]}
    assert list(columns) == ["Phase", "Step", "Weight", "Stable", "Candidate", "Verdict", "Age"]
    for path in columns.values():
        plain = path.split("[?")[0].lstrip(".")
        assert plain in FIELDS or plain.startswith("metadata."), path


def test_the_short_name_and_the_subresources_are_there() -> None:
    assert crd()["spec"]["names"]["shortNames"] == ["mr"]
    assert VERSION["subresources"].keys() == {"status", "scale"}
