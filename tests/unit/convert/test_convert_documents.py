"""Documents of all sorts: lists, twins, other kinds, and what somebody with bad intentions wrote."""

import json
from typing import Any

import pytest
import yaml
from convert_kit import converted, loaded, notes, one
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.api import parse_manifest
from operators.convert import Kind, Note, convert

ISVC = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "iris"},
    "spec": {"predictor": {"sklearn": {"storageUri": "file:///models/iris.joblib"}}},
}
SDEP = {
    "apiVersion": "machinelearning.seldon.io/v1",
    "kind": "SeldonDeployment",
    "metadata": {"name": "loans"},
    "spec": {
        "predictors": [
            {"name": "a", "graph": {"name": "a", "implementation": "XGBOOST_SERVER", "modelUri": "file:///m/a.json"}}
        ]
    },
}
ARGO = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "web"},
    "spec": {"replicas": 2, "strategy": {"canary": {"steps": [{"setWeight": 5}]}}},
}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "iris"}}


def named(name: Any, **metadata: Any) -> dict[str, Any]:
    return {**ISVC, "metadata": {"name": name, **metadata}}


def test_every_manifest_of_several_documents_is_converted_and_others_are_passed_over() -> None:
    found = converted(yaml.safe_dump_all([ISVC, SERVICE, SDEP, ARGO]))
    assert [one.rollout is not None for one in found] == [True, False, True, True]
    assert [one.place for one in found] == [f"standard input:{line}" for line in (1, 10, 15, 27)]
    assert [str(note) for note in found[1].notes] == [
        "passed over: is a Service of v1, which is not read: only InferenceService, SeldonDeployment, Rollout are"
    ]


def test_lists_within_lists_are_read_with_the_place_of_each_item() -> None:
    inner = {"apiVersion": "v1", "kind": "InferenceServiceList", "items": [named("b.c"), SERVICE]}
    found = converted(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [ISVC, inner, [ISVC], "text"]}))
    assert [one.rollout and one.rollout["metadata"]["name"] for one in found] == ["iris", "b-c", None, None, None]
    assert [note.field for one in found for note in one.notes] == [
        "items[1].items[0].metadata.name",
        "items[1].items[1]",
        "items[2]",
        "items[3]",
    ]
    assert str(found[3].notes[0]) == "items[2]: passed over: is no manifest but a list"


def test_a_list_that_holds_itself_is_read_once() -> None:
    text = "&all\nkind: List\nitems:\n- *all\n- apiVersion: v1\n  kind: Service\n"
    assert [note.field for one in converted(text) for note in one.notes] == ["items[1]"]


def test_of_two_that_would_be_the_same_rollout_the_first_one_is_made() -> None:
    found = converted(yaml.safe_dump_all([named("a.b"), named("a-b"), named("a-b", namespace="other")]))
    assert [one.rollout is not None for one in found] == [True, False, True]
    assert [str(note) for note in found[1].notes] == [
        "metadata.name: not converted: a-b is the rollout of standard input:1 already; rename one"
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Iris", "iris"),
        ("iris.v2", "iris-v2"),
        ("-iris_", "iris"),
        ("x" * 70, "x" * 63),
        ("x" * 62 + ".y", "x" * 62),
        ("a\nb", "a-b"),
    ],
)
def test_a_name_that_is_no_dns_label_becomes_one(name: str, label: str) -> None:
    found = one(named(name, namespace=name))
    assert found.rollout is not None
    assert found.rollout["metadata"] == {"name": label, "namespace": label}
    assert notes(found) == dict.fromkeys(("metadata.name", "metadata.namespace"), Kind.DIFFERENT)
    loaded(found)


@pytest.mark.parametrize("name", [None, "", "...", "模型", 5, ["iris"], {}])
def test_a_manifest_without_a_name_of_use_is_not_converted(name: Any) -> None:
    found = one(named(name))
    assert found.rollout is None
    assert notes(found)["metadata.name"] is Kind.NOT_CONVERTED


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "InferenceService"},
        {"apiVersion": ["serving.kserve.io/v1beta1"], "kind": "InferenceService"},
        {"apiVersion": "serving.kserve.io/v1beta1", "kind": ["InferenceService"]},
        {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "iris"}},
    ],
)
def test_what_is_of_no_known_kind_is_passed_over(manifest: Any) -> None:
    assert [note.kind for note in one(manifest).notes] == [Kind.PASSED_OVER]


def test_values_of_variables_are_never_told() -> None:
    secret = [
        {"name": "A", "value": "$(X)hunter2"},
        {"name": "?", "value": "hunter2"},
        {"name": "B", "value": ["hunter2"]},
    ]
    manifest = {**ISVC, "spec": {"predictor": {"sklearn": {"storageUri": "file:///m/a.joblib", "env": secret}}}}
    found = one(manifest)
    assert len(found.notes) == 3
    assert "hunter2" not in "".join(map(str, found.notes))


def test_a_note_does_nothing_to_a_terminal() -> None:
    note = Note("a.\x1b[2J\n", Kind.LEFT_OUT, "is \ud800", "nothing")
    assert str(note) == "a.?[2J?: left out: is ?; nothing"


def test_numbers_too_large_to_be_written_out_are_left_out() -> None:
    limits = yaml.safe_dump(ISVC) + f"    minReplicas: 0x{'f' * 5000}\n"
    (found,) = converted(limits)
    assert [str(note) for note in found.notes] == [
        "spec.predictor.minReplicas: left out: must be a whole number from 0 to 1000, it is of type int; "
        "correct it and convert again"
    ]


def test_text_that_is_none_is_refused_in_the_words_of_lint() -> None:
    (found,) = converted(yaml.safe_dump(named("iris", labels={"a": "\ud800"})))
    (note,) = found.notes
    assert note.kind is Kind.UNSUPPORTED
    assert "invalid JSON" in note.reason


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything within a manifest."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in entries for place in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The manifest with something else at a path."""
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([ISVC, SDEP, ARGO]), st.data())
def test_whatever_stands_in_a_field_the_rollout_is_refused_for_its_model_at_most(manifest: Any, data: Any) -> None:
    spot = data.draw(st.sampled_from(places(manifest)[1:]))
    for found in convert([("file:1", replaced(manifest, spot, data.draw(ODD)))]):
        assert found.rollout is not None or found.notes
        assert all(str(note).isprintable() for note in found.notes)
        if found.rollout is not None:
            assert json.loads(json.dumps(found.rollout)) == found.rollout
            refused = {note.field for note in found.notes if note.kind is Kind.UNSUPPORTED}
            assert refused <= {"spec.model.uri", "spec.model.runtime"}
            if not refused:
                parse_manifest(found.rollout)
