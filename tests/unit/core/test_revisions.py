"""What makes a version, and what runs for it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from operators.api import (
    RESOLVED_SHA256,
    ModelRollout,
    experiment_digest,
    parse_manifest,
    resolved_sha256,
    revision_of,
    target_of,
)
from serving import render
from serving.spec import Autoscaling, DeclaredOutput, InputSpec, ModelSource, ServeTarget, TargetKey

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
        {"model": {"uri": "file:///m", "runtime": "sklearn", "outputs": [{"name": "predict"}]}},
        {"serving": {"resources": {"cpu": "200m"}}},
        {"serving": {"resources": {"memory": "1Gi"}}},
        {"serving": {"resources": {"gpu": 1}}},
        {"serving": {"batching": {"maxSize": 8}}},
        {"serving": {"batching": {"maxQueue": 8}}},
        {"serving": {"env": {"A": "1"}}},
        {"serving": {"pip": ["pandas"]}},
        {"serving": {"multiModel": {}}},
        {"traffic": {"limits": {"maxBodyBytes": "2Mi"}}},
    ],
)
def test_whatever_a_process_is_started_with_makes_another_version(spec: dict[str, Any]) -> None:
    assert revision_of(rollout(**spec)).id != revision_of(PLAIN).id


@pytest.mark.parametrize(
    "spec",
    [
        {"serving": {"replicas": 7}},
        {"serving": {"autoscaling": {"maxReplicas": 7}}},
        {"serving": {"resources": {"cpu": "0.1"}}},
        {"serving": {"batching": {"maxSize": 64}}},
        {"traffic": {"timeout": "60s"}},
        {"traffic": {"paths": {"predict": "/api/v1/predict"}}},
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


def test_the_target_of_a_class_of_ones_own_has_its_name_and_the_shapes_of_its_tensors() -> None:
    inputs = [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 8, 8]}, {"name": "age"}]
    manifest = rollout(model={"uri": "file:///m", "runtime": "python", "class": "net:Net", "inputs": inputs})
    assert target_of(revision_of(manifest), manifest).source == ModelSource(
        "file:///m", "python", None, (InputSpec("image", "FP32", (-1, 3, 8, 8)), InputSpec("age")), "net:Net"
    )


def test_the_target_of_a_model_whose_inputs_have_rules_has_them_and_each_of_them_is_another_version() -> None:
    rules: list[dict[str, Any]] = [
        {"min": 0},
        {"min": 0, "max": 9.5},
        {"values": [1, 2.5]},
        {"nullable": True, "unique": True},
        {"default": 1, "description": "Years.", "example": 2},
    ]
    wanted = [
        InputSpec("a", min=0.0),
        InputSpec("a", min=0.0, max=9.5),
        InputSpec("a", values=(1, 2.5)),
        InputSpec("a", nullable=True, unique=True),
        InputSpec("a", default=1, description="Years.", example=2),
    ]
    ids = set()
    for one, spec in zip(rules, wanted, strict=True):
        manifest = rollout(model={"uri": "file:///m", "runtime": "sklearn", "inputs": [{"name": "a", **one}]})
        target = target_of(revision_of(manifest), manifest)
        assert target.source.inputs == (spec,)
        assert render.target_of(json.loads(json.dumps(render.application(target)["args"]))).source == target.source
        ids.add(target.key.version)
    assert len(ids) == len(rules)


def test_coercion_is_part_of_a_version_and_strictness_as_if_it_were_not_written() -> None:
    def version(**fields: str) -> ServeTarget:
        manifest = rollout(model={"uri": "file:///m", "runtime": "sklearn", **fields})
        return target_of(revision_of(manifest), manifest)

    assert version(validation="strict") == version()
    assert version(validation="coerce").source.coerce
    assert version(validation="coerce").key != version().key


def test_the_target_of_a_model_with_declared_outputs_has_them_and_so_has_a_variant_that_names_none() -> None:
    outputs = [{"name": "species", "of": "predict", "labels": ["setosa", "other"]}, {"name": "p", "datatype": "FP32"}]
    manifest = rollout(
        model={"uri": "file:///m", "runtime": "sklearn", "outputs": outputs},
        variants=[{"name": "b", "model": {"uri": "file:///b", "runtime": "sklearn"}}],
        strategy={"abTest": {"shares": {"control": 50, "b": 50}, "goal": {"metric": "feedback-reward"}}},
    )
    declared = (DeclaredOutput("species", "predict", None, ("setosa", "other")), DeclaredOutput("p", None, "FP32"))
    for variant in (None, "b"):
        assert target_of(revision_of(manifest, variant), manifest).source.outputs == declared


def test_a_running_version_is_not_touched_by_a_change_of_the_manifest_around_it() -> None:
    before = revision_of(PLAIN)
    after = rollout(traffic={"timeout": "60s"}, serving={"resources": {"cpu": 2}})
    assert target_of(before, after) == target_of(before, PLAIN)


def test_a_target_may_have_another_size_than_the_manifest_says() -> None:
    assert target_of(revision_of(PLAIN), rollout(serving={"replicas": 3}), 2).replicas == 2


def test_a_target_whose_size_follows_requests_has_the_least_one_and_what_it_follows() -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 8, "targetOngoingRequests": 3, "downscaleDelay": "5m"}
    manifest = rollout(serving={"autoscaling": scaling})
    found = target_of(revision_of(manifest), manifest)
    assert (found.replicas, found.autoscaling) == (2, Autoscaling(8, 3, 5.0, 300.0))
    assert target_of(revision_of(manifest), manifest, 5) == replace(found, replicas=5)


B = {"name": "b", "model": {"uri": "file:///b", "runtime": "sklearn"}}
C = {"name": "c", "model": {"uri": "file:///c", "runtime": "sklearn"}}
BANDIT = {"bandit": {"reward": "success-rate"}}


def experiment(annotations: dict[str, str] | None = None, **spec: Any) -> ModelRollout:
    """A bandit over two variants, with other fields."""
    return rollout(annotations, **{"strategy": BANDIT, "variants": [B, C]} | spec)


def test_a_variant_is_the_version_that_its_model_would_be() -> None:
    serving = {"batching": {"maxSize": 8}}
    revision = revision_of(experiment(serving=serving), "b")
    assert revision == revision_of(rollout(model=B["model"], serving=serving))
    assert target_of(revision, experiment()).source.uri == "file:///b"
    with pytest.raises(KeyError):
        revision_of(experiment(), "d")


def test_a_variants_resolved_digest_is_its_own() -> None:
    resolved = experiment({resolved_sha256(): DIGEST, resolved_sha256("b"): "b" * 64})
    assert target_of(revision_of(resolved, "b"), resolved).source.sha256 == "b" * 64
    assert target_of(revision_of(resolved, "c"), resolved).source.sha256 is None
    assert resolved_sha256() == RESOLVED_SHA256


def test_variants_do_not_change_what_the_rollouts_own_version_is() -> None:
    assert revision_of(experiment()) == revision_of(PLAIN)


def test_the_digest_of_an_experiment_does_not_change_from_release_to_release() -> None:
    assert experiment_digest(experiment()) == "a48294e456"


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "file:///other", "runtime": "sklearn"}},
        {"serving": {"resources": {"cpu": "200m"}}},
        {"variants": [B]},
        {"variants": [B, C | {"name": "d"}]},
        {"variants": [B, {"name": "c", "model": {"uri": "file:///d", "runtime": "sklearn"}}]},
        {"strategy": {"bandit": {"reward": "feedback-reward"}}},
        {"strategy": {"bandit": {"reward": "success-rate", "promoteAt": 0.9}}},
    ],
)
def test_other_versions_names_or_rules_make_another_experiment(spec: dict[str, Any]) -> None:
    assert experiment_digest(experiment(**spec)) != experiment_digest(experiment())


@pytest.mark.parametrize(
    "spec",
    [
        {"variants": [C, B]},
        {"strategy": {"bandit": {"reward": "success-rate", "explorationFloor": 5, "interval": "60s"}}},
        {"serving": {"replicas": 7}},
        {"traffic": {"sticky": {"header": "x-user-id"}}},
        {"paused": True},
    ],
)
def test_the_same_experiment_may_be_written_in_other_words(spec: dict[str, Any]) -> None:
    assert experiment_digest(experiment(**spec)) == experiment_digest(experiment())


def test_a_file_that_was_replaced_makes_another_experiment() -> None:
    assert experiment_digest(experiment({resolved_sha256("b"): DIGEST})) != experiment_digest(experiment())


def test_a_variant_without_inputs_has_those_of_the_manifests_model() -> None:
    inputs = [{"name": "a", "datatype": "INT64"}]
    manifest = rollout(
        model={"uri": "file:///m", "runtime": "sklearn", "inputs": inputs},
        variants=[{"name": "b", "model": {"uri": "file:///n", "runtime": "sklearn"}}],
        strategy={"bandit": {"reward": "success-rate"}},
    )
    assert target_of(revision_of(manifest, "b"), manifest).source.inputs == (InputSpec("a", "INT64"),)
