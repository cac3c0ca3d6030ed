"""Argo's canary steps become a rollout's."""

from typing import Any

import pytest
from convert_kit import converted, loaded, notes, one, spec

from operators.convert import Kind

FULL = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: scorer, namespace: shop}
spec:
  replicas: 8
  paused: true
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 300
  progressDeadlineAbort: true
  minReadySeconds: 10
  rollbackWindow: {revisions: 4}
  analysis: {successfulRunHistoryLimit: 2}
  selector: {matchLabels: {app: scorer}}
  template:
    metadata: {labels: {app: scorer}}
    spec:
      serviceAccountName: scorer
      containers:
        - name: scorer
          image: registry.example.test/scorer:2
          env: [{name: LEVEL, value: info}]
          resources: {requests: {cpu: 500m, memory: 512Mi}}
          ports: [{containerPort: 8080}]
        - {name: proxy, image: registry.example.test/proxy}
  strategy:
    canary:
      canaryService: scorer-canary
      maxSurge: 25%
      scaleDownDelaySeconds: 90
      trafficRouting:
        nginx: {stableIngress: scorer}
        managedRoutes: [{name: mirror}]
      analysis: {templates: [{templateName: success-rate}]}
      steps:
        - setCanaryScale: {replicas: 1}
        - setMirrorRoute: {name: mirror, percentage: 35, match: [{path: {prefix: /}}]}
        - pause: {duration: 10m}
        - setMirrorRoute: {name: mirror}
        - setCanaryScale: {weight: 30}
        - setWeight: 5
        - analysis: {templates: [{templateName: success-rate}]}
        - setHeaderRoute: {name: h, match: [{headerName: version, headerValue: {exact: "2"}}]}
        - setWeight: 50
        - setCanaryScale: {matchTrafficWeight: true}
        - experiment: {duration: 1h, templates: [{name: baseline, specRef: stable}]}
        - plugin: {name: example}
        - setWeight: 20
        - pause: {}
        - setWeight: 100
"""
STEPS = [
    {"setReplicas": 1},
    {"setShadow": 35},
    {"pause": {"duration": "10m"}},
    {"setShadow": 0},
    {"setReplicas": 3},
    {"setWeight": 5},
    {"pause": {}},
    {"setWeight": 50},
    {"pause": {}},
    {"pause": {}},
    {"setWeight": 100},
]
CANARY = "spec.strategy.canary"
GUESS = {"spec.template": Kind.LEFT_OUT}
"""What is told about every Rollout: that it names no model."""


def rollout(*steps: Any, **fields: Any) -> dict[str, Any]:
    canary = {"steps": list(steps), **fields.pop("canary", {})}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "scorer"},
        "spec": {"replicas": 4, "strategy": {"canary": canary}, **fields},
    }


def steps(*given: Any, **fields: Any) -> tuple[list[Any], dict[str, Kind]]:
    """Our steps, and what is told about theirs."""
    found = one(rollout(*given, **fields))
    loaded(found)
    ours = {field: kind for field, kind in notes(found).items() if field not in GUESS}
    return spec(found)["strategy"]["canary"]["steps"], ours


def test_a_whole_rollout_becomes_a_valid_one() -> None:
    (found,) = converted(FULL)
    assert spec(found) == {
        "model": {"uri": "file:///models/scorer.joblib", "runtime": "sklearn"},
        "serving": {"replicas": 8, "resources": {"cpu": "500m", "memory": "512Mi"}, "env": {"LEVEL": "info"}},
        "strategy": {"canary": {"steps": STEPS}},
        "progressDeadlineSeconds": 300,
        "scaleDownDelaySeconds": 90,
        "rollbackWindow": 4,
        "revisionHistoryLimit": 3,
        "paused": True,
    }
    assert loaded(found).key.namespace == "shop"


def test_every_field_that_is_not_carried_over_is_told_about() -> None:
    (found,) = converted(FULL)
    template = "spec.template.spec"
    left_out = [
        "spec.template",
        *(f"spec.{name}" for name in ("minReadySeconds", "analysis", "selector")),
        *(f"{template}.{name}" for name in ("serviceAccountName", "containers[0].ports", "containers[1]")),
        *(f"{CANARY}.{name}" for name in ("canaryService", "maxSurge", "analysis")),
        *(f"{CANARY}.trafficRouting.{name}" for name in ("nginx", "managedRoutes")),
        f"{CANARY}.steps[6].analysis",
        f"{CANARY}.steps[7].setHeaderRoute",
        f"{CANARY}.steps[9].setCanaryScale.matchTrafficWeight",
        f"{CANARY}.steps[10].experiment",
        f"{CANARY}.steps[11].plugin",
        f"{CANARY}.steps[12].setWeight",
    ]
    assert notes(found) == dict.fromkeys(left_out, Kind.LEFT_OUT)


@pytest.mark.parametrize(
    ("duration", "ours"),
    [
        (30, "30s"),
        ("90", "1m30s"),
        ("1h30m", "1h30m"),
        ("1.5h", "1h30m"),
        ("500ms", "0s"),
        (0, "0s"),
        ("36h", "1d12h"),
    ],
)
def test_pauses_last_as_long_as_argos(duration: Any, ours: str) -> None:
    assert steps({"pause": {"duration": duration}}) == ([{"pause": {"duration": ours}}], {})


@pytest.mark.parametrize("duration", ["1d", "soon", -1, 1.5, True, "1h 5m", 2**31, [1], "\u0663s"])
def test_a_pause_of_no_length_waits_for_a_person(duration: Any) -> None:
    found, told = steps({"pause": {"duration": duration}})
    assert found == [{"pause": {}}]
    assert told == {f"{CANARY}.steps[0].pause.duration": Kind.LEFT_OUT}


def test_a_weight_is_a_share_of_what_argo_calls_the_whole() -> None:
    canary = {"trafficRouting": {"maxTrafficWeight": 1000}}
    assert steps({"setWeight": 1}, {"setWeight": 125}, canary=canary) == ([{"setWeight": 0.1}, {"setWeight": 12.5}], {})
    assert steps({"setWeight": 1}, canary={"trafficRouting": {"maxTrafficWeight": 3}})[0] == [{"setWeight": 33.33}]


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"setWeight": 101}, ".setWeight"),
        ({"setWeight": "20"}, ".setWeight"),
        ({"setCanaryScale": {"replicas": 5}}, ".setCanaryScale.replicas"),
        ({"setCanaryScale": {"replicas": 0}}, ".setCanaryScale.replicas"),
        ({"setMirrorRoute": {"percentage": 5, "match": [{"path": {"exact": "/x"}}]}}, ".setMirrorRoute.match"),
        ({"replicaProgressThreshold": {"value": 90}}, ".replicaProgressThreshold"),
        ({"setWeight": 5, "pause": {}}, ""),
        ({}, ""),
        ([{"setWeight": 5}], ""),
        ("setWeight", ""),
    ],
)
def test_a_step_that_cannot_be_said_is_left_out(step: Any, field: str) -> None:
    assert steps(step) == ([], {f"{CANARY}.steps[0]{field}": Kind.LEFT_OUT})


def test_a_mirror_of_everything_has_a_percentage_of_100_unless_it_says_another() -> None:
    everything = {"match": [{"path": {"prefix": "/"}}]}
    mirrors = [{"setMirrorRoute": {"name": "m", **fields}} for fields in ({}, everything, everything, {})]
    assert steps(*mirrors) == ([{"setShadow": 100}, {"setShadow": 0}], {})


def test_a_canary_without_steps_is_one_here_too() -> None:
    assert steps() == ([], {})


@pytest.mark.parametrize("strategy", [{}, {"blueGreen": {"activeService": "scorer"}}, None])
def test_a_rollout_without_a_canary_is_not_converted(strategy: Any) -> None:
    manifest = rollout()
    manifest["spec"]["strategy"] = strategy
    found = one(manifest)
    assert found.rollout is None
    assert notes(found) == {"spec.strategy": Kind.NOT_CONVERTED}
