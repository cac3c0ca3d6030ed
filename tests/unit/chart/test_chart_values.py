"""values.yaml and its schema: everything is documented, everything is known, nonsense is refused with a sentence."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.chart.chart_kit import CHART, NAMESPACE, ROOT, VARIANTS, Refused, helm, render

VALUES = CHART / "values.yaml"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DOC = "# -- "


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The definition that a part of the schema refers to, else the part itself."""
    name = schema.get("$ref", "").removeprefix("#/definitions/")
    return dict(SCHEMA["definitions"][name]) if name else schema


def undocumented(node: yaml.MappingNode, lines: list[str], path: str = "") -> Iterator[str]:
    """Values without a comment of their own, or of a value above them that is one thing."""
    for key, value in node.value:
        here = f"{path}.{key.value}".removeprefix(".")
        above = key.start_mark.line - 1
        while lines[above].strip().startswith("#") and not lines[above].strip().startswith(DOC):
            above -= 1
        if lines[above].strip().startswith(DOC):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from undocumented(value, lines, here)
        else:
            yield here


def missing(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[str]:
    """What the schema knows and values.yaml does not show. Kubernetes' own types are shown as far as they are set."""
    for key, part in resolved(schema).get("properties", {}).items():
        here = f"{path}.{key}".removeprefix(".")
        if key not in values:
            yield here
        elif part.get("$ref") != "#/definitions/resources" and isinstance(values[key], dict):
            yield from missing(part, values[key], here)


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects_of(part)


def test_the_chart_passes_helms_own_strict_check() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_every_value_is_documented_where_it_stands() -> None:
    text = VALUES.read_text()
    assert list(undocumented(yaml.compose(text, yaml.SafeLoader), text.splitlines())) == []


def test_values_and_schema_know_the_same() -> None:
    assert render(), "Helm has checked values.yaml against the schema, which lets no other names through"
    assert list(missing(SCHEMA, yaml.safe_load(VALUES.read_text()))) == ["global"]


def test_the_schema_lets_no_unknown_value_through_but_those_of_kubernetes_itself() -> None:
    open_to_others = [schema for schema in objects_of(SCHEMA) if schema.get("additionalProperties") is not False]
    assert open_to_others == [SCHEMA["definitions"]["env"]["items"]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("router.replica=3", "at '/router': additional properties 'replica' not allowed"),
        ("router.replicas=-1", "at '/router/replicas': minimum: got -1, want 0"),
        ("router.replicas=two", "at '/router/replicas': got string, want integer"),
        ("router.drainSeconds=1", "at '/router/drainSeconds': minimum: got 1, want 10"),
        ("ray.mode=local", "at '/ray/mode': value must be one of 'embedded', 'kuberay', 'external'"),
        ("image.control.digest=latest", "at '/image/control/digest': 'latest' does not match pattern"),
        ("models.mountPath=models", "at '/models/mountPath': 'models' does not match pattern"),
        ("models.claims={Team_A}", "at '/models/claims/0': 'Team_A' does not match pattern"),
        ("artifacts.hosts={http://minio:9000}", "at '/artifacts/hosts/0': 'http://minio:9000' does not match pattern"),
        ("artifacts.schemes={ftp}", "at '/artifacts/schemes/0': value must be one of 'file', 'pvc'"),
        ("artifacts.code=sometimes", "at '/artifacts/code': value must be one of 'verified', 'always', 'never'"),
        ("artifacts.signatures.publicKeys.a=MFkw", "at '/artifacts/signatures/publicKeys/a': 'MFkw' does not match"),
        ("ingress.hosts[0].name=x", "at '/ingress/hosts/0': missing property 'host'"),
        ("operator.podDisruptionBudget.maxUnavailable=some", "at '/operator/podDisruptionBudget/maxUnavailable'"),
        ("ray.mode=external", "ray.external.url is empty: with ray.mode=external, say where"),
        ("ray.mode=external,ray.external.url=http://ray:8265", "ray.token.existingSecret is empty: with"),
        ("ray.mode=kuberay,ray.kuberay.gcsFaultTolerance.enabled=true", "redisAddress is empty: say where Redis"),
        ("monitor.spoolSize=0", "at '/monitor/spoolSize': got number, want string"),
        ("monitor.spoolSize=0Gi", "at '/monitor/spoolSize': '0Gi' does not match pattern"),
        ("monitor.retention=0d", "at '/monitor/retention': '0d' does not match pattern"),
        ("monitor.records.sample=101", "at '/monitor/records/sample': maximum: got 101, want 100"),
        ("operator.watchAllNamespaces=true,operator.watchNamespaces={a}", "set only one of them"),
        ("httpRoute.enabled=true", "httpRoute.parentRefs is empty: name the Gateway"),
        ("router.autoscaling.minReplicas=11", "router.autoscaling.minReplicas is 11, more than maxReplicas"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_their_path_and_a_reason(values: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        render(values)
    assert reason in " ".join(str(refused.value).split())


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_nothing_rendered_depends_on_order_or_chance_but_the_token(values: tuple[str, ...]) -> None:
    """Server-side apply merges lists by key: a key that stands twice, or a field that is null, makes it fail or lie."""
    for one in render(*values):
        assert list(faults(one)) == [], one["metadata"]["name"]
    again = render.__wrapped__(*values)
    for one, other in zip(render(*values), again, strict=True):
        assert one == other or one["kind"] == "Secret"


def faults(value: Any, path: str = "") -> Iterator[str]:
    """Fields that are null, and lists in which two items have the same key."""
    if value is None:
        yield f"{path} is null"
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from faults(part, f"{path}.{key}")
    elif isinstance(value, list):
        for key in ("name", "mountPath"):
            named = [item[key] for item in value if isinstance(item, dict) and key in item]
            if len(named) != len(set(named)):
                yield f"{path} has a {key} twice"
        for index, part in enumerate(value):
            yield from faults(part, f"{path}[{index}]")


def test_the_versions_of_package_chart_and_images_are_the_same() -> None:
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    image = re.search(r"image\.version=(\S+)", (ROOT / "deployments" / "Dockerfile").read_text())
    assert image is not None
    assert project[1] == chart["version"] == chart["appVersion"] == image[1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((), "There is no volume with models yet"),
        (("models.volume.configMap.name=models",), "kubectl apply -n models -f -"),
        ((), "Records and feedback are lost with the monitor's pod"),
        (("ingress.enabled=true", "ingress.hosts[0].host=m.example"), "curl http://m.example/v2/models/iris"),
        (("operator.watchAllNamespaces=true",), "follows the ModelRollouts of all namespaces"),
        (("operator.watchNamespaces={a,b}",), "kubectl apply -n a -f -"),
    ],
)
def test_the_notes_tell_the_next_command(values: tuple[str, ...], said: str) -> None:
    settings = [part for value in values for part in ("--set", value)]
    client = ("--dry-run=client", "--namespace", NAMESPACE)
    assert said in helm("install", "tidegate", str(CHART), *client, *settings)
