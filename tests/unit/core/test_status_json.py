"""The status as JSON."""

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.api import status_from_json, status_to_json
from operators.api.statusjson import BLOCKS, SHARES, TIMES
from operators.status import (
    Arm,
    Candidate,
    CheckResult,
    Condition,
    Decision,
    Experiment,
    Phase,
    Retiring,
    Revision,
    RolloutStatus,
    Tally,
    Variant,
    Verdict,
)

REVISION = Revision("0123456789", '{"runtime":"sklearn","uri":"file:///m"}', '{"cpu":0.5}', 1_793_872_800.5)
FULL = RolloutStatus(
    observed_generation=3,
    phase=Phase.PROGRESSING,
    message="step 2 of 4",
    stable=REVISION,
    stable_ready=2,
    candidate=Candidate(Revision("abcdefabcd", "{}", "{}"), 1_793_872_801.25, 1, 1_793_872_801.001),
    retiring=(Retiring(REVISION, 1_793_872_802.999),),
    step=1,
    step_started_at=1_793_872_803.0,
    weight=525,
    shadow=10_000,
    selected=True,
    replicas=1,
    evidence_since=1_793_872_804.123,
    variants=(Variant("b", REVISION, 2500, 2, 1_793_872_801.5, "cannot be loaded"),),
    experiment=Experiment(
        1_793_872_800.25,
        (Arm("control", "0123456789", 5000, Tally(3, 1.5, 0.75), Tally(1, 0.5, 0.25), 0.5, 0.1, 0.9, 0.25),),
        1_793_872_801.75,
        1_793_872_802.125,
        "control",
        "control is surely the best",
    ),
    trial="abcdef0123",
    failed="ffffffffff",
    failure="why",
    awaits_promotion=True,
    checks=(CheckResult("errors", Verdict.INCONCLUSIVE, None, 0.05, None, 0.5, 0, "no reading", True, True),),
    conditions=(
        Condition("Ready", None, "RayUnreachable", "m", 1_793_872_805.0),
        Condition("Stalled", False, "Stepping", "m", 1_793_872_806.0),
    ),
    revisions=(REVISION,),
    history=(Decision(1_793_872_807.0, "Started", "starts", "abcdefabcd"),),
)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def records(cls: Any) -> st.SearchStrategy[Any]:
    """Any record of this type, as far as its fields' units allow."""
    hints = get_type_hints(cls)
    return st.builds(cls, **{field.name: values(field.name, hints[field.name]) for field in fields(cls)})


def values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is UnionType:
        (inner,) = (variant for variant in get_args(hint) if variant is not type(None))
        return st.none() | values(name, inner)
    if get_origin(hint) is tuple:
        return st.lists(values(name, get_args(hint)[0]), max_size=2).map(tuple)
    if name in TIMES:
        return st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000)
    if name in SHARES:
        return st.integers(0, 10_000)
    if name in BLOCKS:
        return st.sampled_from(["{}", '{"runtime":"sklearn","uri":"file:///m"}'])
    if is_dataclass(hint):
        return records(hint)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    simple = {bool: st.booleans(), int: st.integers(0, 2**53), float: st.floats(allow_nan=False, allow_infinity=False)}
    return simple.get(hint, TEXT)


@given(records(RolloutStatus))
def test_whatever_a_rollout_remembers_comes_back(status: RolloutStatus) -> None:
    assert status_from_json(json.loads(json.dumps(status_to_json(status)))) == status


@pytest.mark.parametrize("status", [FULL, RolloutStatus()])
def test_a_status_comes_back_as_it_was_written(status: RolloutStatus) -> None:
    assert status_from_json(json.loads(json.dumps(status_to_json(status)))) == status


def test_a_version_on_its_way_says_what_it_is_without_a_block_of_its_own() -> None:
    written = status_to_json(FULL)
    assert written["variants"][0].keys() == {
        "name", "id", "model", "serving", "promotedAt", "weight", "ready", "startingSince", "failure"
    }  # fmt: skip
    assert written["candidate"].keys() == {"id", "model", "serving", "startedAt", "ready", "startingSince"}
    assert written["retiring"][0].keys() == {"id", "model", "serving", "promotedAt", "until"}


def test_a_status_with_a_block_for_the_version_is_still_read() -> None:
    written = status_to_json(FULL)
    for beside in (written["candidate"], *written["retiring"]):
        beside["revision"] = {
            name: beside.pop(name) for name in ("id", "model", "serving", "promotedAt") if name in beside
        }
    assert status_from_json(written) == FULL


def test_a_status_looks_like_kubernetes() -> None:
    written = status_to_json(FULL)
    assert written["observedGeneration"] == 3
    assert written["phase"] == "Progressing"
    assert (written["weight"], written["shadow"]) == (5.25, 100)
    assert written["evidenceSince"] == "2026-11-05T10:00:04.123Z"
    assert written["experiment"]["arms"][0]["weight"] == 50
    assert written["experiment"]["countingSince"] == "2026-11-05T10:00:01.750Z"
    assert written["stable"]["model"] == {"runtime": "sklearn", "uri": "file:///m"}
    assert written["conditions"][0] == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "RayUnreachable",
        "message": "m",
        "lastTransitionTime": "2026-11-05T10:00:05.000Z",
    }


def test_what_is_not_there_is_not_written() -> None:
    assert set(status_to_json(RolloutStatus())) == {
        "observedGeneration", "phase", "message", "stableReady", "weight", "shadow", "selected", "trial", "failure",
        "awaitsPromotion",
    }  # fmt: skip


def test_a_status_without_a_needed_field_is_refused() -> None:
    with pytest.raises(KeyError, match="Revision without id"):
        status_from_json({"stable": {"model": {}, "serving": {}}})


def test_fields_of_a_later_release_are_passed_over() -> None:
    assert status_from_json({"phase": "Healthy", "later": 1}) == RolloutStatus(phase=Phase.HEALTHY)
