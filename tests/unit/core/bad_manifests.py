"""A manifest, and everything that one field of it can get wrong."""

from copy import deepcopy
from typing import Any, Final

MANIFEST: dict[str, Any] = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "iris"},
    "spec": {
        "model": {"uri": "file:///models/iris.joblib", "runtime": "sklearn"},
        "serving": {"replicas": 2, "resources": {"cpu": 1, "memory": "512Mi"}},
        "strategy": {
            "canary": {
                "steps": [{"setShadow": 100}, {"setWeight": 5.25}, {"pause": {"duration": "1h30m"}}, {"pause": {}}]
            }
        },
        "analysis": {
            "interval": "250ms",
            "checks": [
                {"name": "errors", "metric": "error-rate", "versus": "stable", "margin": 0.005},
                {"name": "latency", "metric": "latency-p99", "max": "50ms"},
            ],
        },
        "traffic": {"hosts": ["a.example"], "sticky": {"header": "x-user-id"}, "limits": {"maxBodyBytes": "2Mi"}},
    },
}

STEPS, CHECKS = "spec.strategy.canary.steps", "spec.analysis.checks"
ERROR_RATE = {"name": "e", "metric": "error-rate"}
BAD: Final[list[tuple[str, object, str, str]]] = [
    ("kind", "Rollout", "kind", "must be ModelRollout, it is 'Rollout'"),
    ("apiVersion", "v1", "apiVersion", "must be tidegate.dev/v1alpha1"),
    ("sepc", {}, "sepc", "did you mean spec?"),
    ("metadata.name", "Iris_1", "metadata.name", "must match"),
    ("metadata.lables", {}, "metadata.lables", "did you mean labels?"),
    ("spec", None, "spec", "must be a mapping"),
    ("spec.modle", {}, "spec.modle", "did you mean model?"),
    ("spec.model", {"uri": "file:///x"}, "spec.model.runtime", "is required"),
    ("spec.model.runtime", "tensorflow", "spec.model.runtime", 'must be \'sklearn\', it is "tensorflow"'),
    ("spec.model.uri", "s3://bucket/key", "spec.model.uri", "must match ^file:///"),
    ("spec.model.sha256", "abc", "spec.model.sha256", "must match"),
    ("spec.model.inputs", [{"name": "a"}, {"name": "a"}], "spec.model.inputs", "names a 2 times"),
    ("spec.serving.replicas", 0, "spec.serving.replicas", "greater than or equal to 1"),
    ("spec.serving.replicas", "2", "spec.serving.replicas", "valid integer"),
    ("spec.serving.replicas", True, "spec.serving.replicas", "valid integer"),
    ("spec.serving.resources.memory", "1 GB", "spec.serving.resources.memory", "not a Kubernetes quantity"),
    ("spec.serving.resources.cpu", "-1", "spec.serving.resources.cpu", "not a Kubernetes quantity"),
    ("spec.serving.resources.cpu", 0, "spec.serving.resources.cpu", "needs a share of a CPU"),
    ("spec.serving.resources.cpu", 0.5, "spec.serving.resources.cpu", "write 500m or put 0.5 in quotes"),
    ("spec.serving.resources.memory", -1, "spec.serving.resources.memory", "not a Kubernetes quantity"),
    ("spec.serving.env", {"A": 1}, "spec.serving.env.A", "put it in quotes"),
    ("spec.serving.env", {"A-B": "1"}, "spec.serving.env.A-B", "must match"),
    ("spec.strategy", {}, "spec.strategy", "shadow, abTest, bandit; here is none"),
    ("spec.strategy", {"bandit": {}}, "spec.strategy.bandit", "not available in this release; available: canary"),
    ("spec.strategy.shadow", {}, "spec.strategy", "here are canary and shadow"),
    ("spec.strategy.canari", {}, "spec.strategy.canari", "did you mean canary?"),
    (f"{STEPS}.1.setWeight", 101, f"{STEPS}[1].setWeight", "less than or equal to 100"),
    (f"{STEPS}.1.setWeight", 0.123, f"{STEPS}[1].setWeight", "two decimals"),
    (f"{STEPS}.1", {"pause": {}, "setWeight": 1}, f"{STEPS}[1]", "setWeight and pause"),
    (f"{STEPS}.1", {}, f"{STEPS}[1]", "here is none"),
    (f"{STEPS}.3", {"setWeight": 5}, f"{STEPS}[3].setWeight", "falls from 5.25 to 5"),
    (f"{STEPS}.2.pause.duration", 5, f"{STEPS}[2].pause.duration", "write 5s"),
    (f"{STEPS}.2.pause.duration", "5 min", f"{STEPS}[2].pause.duration", "not a duration"),
    (f"{STEPS}.1.setWeight", -1, f"{STEPS}[1].setWeight", "greater than or equal to 0"),
    (f"{STEPS}.0", {"analysis": {}}, f"{STEPS}[0].analysis", "would wait forever"),
    (STEPS, [{"setShadow": 0}, {"setWeight": 0}, {"analysis": {}}], f"{STEPS}[2].analysis", "would wait forever"),
    (STEPS, [{"setShadow": 9}, {"setShadow": 0}, {"analysis": {}}], f"{STEPS}[2].analysis", "no requests before"),
    ("spec.analysis.onInconclusive", "go", "spec.analysis.onInconclusive", "must be 'hold', 'abort' or 'pause'"),
    ("spec.analysis.interval", "0s", "spec.analysis.interval", "greater than 0"),
    (f"{CHECKS}.0.margin", None, f"{CHECKS}[0].margin", "is required with versus"),
    (f"{CHECKS}.0.max", 0.1, f"{CHECKS}[0]", "either max"),
    (f"{CHECKS}.0", ERROR_RATE, f"{CHECKS}[0]", "needs either max"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": 2}, f"{CHECKS}[0].max", "between 0 and 1"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": "1s"}, f"{CHECKS}[0].max", "between 0 and 1"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": 0.1, "margin": 0.1}, f"{CHECKS}[0].margin", "belongs to versus"),
    (f"{CHECKS}.1.max", 50, f"{CHECKS}[1].max", "must be a duration"),
    (f"{CHECKS}.1.max", "50", f"{CHECKS}[1].max", "not a duration"),
    (f"{CHECKS}.1.max", "0s", f"{CHECKS}[1].max", "no request is that fast"),
    (f"{CHECKS}.1.versus", "stable", f"{CHECKS}[1]", "are for error-rate"),
    (f"{CHECKS}.1.name", "errors", CHECKS, "names errors 2 times"),
    (f"{CHECKS}.1.confidence", 1.5, f"{CHECKS}[1].confidence", "less than or equal to 0.9999"),
    ("spec.traffic.hosts", [], "spec.traffic.hosts", "at least 1 item"),
    ("spec.traffic.hosts", "a.example", "spec.traffic.hosts", "must be a list"),
    ("spec.traffic.hosts", ["a b"], "spec.traffic.hosts[0]", "must match"),
    ("spec.traffic.limits.maxBodyBytes", "2Gi", "spec.traffic.limits.maxBodyBytes", "1 to 1Gi"),
    ("spec.traffic.limits.maxBodyBytes", "100m", "spec.traffic.limits.maxBodyBytes", "1 to 1Gi"),
    ("status", {"phase": "Unheard"}, "status", "was not written by Tidegate"),
    ("spec.model.uri", {1, 2}, "spec", "JSON does not know"),
]  # fmt: skip
"""A field, what it is changed to, the field that is complained about, and a part of the reason."""


def with_field(path: str, value: object) -> dict[str, Any]:
    """The manifest with one field changed; `path` in dots, list entries by their index."""
    document = deepcopy(MANIFEST)
    *parents, last = path.split(".")
    block: Any = document
    for part in parents:
        block = block[int(part)] if part.isdigit() else block.setdefault(part, {})
    if isinstance(block, list):
        block[int(last)] = value
    else:
        block[last] = value
    return document
