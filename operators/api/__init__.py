"""The API of Tidegate: `ModelRollout` and everything that is read from it or written into it."""

from operators.api.checks import METRICS, PLACEHOLDERS, PREDICTIONS, Check, PrometheusQuery, WebQuery
from operators.api.definition import crd
from operators.api.manifest import InvalidManifest, manifest_to_json, parse_manifest
from operators.api.problem import Problem
from operators.api.revision import (
    experiment_digest,
    full_size,
    hosts_many,
    resolved_sha256,
    revision_of,
    sizes_of,
    target_of,
)
from operators.api.routedefinition import route_crd
from operators.api.statusjson import status_from_json, status_to_json
from operators.api.strategies import Step
from operators.api.types import (
    API_VERSION,
    KIND,
    RESOLVED_SHA256,
    Metadata,
    ModelRollout,
    RolloutKey,
    RolloutSpec,
)

__all__ = [
    "API_VERSION",
    "KIND",
    "METRICS",
    "PLACEHOLDERS",
    "PREDICTIONS",
    "RESOLVED_SHA256",
    "Check",
    "InvalidManifest",
    "Metadata",
    "ModelRollout",
    "Problem",
    "PrometheusQuery",
    "RolloutKey",
    "RolloutSpec",
    "Step",
    "WebQuery",
    "crd",
    "experiment_digest",
    "full_size",
    "hosts_many",
    "manifest_to_json",
    "parse_manifest",
    "resolved_sha256",
    "revision_of",
    "route_crd",
    "sizes_of",
    "status_from_json",
    "status_to_json",
    "target_of",
]
