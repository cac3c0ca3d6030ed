"""Seldon Core's `SeldonDeployment`, `machinelearning.seldon.io/v1`.

https://docs.seldon.ai/seldon-core-1/reference/seldon-deployment-crd
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from operators.api.fields import format_duration
from operators.api.strategyrules import RESERVED
from operators.convert.fields import Fields, Why
from operators.convert.parts import MOST_REPLICAS, POD, annotations, as_label, container, metadata, model_of, replicas
from operators.convert.report import Kind, NotConvertible

GROUPS: Final = ("machinelearning.seldon.io",)
VERSION: Final = "v1"
KIND: Final = "SeldonDeployment"

SERVERS: Final = {
    "SKLEARN_SERVER": "sklearn",
    "XGBOOST_SERVER": "xgboost",
    "MLFLOW_SERVER": "mlflow",
    "TENSORFLOW_SERVER": "tensorflow",
    "TRITON_SERVER": "triton",
    "HUGGINGFACE_SERVER": "huggingface",
}
"""What Seldon's prepackaged servers load."""
LONGEST_VARIANT: Final = 40
MOST_VARIANTS: Final = 9
_SELDON: Final = "seldon"
_REST_TIMEOUT: Final = "seldon.io/rest-timeout"
"""Milliseconds."""
_AUTOSCALER: Final = (
    "is about autoscaling by something else than requests in flight",
    "write spec.serving.autoscaling",
)
_ORCHESTRATOR: Final = ("is about Seldon's orchestrator, which Tidegate has none of", "")
_CREDENTIALS: Final = ("lets Seldon fetch the model", "put the file where replicas see it")
GRAPH: Final[Why] = {
    "envSecretRefName": _CREDENTIALS,
    "serviceAccountName": _CREDENTIALS,
    "storageInitializerImage": _CREDENTIALS,
    "endpoint": ("is about ports of the container", "docs/api.md says where models answer"),
    "logger": ("sends payloads to an address", "the monitor keeps records: docs/records.md"),
    "methods": ("is about parts of a graph", ""),
}
PREDICTOR: Final[Why] = {
    "engineResources": _ORCHESTRATOR,
    "svcOrchSpec": _ORCHESTRATOR,
    "explainer": ("answers explain requests", "keep it where it is"),
    "labels": ("are put on pods", "label Ray's pods"),
    "ssl": ("is TLS between Seldon's parts", "see docs/security.md"),
}
_HPA: Final[Why] = dict.fromkeys(("metrics", "metricsv2", "behavior"), _AUTOSCALER)
COMPONENT: Final[Why] = {
    "kedaSpec": _AUTOSCALER,
    "pdbSpec": ("is about evictions of pods", "write a PodDisruptionBudget for Ray's pods"),
    "metadata": ("is put on pods", "label Ray's pods"),
}
SPEC: Final[Why] = {
    "name": ("is deprecated by Seldon itself", "metadata.name is the model's name"),
    "oauth_key": ("is Seldon's own way to sign in", "see docs/security.md"),
    "oauth_secret": ("is Seldon's own way to sign in", "see docs/security.md"),
    "serverType": ("asks for Kafka instead of HTTP", ""),
    "transport": ("is not for a rollout to choose", "docs/api.md says how models answer"),
}


@dataclass(frozen=True, slots=True)
class _Predictor:
    """One predictor. `traffic` is in percent."""

    fields: Fields
    name: str
    model: Mapping[str, Any]
    serving: Mapping[str, Any]
    traffic: int
    shadow: bool


def convert(manifest: Fields) -> dict[str, Any]:
    """The rollout's `metadata` and `spec`. Raises `NotConvertible`."""
    names = metadata(manifest)
    spec = manifest.block("spec")
    count = replicas(spec, "replicas")
    predictors = [_predictor(fields, count) for fields in spec.blocks("predictors")]
    arms = _arms(spec, [one for one in predictors if not one.shadow])
    timeout = _timeout(spec.block("annotations"))
    annotations(spec)
    if (spec.text("protocol") or _SELDON) == _SELDON:
        reason = "is Seldon's own protocol if nothing else is said; Tidegate does not speak it"
        spec.note("protocol", Kind.DIFFERENT, reason, "let clients speak v1 or v2: docs/api.md")
    spec.finish(SPEC)
    control = arms[0]
    return {
        "metadata": names.metadata,
        "spec": {
            "model": control.model,
            **({"serving": control.serving} if control.serving else {}),
            **_strategy(spec, arms, [one for one in predictors if one.shadow]),
            **({"traffic": {"timeout": timeout}} if timeout else {}),
        },
    }


def _predictor(fields: Fields, count: int | None) -> _Predictor:
    graph = fields.block("graph")
    name = fields.text("name") or graph.path
    model = _model(graph)
    unit = graph.text("name")
    graph.finish(GRAPH)
    own = replicas(fields, "replicas")
    serving: dict[str, Any] = {}
    for component in fields.blocks("componentSpecs"):
        found = replicas(component, "replicas")
        own = found if found is not None else own
        serving |= _component(component, unit)
    own = own if own is not None else count
    traffic, shadow = fields.whole("traffic", 0, 100), fields.flag("shadow")
    annotations(fields)
    fields.finish(PREDICTOR)
    if own is not None and "autoscaling" not in serving:
        serving = {"replicas": own, **serving}
    return _Predictor(fields, name, model, serving, traffic or 0, shadow)


def _model(graph: Fields) -> dict[str, Any]:
    kind, server, uri = graph.text("type"), graph.text("implementation"), graph.text("modelUri")
    if kind not in {None, "MODEL"} or graph.blocks("children"):
        what = f"is a {kind}" if kind not in {None, "MODEL"} else "has children"
        raise NotConvertible(graph.path, f"{what}: a rollout is one model, not a graph", "make one model of the graph")
    if server not in SERVERS:
        what = f"is {server}, which is no server of Seldon's that loads a model file" if server else "is missing"
        raise NotConvertible(
            graph.place("implementation"),
            f"{what}: what it runs is an image",
            "if it is a component class, write a ModelRollout with runtime: seldon (docs/runtimes.md)",
        )
    if uri is None:
        raise NotConvertible(graph.place("modelUri"), "is missing: it is not known where the model is", "write it")
    method = _method(graph)
    if server == "SKLEARN_SERVER" and method != "predict":
        graph.note(
            "parameters",
            Kind.DIFFERENT,
            f"Seldon's server answers {method}; Tidegate answers predict",
            f"clients that want {method} ask for that output",
        )
    return model_of(graph, "modelUri", uri, SERVERS[server])


def _method(graph: Fields) -> str:
    """What Seldon's scikit-learn server calls."""
    method = "predict_proba"
    for parameter in graph.blocks("parameters"):
        name, value = parameter.text("name"), parameter.text("value")
        parameter.skip("type")
        parameter.finish({})
        if name == "method" and value is not None:
            method = value
        else:
            parameter.note("", Kind.LEFT_OUT, "is a setting of Seldon's server", "")
    return method


def _component(component: Fields, unit: str | None) -> dict[str, Any]:
    """What the container of the model says. Others are noted."""
    found = _autoscaling(component)
    pod = component.block("spec")
    for one in pod.blocks("containers"):
        name = one.text("name")
        if name == unit:
            found |= container(one)
        else:
            one.note("", Kind.LEFT_OUT, f"is not the model's container, which is called {unit}", "run it elsewhere")
    pod.finish(POD)
    component.finish(COMPONENT)
    return found


def _autoscaling(component: Fields) -> dict[str, Any]:
    """The bounds of a HorizontalPodAutoscaler. What it measures is another thing than here."""
    if "hpaSpec" not in component:
        return {}
    scaler = component.block("hpaSpec")
    least = replicas(scaler, "minReplicas") or 1
    if "maxReplicas" not in scaler:
        scaler.note("maxReplicas", Kind.LEFT_OUT, "is missing: there is nothing to scale to", "write it")
    most = scaler.whole("maxReplicas", least, MOST_REPLICAS)
    scaler.finish(_HPA)
    if most is None:
        return {}
    component.note(
        "hpaSpec",
        Kind.DIFFERENT,
        "scales by what pods use, from replicas on; here the number follows requests in flight, from minReplicas on",
        "set spec.serving.autoscaling.targetOngoingRequests",
    )
    return {"autoscaling": {"minReplicas": least, "maxReplicas": most}}


def _timeout(fields: Fields) -> str | None:
    """Seldon's timeout of one part of the graph; here there is one part. Other annotations are noted."""
    text = fields.text(_REST_TIMEOUT)
    for name in fields.names:
        fields.skip(name)
        fields.note(name, Kind.LEFT_OUT, "steers Seldon's controller", "")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text[:12]) < 2**31:
        return format_duration(int(text) / 1000)
    fields.note(_REST_TIMEOUT, Kind.LEFT_OUT, "is no number of milliseconds", "write spec.traffic.timeout")
    return None


def _arms(spec: Fields, live: Sequence[_Predictor]) -> Sequence[_Predictor]:
    """Predictors that answer users, the one with most of the traffic first; those of the same model are one."""
    if not live:
        raise NotConvertible(spec.place("predictors"), "names no predictor that answers users", "add one")
    if len(live) == 1:
        return live
    if (total := sum(one.traffic for one in live)) != 100:
        raise NotConvertible(
            spec.place("predictors"), f"have {total} % of the traffic in all, where Seldon needs 100", "correct it"
        )
    arms: list[_Predictor] = []
    for one in sorted(live, key=lambda each: -each.traffic):
        twin = next((index for index, arm in enumerate(arms) if arm.model == one.model), None)
        if one.traffic == 0:
            one.fields.note("", Kind.LEFT_OUT, "has no traffic", "apply its model when it should have some")
        elif twin is not None:
            arms[twin] = replace(arms[twin], traffic=arms[twin].traffic + one.traffic)
            one.fields.note("", Kind.LEFT_OUT, f"has the same model as {arms[twin].name}", "that one has its traffic")
        elif len(arms) > MOST_VARIANTS:
            raise NotConvertible(spec.place("predictors"), "split traffic between more than 10 models", "drop some")
        else:
            arms.append(one)
    return arms


def _strategy(spec: Fields, arms: Sequence[_Predictor], shadows: Sequence[_Predictor]) -> dict[str, Any]:
    """`strategy` and `variants`: a split is a test that goes on until a person ends it, a shadow comes afterwards."""
    control, *others = arms
    for one in shadows:
        one.fields.note(
            "",
            Kind.LEFT_OUT,
            "is a version that gets copies of requests only",
            "it cannot run beside a split"
            if others
            else "once this rollout is healthy, write its model into spec.model and apply again",
        )
    if not others:
        percent = shadows[0].traffic or 100 if shadows else None
        return {"strategy": {"shadow": {"percent": percent}}} if shadows else {}
    spec.note(
        "predictors",
        Kind.DIFFERENT,
        "become an A/B test with these shares, which compares success rates and waits for a person",
        "set spec.strategy.abTest.goal to what matters",
    )
    names = _variant_names(others)
    for one in others:
        if one.serving != control.serving:
            one.fields.note(
                "",
                Kind.LEFT_OUT,
                f"runs with other replicas, resources or variables than {control.name}",
                "all versions share spec.serving",
            )
    shares = {"control": control.traffic, **{name: one.traffic for name, one in zip(names, others, strict=True)}}
    return {
        "strategy": {"abTest": {"shares": shares, "goal": {"metric": "success-rate"}}},
        "variants": [{"name": name, "model": one.model} for name, one in zip(names, others, strict=True)],
    }


def _variant_names(others: Sequence[_Predictor]) -> list[str]:
    """Names that variants may have, each once."""
    names: list[str] = []
    for number, one in enumerate(others, 1):
        name = as_label(one.name)[:LONGEST_VARIANT].strip("-")
        if not name or name in {*RESERVED, *names}:
            name = f"{name[: LONGEST_VARIANT - 3]}-{number}".strip("-") if name else f"variant-{number}"
        if name != one.name:
            one.fields.note("name", Kind.DIFFERENT, f"becomes {name} in the experiment", "")
        names.append(name)
    return names
