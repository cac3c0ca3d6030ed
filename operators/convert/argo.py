"""Argo Rollouts' `Rollout` with a canary, `argoproj.io/v1alpha1`: its steps, since it knows of no model.

https://argo-rollouts.readthedocs.io/en/stable/features/specification/
"""

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from operators.api.fields import format_duration
from operators.convert.fields import Fields, Why
from operators.convert.parts import MOST_REPLICAS, POD, container, metadata, replicas
from operators.convert.report import Kind, NotConvertible

GROUPS: Final = ("argoproj.io",)
VERSION: Final = "v1alpha1"
KIND: Final = "Rollout"

LONGEST_PAUSE: Final = 2**31 - 1
"""Seconds, as Argo has it."""
_GO_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_GO_DURATION: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:h|ms|m|s|us|µs|ns))+"
_ROUTER: Final = ("is about a router of Argo's choice", "Tidegate's own routes: see docs/traffic.md")
_PODS: Final = ("is about pods of a ReplicaSet", "Ray runs replicas")
STEP: Final[Why] = {
    "setHeaderRoute": ("would hold from the first step on", "write spec.traffic.match if it may hold from there"),
    "plugin": ("runs a plugin of Argo's", ""),
    "replicaProgressThreshold": _PODS,
}
_GATES: Final = {
    "analysis": "waits for AnalysisTemplates, which are manifests of their own",
    "experiment": "runs pods beside the rollout and waits for what comes of it",
}
"""Steps that let nobody pass whom they were not convinced by. A person takes their place."""
_GATE_INSTEAD: Final = "here it is a pause; write what they measure as spec.analysis.checks and make it `analysis: {}`"
CANARY: Final[Why] = {
    "analysis": ("names AnalysisTemplates, which are manifests of their own", "write spec.analysis.checks"),
    **dict.fromkeys(("canaryService", "stableService", "pingPong"), _ROUTER),
    **dict.fromkeys(
        (
            "abortScaleDownDelaySeconds", "antiAffinity", "canaryMetadata", "dynamicStableScale", "maxSurge",
            "maxUnavailable", "minPodsPerReplicaSet", "scaleDownDelayRevisionLimit", "stableMetadata",
        ),
        _PODS,
    ),
}  # fmt: skip
SPEC: Final[Why] = {
    "analysis": ("is about how many AnalysisRuns are kept", ""),
    "minReadySeconds": ("counts after a pod is ready", "a replica is ready once its model is loaded"),
    "restartAt": ("is a command", ""),
    "selector": ("is about labels of pods", ""),
    "workloadRef": ("names a Deployment with the pods", "write spec.model"),
}


def convert(manifest: Fields) -> dict[str, Any]:
    """The rollout's `metadata` and `spec`. Raises `NotConvertible`."""
    names = metadata(manifest)
    spec = manifest.block("spec")
    strategy = spec.block("strategy")
    if "canary" not in strategy:
        raise NotConvertible(
            strategy.path, "is no canary: only its steps are read", "write spec.strategy: docs/api.md names the others"
        )
    count = replicas(spec, "replicas")
    canary = strategy.block("canary")
    steps = list(_Steps(canary, count or 1).converted())
    delay = canary.whole("scaleDownDelaySeconds", 0, LONGEST_PAUSE)
    canary.finish(CANARY)
    strategy.finish({})
    serving = {**({"replicas": count} if count is not None else {}), **_container(spec.block("template"))}
    window = spec.block("rollbackWindow")
    numbers = {
        "progressDeadlineSeconds": spec.whole("progressDeadlineSeconds", 1, LONGEST_PAUSE),
        "scaleDownDelaySeconds": delay,
        "rollbackWindow": window.whole("revisions", 0, LONGEST_PAUSE),
        "revisionHistoryLimit": spec.whole("revisionHistoryLimit", 0, 50),
    }
    window.finish({})
    paused = spec.flag("paused")
    spec.flag("progressDeadlineAbort")  # what Tidegate always does
    spec.finish(SPEC)
    manifest.note(
        "spec.template",
        Kind.LEFT_OUT,
        "runs an image and names no model: spec.model of the rollout is a guess",
        "write the model's own uri and runtime",
    )
    return {
        "metadata": names.metadata,
        "spec": {
            "model": {"uri": f"file:///models/{names.name}.joblib", "runtime": "sklearn"},
            **({"serving": serving} if serving else {}),
            "strategy": {"canary": {"steps": steps}},
            **{name: value for name, value in numbers.items() if value is not None},
            **({"paused": True} if paused else {}),
        },
    }


def _container(template: Fields) -> dict[str, Any]:
    """What the first container says. Its image is told about with the template."""
    pod = template.block("spec")
    containers = pod.blocks("containers")
    found: dict[str, Any] = {}
    if containers:
        containers[0].skip("image")
        found = container(containers[0])
    for one in containers[1:]:
        one.note("", Kind.LEFT_OUT, "is a further container", "run it elsewhere")
    template.skip("metadata")
    pod.finish(POD)
    template.finish({})
    return found


class _Steps:
    """Turns steps into ours, one after the other, since what one may say depends on those before it."""

    def __init__(self, canary: Fields, count: int) -> None:
        self._canary, self._count = canary, count
        routing = canary.block("trafficRouting")
        self._whole = routing.whole("maxTrafficWeight", 1, 2**31) or 100
        for name in routing.names:
            routing.skip(name)
            routing.note(name, Kind.LEFT_OUT, *_ROUTER)
        self._weight = 0.0
        self._shadow = 0

    def converted(self) -> Iterator[dict[str, Any]]:
        """Our steps. What cannot be said is noted."""
        for step in self._canary.blocks("steps"):
            if len(step.names) == 1:
                yield from self._step(step, step.names[0])
            else:
                found = f"is {' and '.join(step.names)} at once" if step.names else "is empty"
                step.note("", Kind.LEFT_OUT, found, "make a step of each thing to do")

    def _step(self, step: Fields, name: str) -> Iterator[dict[str, Any]]:
        if name == "setWeight":
            yield from self._set_weight(step)
        elif name == "pause":
            yield from self._pause(step)
        elif name == "setCanaryScale":
            yield from self._scale(step.block("setCanaryScale"))
        elif name == "setMirrorRoute":
            yield from self._mirror(step)
        elif name in _GATES:
            step.skip(name)
            step.note(name, Kind.LEFT_OUT, _GATES[name], _GATE_INSTEAD)
            yield {"pause": {}}
        else:
            step.finish(STEP)

    def _set_weight(self, step: Fields) -> Iterator[dict[str, Any]]:
        parts = step.whole("setWeight", 0, self._whole)
        if parts is None:
            return
        weight = round(parts * 100 / self._whole, 2)
        if weight < self._weight:
            step.note(
                "setWeight",
                Kind.LEFT_OUT,
                f"falls from {self._weight:g} to {weight:g} %: weights never fall along the steps",
                "a candidate that should get less is aborted",
            )
            return
        self._weight = weight
        yield {"setWeight": int(weight) if weight.is_integer() else weight}

    @staticmethod
    def _pause(step: Fields) -> Iterator[dict[str, Any]]:
        pause = step.block("pause")
        value = pause.raw("duration")
        pause.finish({})
        seconds = _seconds(value)
        if value is not None and seconds is None:
            pause.note(
                "duration", Kind.LEFT_OUT, "is no duration of Argo's", "here it is a pause that waits for promote"
            )
        yield {"pause": {"duration": format_duration(seconds)} if seconds is not None else {}}

    def _scale(self, scale: Fields) -> Iterator[dict[str, Any]]:
        count = scale.whole("replicas", 1, MOST_REPLICAS)
        weight = scale.whole("weight", 1, 100)
        if scale.flag("matchTrafficWeight"):
            scale.note(
                "matchTrafficWeight",
                Kind.LEFT_OUT,
                "follows the weight; a candidate has as many replicas as stable, or what setReplicas says",
                "write setReplicas steps",
            )
        scale.finish({})
        if count is None and weight is not None:
            count = math.ceil(self._count * weight / 100)
        if count is not None and count > self._count:
            scale.note(
                "replicas", Kind.LEFT_OUT, f"is {count}, more than spec.replicas, {self._count}", "raise spec.replicas"
            )
        elif count is not None:
            yield {"setReplicas": count}

    def _mirror(self, step: Fields) -> Iterator[dict[str, Any]]:
        """A mirror of all requests, or the end of one, which is a step without `match`."""
        mirror = step.block("setMirrorRoute")
        percent = mirror.whole("percentage", 0, 100)
        matches = mirror.raw("match")
        mirror.skip("name")
        mirror.finish({})
        if matches is None:
            percent = 0
        elif matches != [{"path": {"prefix": "/"}}]:
            mirror.note("match", Kind.LEFT_OUT, "mirrors some requests only", "write setShadow, a share of all of them")
            return
        percent = 100 if percent is None else percent
        if percent != self._shadow:
            self._shadow = percent
            yield {"setShadow": percent}


def _seconds(value: object) -> int | None:
    """Whole seconds of a pause: a number of seconds, as a number or text, or a duration as Go writes it, cut off."""
    if isinstance(value, int) and not isinstance(value, bool):
        seconds: float = value
    elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
        seconds = int(value)
    elif isinstance(value, str) and re.fullmatch(_GO_DURATION, value, re.ASCII):
        parts = re.findall(r"([0-9.]+)([a-zµ]+)", value)
        seconds = sum(float(count) * _GO_UNITS[unit] for count, unit in parts)
    else:
        return None
    return int(seconds) if 0 <= seconds <= LONGEST_PAUSE else None
