"""KServe's `InferenceService`, `serving.kserve.io/v1beta1`.

https://kserve.github.io/website/docs/reference/crd-api
"""

from typing import Any, Final

from operators.convert.fields import Fields, Why
from operators.convert.parts import (
    CONTAINER,
    MOST_REPLICAS,
    POD,
    annotations,
    container,
    metadata,
    model_of,
    replicas,
)
from operators.convert.report import Kind, NotConvertible

GROUPS: Final = ("serving.kserve.io", "serving.kubeflow.org")
"""The second one is what the project was called before."""
VERSION: Final = "v1beta1"
KIND: Final = "InferenceService"

FRAMEWORKS: Final = (
    "sklearn", "xgboost", "lightgbm", "onnx", "tensorflow", "pytorch", "triton", "huggingface", "pmml", "paddle",
)  # fmt: skip
"""Predictors that name their format instead of `model.modelFormat`."""
_HTTP: Final = ("v1", "v2")
_AUTOSCALER: Final = (
    "is about autoscaling by something else than requests in flight, or without a maxReplicas above minReplicas",
    "write spec.serving.autoscaling",
)
_CONCURRENCY: Final = "concurrency"
"""KServe's default metric: requests in flight."""
MODEL: Final[Why] = {
    **CONTAINER,
    "runtime": ("names a ServingRuntime of KServe's", "spec.model.runtime says what loads the model"),
    "runtimeVersion": ("is a version of KServe's server image", "pin packages in spec.serving.pip"),
    "storage": ("names a Secret with credentials and a path", "write spec.model.uri"),
}
PREDICTOR: Final[Why] = {
    **POD,
    "containers": ("run beside the model", "make what they do a part of the model's pipeline"),
    "scaleMetric": _AUTOSCALER,
    "scaleTarget": _AUTOSCALER,
    "autoScaling": _AUTOSCALER,
    "containerConcurrency": ("bounds requests in a container", "set spec.serving.batching.maxQueue"),
    "logger": ("sends payloads to an address", "the monitor keeps records: docs/records.md"),
    "labels": ("are put on pods", "label Ray's pods"),
    "deploymentStrategy": ("replaces pods of a Deployment", "spec.strategy says how versions take over"),
    "workerSpec": ("spreads one model over several nodes", "keep this model where it is"),
}
SPEC: Final[Why] = {
    "transformer": ("runs before and after the model", "make it a part of the model's pipeline"),
    "explainer": ("answers explain requests", "keep it where it is"),
}


def convert(manifest: Fields) -> dict[str, Any]:
    """The rollout's `metadata` and `spec`. Raises `NotConvertible`."""
    names = metadata(manifest)
    spec = manifest.block("spec")
    predictor = spec.block("predictor")
    model, serving = _model(predictor)
    strategy = _strategy(predictor)
    timeout = predictor.whole("timeout", 1, 2**31)
    serving = {**_replicas(predictor), **serving, **_batching(predictor.block("batcher"))}
    annotations(predictor)
    predictor.finish(PREDICTOR)
    spec.finish(SPEC)
    return {
        "metadata": names.metadata,
        "spec": {
            "model": model,
            **({"serving": serving} if serving else {}),
            **({"strategy": strategy} if strategy else {}),
            **({"traffic": {"timeout": f"{timeout}s"}} if timeout is not None else {}),
        },
    }


def _model(predictor: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """The blocks `model` and `serving`, as far as the model says it."""
    given = [name for name in ("model", *FRAMEWORKS) if name in predictor]
    if len(given) != 1:
        reason = f"names {' and '.join(given) or 'no model'}, where exactly one is expected"
        custom = "containers" in predictor
        raise NotConvertible(
            predictor.path,
            "runs a container of your own and names no model" if custom and not given else reason,
            "if its code is a kserve.Model, write a ModelRollout with runtime: kserve (docs/runtimes.md)"
            if custom
            else "correct it and convert again",
        )
    fields = predictor.block(given[0])
    runtime: str | None = given[0]
    if given == ["model"]:
        form = fields.block("modelFormat")
        runtime = form.text("name")
        form.finish({"version": ("is a version of the framework", "pin packages in spec.serving.pip")})
    uri_field, uri = _uri(predictor, fields)
    if runtime is None:
        raise NotConvertible(f"{fields.path}.modelFormat.name", "is missing", "name the format, such as sklearn")
    protocol = fields.text("protocolVersion")
    if protocol is not None and protocol not in _HTTP:
        fields.note(
            "protocolVersion",
            Kind.LEFT_OUT,
            f"asks for {protocol}: which protocols a model answers is not for a rollout to choose",
            "docs/api.md names them",
        )
    model = model_of(uri_field, "storageUri" if uri_field is fields else "uri", uri, runtime.lower())
    uri_field.skip("mountPath")
    return model, container(fields, MODEL)


def _uri(predictor: Fields, fields: Fields) -> tuple[Fields, str]:
    """Where the model is, and the block that says it."""
    uri = fields.text("storageUri")
    if uri is not None:
        return fields, uri
    several = predictor.blocks("storageUris")
    if len(several) == 1 and (only := several[0].text("uri")) is not None:
        return several[0], only
    if several:
        raise NotConvertible(predictor.place("storageUris"), "puts a model together from several places", "join them")
    raise NotConvertible(fields.place("storageUri"), "is missing: it is not known where the model is", "write it")


def _replicas(predictor: Fields) -> dict[str, Any]:
    least, most = replicas(predictor, "minReplicas"), predictor.whole("maxReplicas", 0, MOST_REPLICAS)
    if most and most < (least or 1):
        predictor.note("maxReplicas", Kind.LEFT_OUT, "is less than minReplicas", "correct it and convert again")
    if not most or most <= (least or 1):
        return {"replicas": least} if least is not None else {}
    scaling = {"minReplicas": least or 1, "maxReplicas": most}
    if (predictor.text("scaleMetric") or _CONCURRENCY) == _CONCURRENCY:
        target = predictor.whole("scaleTarget", 1, 65536)
        return {"autoscaling": scaling | ({"targetOngoingRequests": target} if target is not None else {})}
    predictor.note(
        "scaleMetric",
        Kind.DIFFERENT,
        "is another measure than requests in flight, which the number of replicas follows here",
        "set spec.serving.autoscaling.targetOngoingRequests",
    )
    return {"autoscaling": scaling}


def _batching(batcher: Fields) -> dict[str, Any]:
    size = batcher.whole("maxBatchSize", 1, 65536)
    batcher.finish(dict.fromkeys(("maxLatency", "timeout"), ("waits for more requests, which Tidegate never does", "")))
    return {"batching": {"maxSize": size}} if size is not None else {}


def _strategy(predictor: Fields) -> dict[str, Any]:
    """A canary that stops where the split is. KServe's own has no steps: somebody edits the percentage."""
    percent = predictor.whole("canaryTrafficPercent", 0, 100)
    if percent is None or percent == 100:
        return {}
    predictor.note(
        "canaryTrafficPercent",
        Kind.DIFFERENT,
        f"is about the revision before, which is not in the manifest and keeps {100 - percent} %",
        "apply that one first, then this; `promote` goes on from the pause",
    )
    return {"canary": {"steps": [{"setWeight": percent}, {"pause": {}}]}}
