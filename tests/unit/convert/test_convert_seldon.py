"""Seldon Core's SeldonDeployment becomes a rollout."""

from typing import Any

import pytest
from convert_kit import converted, loaded, notes, one, spec

from operators.convert import Kind

FULL = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata:
  name: loans
  namespace: credit
spec:
  name: loans
  protocol: v2
  transport: rest
  oauth_key: key
  annotations:
    seldon.io/rest-timeout: "1500"
    seldon.io/grpc-timeout: "1500"
  predictors:
    - name: champion
      traffic: 80
      replicas: 2
      labels: {version: v1}
      svcOrchSpec: {env: [{name: SELDON_LOG_LEVEL, value: DEBUG}]}
      graph:
        name: classifier
        type: MODEL
        implementation: SKLEARN_SERVER
        modelUri: file:///models/loans-1.joblib
        envSecretRefName: bucket
        logger: {mode: all}
        endpoint: {type: REST}
        parameters:
          - {name: method, type: STRING, value: predict}
          - {name: xtype, type: STRING, value: ndarray}
        children: []
      componentSpecs:
        - hpaSpec: {maxReplicas: 3}
          spec:
            terminationGracePeriodSeconds: 5
            containers:
              - name: classifier
                image: seldonio/sklearnserver
                env: [{name: LEVEL, value: info}]
                resources: {requests: {cpu: 250m}}
              - {name: sidecar, image: registry.example.test/sidecar}
    - name: Challenger_B
      traffic: 20
      replicas: 1
      graph:
        name: classifier
        implementation: SKLEARN_SERVER
        modelUri: file:///models/loans-2.joblib
"""


def predictor(name: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    parameters = [{"name": "method", "type": "STRING", "value": "predict"}]
    uri = f"file:///models/loans-{number}.joblib"
    graph = {"name": "c", "implementation": "SKLEARN_SERVER", "modelUri": uri, "parameters": parameters}
    return {"name": name, "graph": graph, **fields}


def deployment(*predictors: Any, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "loans"},
        "spec": {"protocol": "v2", "predictors": list(predictors), **fields},
    }


def test_a_split_becomes_a_valid_test_with_the_same_shares() -> None:
    (found,) = converted(FULL)
    assert spec(found) == {
        "model": {"uri": "file:///models/loans-1.joblib", "runtime": "sklearn"},
        "serving": {
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
            "resources": {"cpu": "250m"},
            "env": {"LEVEL": "info"},
        },
        "strategy": {"abTest": {"shares": {"control": 80, "challenger-b": 20}, "goal": {"metric": "success-rate"}}},
        "variants": [{"name": "challenger-b", "model": {"uri": "file:///models/loans-2.joblib", "runtime": "sklearn"}}],
        "traffic": {"timeout": "1s500ms"},
    }
    rollout = loaded(found)
    assert rollout.metadata.namespace == "credit"
    assert rollout.spec.strategy is not None
    assert rollout.spec.strategy.ab_test is not None
    assert rollout.spec.strategy.ab_test.on_winner == "hold"  # shares stay as they are until a person moves them


def test_every_field_that_is_not_carried_over_is_told_about() -> None:
    (found,) = converted(FULL)
    first, second = "spec.predictors[0]", "spec.predictors[1]"
    component = f"{first}.componentSpecs[0]"
    left_out = [
        *(f"spec.{name}" for name in ("name", "transport", "oauth_key", "annotations.seldon.io/grpc-timeout")),
        *(f"{first}.{name}" for name in ("labels", "svcOrchSpec")),
        *(f"{first}.graph.{name}" for name in ("envSecretRefName", "logger", "endpoint", "parameters[1]")),
        f"{component}.spec.terminationGracePeriodSeconds",
        *(f"{component}.spec.containers[{name}" for name in ("0].image", "1]")),
        second,
    ]
    differs = ["spec.predictors", f"{second}.graph.parameters", f"{second}.name", f"{component}.hpaSpec"]
    assert notes(found) == dict.fromkeys(left_out, Kind.LEFT_OUT) | dict.fromkeys(differs, Kind.DIFFERENT)


@pytest.mark.parametrize(("traffic", "percent"), [(None, 100), (0, 100), (30, 30)])
def test_a_shadow_is_the_next_version(traffic: int | None, percent: int) -> None:
    found = one(deployment(predictor("main"), predictor("new", 2, shadow=True, traffic=traffic)))
    assert spec(found) == {
        "model": {"uri": "file:///models/loans-1.joblib", "runtime": "sklearn"},
        "strategy": {"shadow": {"percent": percent}},
    }
    assert notes(found) == {"spec.predictors[1]": Kind.LEFT_OUT}
    loaded(found)


@pytest.mark.parametrize(
    ("server", "runtime", "differs"),
    [("XGBOOST_SERVER", "xgboost", {"spec.predictors[0].graph.modelUri"}), ("MLFLOW_SERVER", "mlflow", set())],
)
def test_models_of_other_servers_are_carried_over(server: str, runtime: str, differs: set[str]) -> None:
    graph = {"name": "c", "implementation": server, "modelUri": "file:///models/loans.bst"}
    found = one(deployment({"name": "main", "graph": graph}))
    assert loaded(found).spec.model.runtime == runtime
    assert notes(found) == dict.fromkeys(differs, Kind.DIFFERENT)


def test_a_shadow_beside_a_split_is_left_out() -> None:
    arms = [predictor("a", traffic=50), predictor("b", 2, traffic=50), predictor("c", 3, shadow=True)]
    found = one(deployment(*arms))
    assert set(spec(found)["strategy"]) == {"abTest"}
    assert notes(found) == {"spec.predictors[2]": Kind.LEFT_OUT, "spec.predictors": Kind.DIFFERENT}


def test_the_one_with_most_of_the_traffic_is_the_control_whatever_its_place() -> None:
    found = one(deployment(predictor("canary", 2, traffic=5), predictor("main", traffic=95)))
    assert spec(found)["model"]["uri"] == "file:///models/loans-1.joblib"
    assert spec(found)["strategy"]["abTest"]["shares"] == {"control": 95, "canary": 5}
    loaded(found)


def test_predictors_of_the_same_model_are_one_and_those_without_traffic_none() -> None:
    found = one(deployment(predictor("a", traffic=60), predictor("b", traffic=40), predictor("c", 2, traffic=0)))
    assert spec(found) == {"model": {"uri": "file:///models/loans-1.joblib", "runtime": "sklearn"}}
    assert notes(found) == dict.fromkeys(("spec.predictors[1]", "spec.predictors[2]"), Kind.LEFT_OUT)
    loaded(found)


def test_names_that_variants_cannot_have_are_replaced() -> None:
    names = ["main", "control", "x" * 60, "x" * 61, "!"]
    arms = [predictor(name, number, traffic=20) for number, name in enumerate(names)]
    found = one(deployment(*arms))
    assert list(spec(found)["strategy"]["abTest"]["shares"]) == [
        "control", "control-1", "x" * 40, f"{'x' * 37}-3", "variant-4",
    ]  # fmt: skip
    loaded(found)


@pytest.mark.parametrize("deploy", [None, 5])
@pytest.mark.parametrize("own", [None, 4])
@pytest.mark.parametrize("component", [None, 3])
def test_the_closest_number_of_replicas_counts(deploy: int | None, own: int | None, component: int | None) -> None:
    one_predictor = predictor("main", replicas=own, componentSpecs=[{"replicas": component}])
    found = one(deployment(one_predictor, replicas=deploy))
    assert spec(found).get("serving", {}).get("replicas") == (component or own or deploy)
    assert found.notes == ()


def test_an_autoscaler_takes_the_place_of_a_number() -> None:
    scaler = {"minReplicas": 2, "maxReplicas": 5, "metrics": [{"type": "Resource"}]}
    found = one(deployment(predictor("main", replicas=3, componentSpecs=[{"hpaSpec": scaler}])))
    assert spec(found)["serving"] == {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}
    hpa = "spec.predictors[0].componentSpecs[0].hpaSpec"
    assert notes(found) == {hpa: Kind.DIFFERENT, f"{hpa}.metrics": Kind.LEFT_OUT}
    loaded(found)


@pytest.mark.parametrize("most", [None, 1, "many"])
def test_an_autoscaler_without_a_maximum_that_makes_sense_is_left_out(most: object) -> None:
    scaler = {"minReplicas": 2, "maxReplicas": most}
    found = one(deployment(predictor("main", replicas=3, componentSpecs=[{"hpaSpec": scaler}])))
    assert spec(found)["serving"] == {"replicas": 3}
    assert set(notes(found)) == {"spec.predictors[0].componentSpecs[0].hpaSpec.maxReplicas"}


def test_what_the_server_answers_by_itself_is_told_about() -> None:
    fields = {"graph": {**predictor("main")["graph"], "parameters": None}}
    found = one(deployment({**predictor("main"), **fields}, protocol=None))
    assert notes(found) == {"spec.predictors[0].graph.parameters": Kind.DIFFERENT, "spec.protocol": Kind.DIFFERENT}


@pytest.mark.parametrize("timeout", ["0", "soon", "-5", "9" * 40, "²"])
def test_a_timeout_that_is_none_is_left_out(timeout: str) -> None:
    found = one(deployment(predictor("main"), annotations={"seldon.io/rest-timeout": timeout}))
    assert "traffic" not in spec(found)
    assert notes(found) == {"spec.annotations.seldon.io/rest-timeout": Kind.LEFT_OUT}


@pytest.mark.parametrize(
    ("graph", "field"),
    [
        ({"type": "ROUTER"}, ""),
        ({"children": [{"name": "next"}]}, ""),
        ({"implementation": None}, ".implementation"),
        ({"implementation": "OWN_SERVER"}, ".implementation"),
        ({"modelUri": ""}, ".modelUri"),
    ],
)
def test_a_graph_that_is_no_single_model_is_not_converted(graph: dict[str, Any], field: str) -> None:
    found = one(deployment({"name": "main", "graph": {**predictor("main")["graph"], **graph}}))
    assert found.rollout is None
    assert notes(found) == {f"spec.predictors[0].graph{field}": Kind.NOT_CONVERTED}


@pytest.mark.parametrize(
    "predictors",
    [
        [],
        [predictor("a", shadow=True)],
        [predictor("a", traffic=50), predictor("b", 2, traffic=30)],
        [predictor(str(number), number, traffic=8 + (number < 4)) for number in range(12)],
    ],
)
def test_predictors_that_make_no_rollout_are_not_converted(predictors: list[Any]) -> None:
    found = one(deployment(*predictors))
    assert found.rollout is None
    assert notes(found)["spec.predictors"] is Kind.NOT_CONVERTED
