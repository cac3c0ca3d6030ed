"""KServe's InferenceService becomes a rollout."""

from typing import Any

import pytest
from convert_kit import converted, loaded, notes, one, spec

from operators.convert import Kind

FULL = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: fraud
  namespace: payments
  uid: 6d1f6f6e-1d2b-4f2e-9a67-0f6a7d1ad6f1
  resourceVersion: "48211"
  labels: {team: risk, tier: ""}
  annotations:
    serving.kserve.io/deploymentMode: Serverless
    kubectl.kubernetes.io/last-applied-configuration: "{}"
    tidegate.dev/promote: full
spec:
  predictor:
    canaryTrafficPercent: 10
    minReplicas: 3
    maxReplicas: 9
    scaleMetric: concurrency
    scaleTarget: 5
    containerConcurrency: 20
    timeout: 45
    serviceAccountName: models-reader
    nodeSelector: {pool: ml}
    tolerations: [{key: ml, operator: Exists}]
    logger: {mode: all, url: http://broker.payments}
    batcher: {maxBatchSize: 32, maxLatency: 50}
    model:
      name: ""
      modelFormat: {name: sklearn, version: "1"}
      runtime: kserve-sklearnserver
      protocolVersion: v2
      storageUri: file:///models/fraud.joblib
      args: [--enable_docs_url=true]
      resources:
        requests: {cpu: 0.5, memory: 2Gi, ephemeral-storage: 1Gi}
        limits: {cpu: 1, memory: 2Gi, nvidia.com/gpu: 1}
      env:
        - {name: OMP_NUM_THREADS, value: "1"}
        - {name: EMPTY}
        - {name: HOME_DIR, value: $(HOME)/x}
        - {name: TOKEN, valueFrom: {secretKeyRef: {name: fraud, key: token}}}
        - {name: 1BAD, value: x}
        - {name: NUMBER, value: 7}
      envFrom: [{secretRef: {name: fraud}}]
      volumeMounts: [{name: v, mountPath: /v}]
  transformer:
    containers: [{name: kserve-container, image: registry.example.test/transformer}]
  explainer: {art: {type: SquareAttack}}
status: {url: http://fraud.payments.example.test}
"""


def service(predictor: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", **metadata},
        "spec": {"predictor": predictor},
    }


def model(**fields: Any) -> dict[str, Any]:
    return {"modelFormat": {"name": "sklearn"}, "storageUri": "file:///models/iris.joblib", **fields}


def test_a_whole_service_becomes_a_valid_rollout() -> None:
    (found,) = converted(FULL)
    assert found.rollout == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "fraud", "namespace": "payments", "labels": {"team": "risk", "tier": ""}},
        "spec": {
            "model": {"uri": "file:///models/fraud.joblib", "runtime": "sklearn"},
            "serving": {
                "autoscaling": {"minReplicas": 3, "maxReplicas": 9, "targetOngoingRequests": 5},
                "resources": {"cpu": "0.5", "memory": "2Gi", "gpu": "1"},
                "env": {"OMP_NUM_THREADS": "1", "EMPTY": "", "HOME_DIR": "$(HOME)/x"},
                "batching": {"maxSize": 32},
            },
            "strategy": {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}},
            "traffic": {"timeout": "45s"},
        },
    }
    assert loaded(found).spec.traffic.timeout == 45


def test_every_field_that_is_not_carried_over_is_told_about() -> None:
    (found,) = converted(FULL)
    predictor, container = "spec.predictor", "spec.predictor.model"
    left_out = [
        "metadata.annotations.serving.kserve.io/deploymentMode",
        "metadata.annotations.tidegate.dev/promote",
        "spec.explainer",
        "spec.transformer",
        *(
            f"{predictor}.{name}"
            for name in ("containerConcurrency", "serviceAccountName", "nodeSelector", "tolerations", "logger")
        ),
        f"{predictor}.batcher.maxLatency",
        *(f"{container}.{name}" for name in ("runtime", "args", "envFrom", "volumeMounts", "modelFormat.version")),
        f"{container}.resources.limits.cpu",
        f"{container}.resources.requests.ephemeral-storage",
        f"{container}.env[3].valueFrom",
        f"{container}.env[4].name",
        f"{container}.env[5].value",
    ]
    differs = [f"{predictor}.canaryTrafficPercent", f"{container}.env[2].value"]
    assert notes(found) == dict.fromkeys(left_out, Kind.LEFT_OUT) | dict.fromkeys(differs, Kind.DIFFERENT)
    assert all(note.reason for note in found.notes)


def test_a_predictor_may_name_its_format_itself() -> None:
    found = one(service({"sklearn": {"storageUri": "/mnt/models/iris.joblib"}}))
    assert spec(found) == {"model": {"uri": "file:///mnt/models/iris.joblib", "runtime": "sklearn"}}
    assert found.notes == ()
    assert loaded(found).spec.serving.replicas == 1


@pytest.mark.parametrize(
    ("percent", "steps"),
    [(0, [{"setWeight": 0}, {"pause": {}}]), (99, [{"setWeight": 99}, {"pause": {}}]), (100, None), (None, None)],
)
def test_a_canary_percentage_is_a_weight_that_waits(percent: int | None, steps: Any) -> None:
    found = one(service({"model": model(), "canaryTrafficPercent": percent}))
    assert spec(found).get("strategy", {}).get("canary", {}).get("steps") == steps
    loaded(found)


def test_nothing_scales_to_zero() -> None:
    found = one(service({"model": model(), "minReplicas": 0, "maxReplicas": 1}))
    assert spec(found)["serving"] == {"replicas": 1}
    assert notes(found) == {"spec.predictor.minReplicas": Kind.LEFT_OUT}


def test_bounds_of_an_autoscaler_are_carried_over_without_a_minimum_too() -> None:
    found = one(service({"model": model(), "maxReplicas": 4}))
    assert spec(found)["serving"] == {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}
    assert found.notes == ()
    scaling = loaded(found).spec.serving.autoscaling
    assert scaling is not None
    assert scaling.target_ongoing_requests == 8


def test_a_target_of_another_measure_is_left_out() -> None:
    found = one(service({"model": model(), "maxReplicas": 4, "scaleMetric": "rps", "scaleTarget": 500}))
    assert spec(found)["serving"] == {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}
    predictor = "spec.predictor"
    assert notes(found) == {f"{predictor}.scaleMetric": Kind.DIFFERENT, f"{predictor}.scaleTarget": Kind.LEFT_OUT}


def test_a_maximum_below_the_minimum_is_left_out() -> None:
    found = one(service({"model": model(), "minReplicas": 4, "maxReplicas": 2, "scaleTarget": 5}))
    assert spec(found)["serving"] == {"replicas": 4}
    assert notes(found) == dict.fromkeys(("spec.predictor.maxReplicas", "spec.predictor.scaleTarget"), Kind.LEFT_OUT)


def test_limits_stand_in_for_requests_and_a_cpu_of_zero_for_nothing() -> None:
    found = one(service({"model": model(resources={"limits": {"memory": "1Gi", "cpu": 0}})}))
    assert spec(found)["serving"] == {"resources": {"memory": "1Gi"}}
    assert notes(found) == {"spec.predictor.model.resources.limits.cpu": Kind.LEFT_OUT}


@pytest.mark.parametrize("quantity", ["1e3", "-1", "a lot", True, [1], float("nan")])
def test_quantities_of_other_forms_are_left_out(quantity: Any) -> None:
    found = one(service({"model": model(resources={"requests": {"memory": quantity}})}))
    assert "serving" not in spec(found)
    assert notes(found) == {"spec.predictor.model.resources.requests.memory": Kind.LEFT_OUT}


@pytest.mark.parametrize(
    ("runtime", "uri", "refused"),
    [
        ("tensorflow", "file:///models/net.keras", {"spec.model.runtime"}),
        ("sklearn", "hdfs://models/iris.joblib", {"spec.model.uri"}),
        ("paddle", "hdfs://models/net.pdmodel", {"spec.model.runtime", "spec.model.uri"}),
    ],
)
def test_what_this_release_refuses_is_written_as_it_is_and_told_in_the_words_of_lint(
    runtime: str, uri: str, refused: set[str]
) -> None:
    found = one(service({"model": model(modelFormat={"name": runtime}, storageUri=uri)}))
    assert spec(found)["model"] == {"uri": uri, "runtime": runtime}
    assert notes(found) == dict.fromkeys(refused, Kind.UNSUPPORTED)
    with pytest.raises(Exception, match=r"spec\.model") as error:
        loaded(found)
    assert set(str(error.value).splitlines()) == {f"{note.field}: {note.reason}" for note in found.notes}


@pytest.mark.parametrize("uri", ["file:///models/iris", "file:///models/iris.v2/"])
def test_a_folder_is_told_about(uri: str) -> None:
    found = one(service({"model": model(storageUri=uri)}))
    assert notes(found) == {"spec.predictor.model.storageUri": Kind.DIFFERENT}


def test_a_folder_is_what_an_mlflow_model_is() -> None:
    found = one(service({"model": model(modelFormat={"name": "mlflow"}, storageUri="file:///models/iris")}))
    assert found.notes == ()
    assert loaded(found).spec.model.runtime == "mlflow"


@pytest.mark.parametrize(("runtime", "file"), [("xgboost", "model.bst"), ("lightgbm", "model.bst"), ("onnx", "m.onnx")])
def test_models_of_other_libraries_are_carried_over_and_what_they_answer_is_told_about(runtime: str, file: str) -> None:
    found = one(service({runtime: {"storageUri": f"/mnt/models/{file}"}}))
    assert loaded(found).spec.model.runtime == runtime
    place = f"spec.predictor.{runtime}.storageUri"
    assert notes(found) == ({} if runtime == "onnx" else {place: Kind.DIFFERENT})


def test_one_of_several_uris_is_one_uri() -> None:
    several = [{"uri": "file:///models/iris.joblib", "mountPath": "/mnt/models"}]
    found = one(service({"model": {"modelFormat": {"name": "SKLearn"}}, "storageUris": several}))
    assert spec(found)["model"] == {"uri": "file:///models/iris.joblib", "runtime": "sklearn"}


def test_a_protocol_that_a_model_does_not_answer_is_told_about() -> None:
    found = one(service({"model": model(protocolVersion="grpc-v2")}))
    assert notes(found) == {"spec.predictor.model.protocolVersion": Kind.LEFT_OUT}


@pytest.mark.parametrize(
    ("predictor", "field"),
    [
        ({}, "spec.predictor"),
        ({"containers": [{"image": "registry.example.test/own"}]}, "spec.predictor"),
        ({"sklearn": {"storageUri": "file:///a.b"}, "model": model()}, "spec.predictor"),
        ({"model": {"modelFormat": {"name": "sklearn"}}}, "spec.predictor.model.storageUri"),
        ({"model": {"modelFormat": {"name": "sklearn"}, "storage": {"key": "s"}}}, "spec.predictor.model.storageUri"),
        ({"model": {"storageUri": "file:///a.b"}}, "spec.predictor.model.modelFormat.name"),
        ({"sklearn": {"name": "x"}, "storageUris": [{"uri": "a"}] * 2}, "spec.predictor.storageUris"),
    ],
)  # fmt: skip
def test_a_service_without_a_model_file_is_not_converted(predictor: Any, field: str) -> None:
    found = one(service(predictor))
    assert found.rollout is None
    assert notes(found)[field] is Kind.NOT_CONVERTED


def test_another_version_of_the_api_is_not_converted() -> None:
    found = one({**service({"model": model()}), "apiVersion": "serving.kserve.io/v1alpha2"})
    assert found.rollout is None
    assert notes(found) == {"apiVersion": Kind.NOT_CONVERTED}
