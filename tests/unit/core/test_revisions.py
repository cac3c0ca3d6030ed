"""What makes a version, and what runs for it."""

from typing import Any

import pytest

from operators.api import RESOLVED_SHA256, ModelRollout, parse_manifest, revision_of, target_of
from serving.spec import InputSpec, ModelSource, ServeTarget, TargetKey

DIGEST = "a" * 64


def rollout(annotations: dict[str, str] | None = None, **spec: Any) -> ModelRollout:
    """A rollout with these fields of the spec."""
    return parse_manifest(
        {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": "iris", "namespace": "prod", "annotations": annotations or {}},
            "spec": {"model": {"uri": "file:///m", "runtime": "sklearn"}} | spec,
        }
    )


PLAIN = rollout()


def test_an_id_is_ten_hex_digits_and_does_not_change_from_release_to_release() -> None:
    assert revision_of(PLAIN).id == "2b02e9ec16"


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "file:///other", "runtime": "sklearn"}},
        {"model": {"uri": "file:///m", "runtime": "sklearn", "sha256": DIGEST}},
        {"model": {"uri": "file:///m", "runtime": "sklearn", "inputs": [{"name": "a"}]}},
        {"serving": {"resources": {"cpu": "200m"}}},
        {"serving": {"resources": {"memory": "1Gi"}}},
        {"serving": {"resources": {"gpu": 1}}},
        {"serving": {"batching": {"maxSize": 8}}},
        {"serving": {"batching": {"maxQueue": 8}}},
        {"serving": {"env": {"A": "1"}}},
        {"serving": {"pip": ["pandas"]}},
        {"traffic": {"limits": {"maxBodyBytes": "2Mi"}}},
    ],
)
def test_whatever_a_process_is_started_with_makes_another_version(spec: dict[str, Any]) -> None:
    assert revision_of(rollout(**spec)).id != revision_of(PLAIN).id


@pytest.mark.parametrize(
    "spec",
    [
        {"serving": {"replicas": 7}},
        {"serving": {"resources": {"cpu": "0.1"}}},
        {"serving": {"batching": {"maxSize": 64}}},
        {"traffic": {"timeout": "60s"}},
        {"traffic": {"limits": {"maxBodyBytes": "1024Ki"}}},
        {"strategy": {"canary": {"steps": [{"setWeight": 5}]}}},
        {"paused": True},
    ],
)
def test_everything_else_is_the_same_version(spec: dict[str, Any]) -> None:
    assert revision_of(rollout(**spec)).id == revision_of(PLAIN).id


def test_the_order_of_environment_variables_does_not_matter() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert revision_of(rollout(serving={"env": one})).id == revision_of(rollout(serving={"env": other})).id


def test_a_resolved_digest_stands_in_for_a_missing_one() -> None:
    resolved = rollout({RESOLVED_SHA256: DIGEST})
    written = rollout(model={"uri": "file:///m", "runtime": "sklearn", "sha256": DIGEST})
    assert revision_of(resolved).id == revision_of(written).id != revision_of(PLAIN).id
    assert target_of(revision_of(resolved), resolved).source.sha256 == DIGEST


def test_a_target_is_made_from_its_revision_and_scaled_by_the_manifest() -> None:
    manifest = rollout(
        model={"uri": "file:///m", "runtime": "sklearn", "inputs": [{"name": "a", "datatype": "INT64"}, {"name": "b"}]},
        serving={
            "replicas": 3,
            "resources": {"cpu": "500m", "memory": "1Gi", "gpu": 1},
            "batching": {"maxSize": 8, "maxQueue": 16},
            "env": {"B": "2", "A": "1"},
            "pip": ["pandas"],
        },
        traffic={"timeout": "60s", "limits": {"maxBodyBytes": "2Mi"}},
    )
    revision = revision_of(manifest)
    assert target_of(revision, manifest) == ServeTarget(
        key=TargetKey("prod", "iris", revision.id),
        source=ModelSource("file:///m", "sklearn", None, (InputSpec("a", "INT64"), InputSpec("b", "FP64"))),
        replicas=3,
        cpu=0.5,
        gpu=1.0,
        memory_bytes=1024**3,
        max_batch=8,
        max_queue=16,
        max_body_bytes=2 * 1024**2,
        drain_seconds=60.0,
        env=(("A", "1"), ("B", "2")),
        pip=("pandas",),
    )


def test_a_running_version_is_not_touched_by_a_change_of_the_manifest_around_it() -> None:
    before = revision_of(PLAIN)
    after = rollout(traffic={"timeout": "60s"}, serving={"resources": {"cpu": 2}})
    assert target_of(before, after) == target_of(before, PLAIN)
