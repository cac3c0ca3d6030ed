"""Manifests: what is read from them, and what is said about those that make no sense."""

from typing import Any

import pytest
from bad_manifests import BAD
from manifest_parts import MANIFEST, with_field, with_fields
from strategy_manifests import BAD_STEPS, BAD_STRATEGIES, GOOD

from operators.api import InvalidManifest, ModelRollout, RolloutKey, manifest_to_json, parse_manifest
from operators.api.fields import basis_points, format_duration, format_time, parse_duration, parse_quantity, parse_time
from operators.plan import Command


def problems(document: dict[str, Any]) -> dict[str, str]:
    """What is said about a manifest, by field."""
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(document)
    assert str(caught.value) == "\n".join(f"{problem.field}: {problem.reason}" for problem in caught.value.problems)
    return {problem.field: problem.reason for problem in caught.value.problems}


def test_a_manifest_is_read_with_its_defaults() -> None:
    rollout = parse_manifest(MANIFEST)
    spec = rollout.spec
    assert rollout.key == RolloutKey("default", "iris")
    assert spec.strategy is not None
    assert spec.strategy.canary is not None
    assert spec.strategy.canary.steps[2].pause is not None
    assert spec.strategy.canary.steps[2].pause.duration == 5400
    assert spec.serving.resources.cpu_count == 1
    assert spec.serving.resources.memory_bytes == 512 * 1024**2
    assert spec.analysis.interval == 0.25
    assert spec.analysis.checks[0].bound == 0.005
    assert spec.analysis.checks[1].bound == 50
    assert spec.analysis.checks[1].quantile == 0.99
    assert spec.traffic.max_body_bytes == 2 * 1024**2
    assert spec.traffic.timeout == 5
    assert spec.scale_down_delay_seconds == 30


def test_commands_are_read_from_annotations() -> None:
    rollout = parse_manifest(
        with_field("metadata.annotations", {"tidegate.dev/promote": "full", "tidegate.dev/abort": "", "other": "x"})
    )
    assert rollout.commands == {Command.PROMOTE: "full", Command.ABORT: ""}
    left = rollout.without_commands((Command.ABORT,))
    assert left.commands == {Command.PROMOTE: "full"}
    assert left.metadata.annotations == {"tidegate.dev/promote": "full", "other": "x"}


def test_what_the_api_server_adds_to_metadata_is_read_or_passed_over() -> None:
    document = with_field("metadata.creationTimestamp", "2026-11-05T10:00:00Z")
    document["metadata"] |= {
        "uid": "u",
        "generation": 3,
        "resourceVersion": "9",
        "managedFields": [],
        "finalizers": ["x"],
    }
    metadata = parse_manifest(document).metadata
    assert (metadata.uid, metadata.generation, metadata.creation_timestamp) == ("u", 3, 1_793_872_800.0)


def test_a_manifest_is_given_back_as_it_was_written() -> None:
    given = manifest_to_json(parse_manifest(MANIFEST))
    assert given == MANIFEST | {
        "spec": MANIFEST["spec"] | {"serving": {"replicas": 2, "resources": {"cpu": "1", "memory": "512Mi"}}}
    }
    assert manifest_to_json(parse_manifest(given)) == given


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    BAD,
)
def test_a_manifest_that_makes_no_sense_is_refused_with_field_and_reason(
    path: str, value: object, field: str, reason: str
) -> None:
    found = problems(with_field(path, value))
    assert reason in found[field]


@pytest.mark.parametrize(("changes", "field", "reason"), [*BAD_STRATEGIES, *BAD_STEPS])
def test_a_strategy_that_makes_no_sense_is_refused_with_field_and_reason(
    changes: dict[str, object], field: str, reason: str
) -> None:
    assert problems(with_fields(changes))[field] == reason


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_every_strategy_is_read_and_given_back_as_it_was_written(changes: dict[str, object]) -> None:
    rollout = parse_manifest(with_fields(changes))
    assert parse_manifest(manifest_to_json(rollout)) == rollout


def test_a_match_is_a_condition_or_several() -> None:
    matches = parse_manifest(with_fields(GOOD["canary-match"])).spec.traffic.match
    assert matches[2].conditions == (matches[2],)
    assert matches[2].in_ == ("eu", "us")
    assert matches[3].conditions[0].below == 25.5
    assert [one.feature for one in matches[4].conditions] == ["country", "vip", "size"]
    assert [one.exact for one in matches[4].conditions] == ["NL", True, None]
    assert [type(value) for value in matches[5].in_] == [float, float, str, bool]


def test_an_analysis_before_any_weight_can_rest_on_selected_requests() -> None:
    steps = {"spec.strategy.canary.steps": [{"analysis": {}}]}
    assert "would wait forever" in problems(with_fields(steps))["spec.strategy.canary.steps[0].analysis"]
    parse_manifest(with_fields(steps | {"spec.traffic.match": [{"header": "x-beta"}]}))


def test_all_problems_are_told_at_once() -> None:
    document = with_field("spec.serving.replicas", 0)
    document["spec"]["model"]["runtime"] = "jax"
    document["spec"]["extra"] = 1
    assert set(problems(document)) == {"spec.serving.replicas", "spec.model.runtime", "spec.extra"}


def test_a_bad_entry_is_not_called_missing_too() -> None:
    assert set(problems(with_field("spec.traffic.hosts", ["a b"]))) == {"spec.traffic.hosts[0]"}


@pytest.mark.parametrize("cpu", [1, 1.0, "1"])
def test_a_whole_quantity_may_be_a_number(cpu: object) -> None:
    assert parse_manifest(with_field("spec.serving.resources.cpu", cpu)).spec.serving.resources.cpu == "1"


def test_an_empty_document_is_refused() -> None:
    assert set(problems({})) == {"apiVersion", "kind", "metadata.name", "spec"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("14d", 1_209_600), ("1m30s500ms", 90.5)],
)
def test_durations_are_read_and_written_alike(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == text


def test_no_time_at_all_is_a_duration_too() -> None:
    assert format_duration(parse_duration("0s")) == "0s"


@pytest.mark.parametrize("text", ["", "5", "-5s", "1.5h", "5 s", "s", "5sm"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"), [("500m", 0.5), ("2", 2), ("0.1", 0.1), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1.5 * 1024**3)]
)
def test_quantities_are_kubernetes_quantities(text: str, value: float) -> None:
    assert float(parse_quantity(text)) == value


def test_times_are_whole_milliseconds_in_both_directions() -> None:
    assert format_time(1_793_872_800.1234) == "2026-11-05T10:00:00.123Z"
    assert parse_time("2026-11-05T10:00:00.123Z") == 1_793_872_800.123
    assert parse_time("2026-11-05T11:00:00.123+01:00") == 1_793_872_800.123
    with pytest.raises(ValueError, match="no time zone"):
        parse_time("2026-11-05T10:00:00")


def test_percentages_become_exact_basis_points() -> None:
    assert [basis_points(percent) for percent in (0.01, 5, 33.33, 0.29, 100)] == [1, 500, 3333, 29, 10_000]


def test_a_rollout_cannot_be_changed() -> None:
    rollout: ModelRollout = parse_manifest(MANIFEST)
    with pytest.raises(ValueError, match="frozen"):
        rollout.spec.paused = True
