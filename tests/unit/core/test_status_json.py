"""The status as JSON."""

import json

import pytest

from operators.api import status_from_json, status_to_json
from operators.status import (
    Candidate,
    CheckResult,
    Condition,
    Decision,
    Phase,
    Retiring,
    Revision,
    RolloutStatus,
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
    evidence_since=1_793_872_804.123,
    failed="ffffffffff",
    failure="why",
    awaits_promotion=True,
    checks=(CheckResult("errors", Verdict.INCONCLUSIVE, None, 0.05, None, 0.5, 0, "no reading"),),
    conditions=(
        Condition("Ready", None, "RayUnreachable", "m", 1_793_872_805.0),
        Condition("Stalled", False, "Stepping", "m", 1_793_872_806.0),
    ),
    revisions=(REVISION,),
    history=(Decision(1_793_872_807.0, "Started", "starts", "abcdefabcd"),),
)


@pytest.mark.parametrize("status", [FULL, RolloutStatus()])
def test_a_status_comes_back_as_it_was_written(status: RolloutStatus) -> None:
    assert status_from_json(json.loads(json.dumps(status_to_json(status)))) == status


def test_a_version_on_its_way_says_what_it_is_without_a_block_of_its_own() -> None:
    written = status_to_json(FULL)
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
        "observedGeneration", "phase", "message", "stableReady", "weight", "shadow", "failure", "awaitsPromotion"
    }  # fmt: skip


def test_a_status_without_a_needed_field_is_refused() -> None:
    with pytest.raises(KeyError, match="Revision without id"):
        status_from_json({"stable": {"model": {}, "serving": {}}})


def test_fields_of_a_later_release_are_passed_over() -> None:
    assert status_from_json({"phase": "Healthy", "later": 1}) == RolloutStatus(phase=Phase.HEALTHY)
