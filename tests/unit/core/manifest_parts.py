"""A manifest, pieces of it, and how one with other fields is made."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

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
WEB = {"url": "https://example.org/{{version}}", "value": "/data/0/score"}
LATENCY = {"name": "l", "metric": "latency-p99", "versus": "stable"}
AGREEMENT = {"name": "a", "metric": "shadow-agreement", "min": 0.99}
ACCURACY = {"name": "f", "metric": "feedback-accuracy", "versus": "stable", "margin": 0.02}
ERROR_RATE = {"name": "e", "metric": "error-rate"}
MATCH, HEADER = "spec.traffic.match", {"header": "x-beta"}


def with_fields(changes: Mapping[str, object]) -> dict[str, Any]:
    """The manifest with these fields changed; paths in dots, list entries by their index."""
    document = deepcopy(MANIFEST)
    for path, value in changes.items():
        *parents, last = path.split(".")
        block: Any = document
        for part in parents:
            block = block[int(part)] if part.isdigit() else block.setdefault(part, {})
        if isinstance(block, list):
            block[int(last)] = value
        else:
            block[last] = value
    return document


def with_field(path: str, value: object) -> dict[str, Any]:
    """The manifest with one field changed."""
    return with_fields({path: value})
