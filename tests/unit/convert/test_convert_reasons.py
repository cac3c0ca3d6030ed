"""Every field that is known to have no counterpart is told about with its own reason, wherever it stands."""

from collections.abc import Callable
from typing import Any

import pytest
from convert_kit import one

from operators.convert import argo, kserve, seldon
from operators.convert.fields import Why
from operators.convert.parts import CONTAINER, POD
from operators.convert.report import Kind


def service(**places: Any) -> dict[str, Any]:
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "file:///m/a.joblib", **places.get("model", {})}
    predictor = {"model": model, **places.get("predictor", {})}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris"},
        "spec": {"predictor": predictor, **places.get("spec", {})},
    }


def deployment(**places: Any) -> dict[str, Any]:
    graph = {"name": "c", "implementation": "MLFLOW_SERVER", "modelUri": "file:///m/a.b", **places.get("graph", {})}
    pod = {"containers": [{"name": "c", **places.get("container", {})}], **places.get("pod", {})}
    component = {"spec": pod, **places.get("component", {})}
    predictor = {"name": "p", "graph": graph, "componentSpecs": [component], **places.get("predictor", {})}
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris"},
        "spec": {"predictors": [predictor], **places.get("spec", {})},
    }


def rollout(**places: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", **places.get("container", {})}], **places.get("pod", {})}
    canary = {"steps": [places.get("step", {"setWeight": 5})], **places.get("canary", {})}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "iris"},
        "spec": {"template": {"spec": pod}, "strategy": {"canary": canary}, **places.get("spec", {})},
    }


PREDICTOR = "spec.predictors[0]"
COMPONENT = f"{PREDICTOR}.componentSpecs[0]"
TABLES: list[tuple[Callable[..., dict[str, Any]], str, str, Why]] = [
    (service, "model", "spec.predictor.model", kserve.MODEL),
    (service, "predictor", "spec.predictor", kserve.PREDICTOR),
    (service, "spec", "spec", kserve.SPEC),
    (deployment, "graph", f"{PREDICTOR}.graph", seldon.GRAPH),
    (deployment, "predictor", PREDICTOR, seldon.PREDICTOR),
    (deployment, "component", COMPONENT, seldon.COMPONENT),
    (deployment, "pod", f"{COMPONENT}.spec", POD),
    (deployment, "container", f"{COMPONENT}.spec.containers[0]", CONTAINER),
    (deployment, "spec", "spec", seldon.SPEC),
    (rollout, "step", "spec.strategy.canary.steps[0]", argo.STEP),
    (rollout, "canary", "spec.strategy.canary", argo.CANARY),
    (rollout, "pod", "spec.template.spec", POD),
    (rollout, "container", "spec.template.spec.containers[0]", CONTAINER),
    (rollout, "spec", "spec", argo.SPEC),
]


@pytest.mark.parametrize(
    ("made", "place", "path", "name", "reason"),
    [
        pytest.param(made, place, path, name, reason, id=f"{made.__name__}-{place}-{name}")
        for made, place, path, table in TABLES
        for name, (reason, _) in table.items()
        if (made, place, name) != (rollout, "container", "image")  # which is told about with the template
    ],
)
def test_a_field_without_counterpart_is_told_about(made: Any, place: str, path: str, name: str, reason: str) -> None:
    found = one(made(**{place: {name: {"some": "thing"}}}))
    assert found.rollout is not None, found.notes
    assert (f"{path}.{name}", Kind.LEFT_OUT, reason) in [(note.field, note.kind, note.reason) for note in found.notes]


@pytest.mark.parametrize("made", [service, deployment, rollout])
def test_a_field_that_nobody_knows_is_told_about_too(made: Any) -> None:
    found = one({**made(spec={"surprise": 0}), "more": True})
    assert {"spec.surprise", "more"} <= {note.field for note in found.notes if note.kind is Kind.LEFT_OUT}
