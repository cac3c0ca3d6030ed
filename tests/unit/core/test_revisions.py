"""What makes a version, and what runs for it."""

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


def test_a_target_may_have_another_size_than_the_manifest_says() -> None:
    assert target_of(revision_of(PLAIN), rollout(serving={"replicas": 3}), 2).replicas == 2


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
