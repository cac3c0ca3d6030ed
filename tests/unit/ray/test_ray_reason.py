"""The reason why a version does not run, found in what Ray really says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.details import ServeDetails
from serving.reason import mark, reason_in

ANSWERS = Path(__file__).parent / "answers"


def reasons(name: str) -> dict[str, str]:
    details = ServeDetails.model_validate_json((ANSWERS / f"{name}.json").read_bytes())
    return {app.name.rpartition(".")[2]: app.reason for app in details.applications.values()}


def test_a_constructor_that_raised_has_told_why() -> None:
    assert reasons("constructor-failed") == {
        "v1": "",
        "v3": "file:///nope/x.joblib: there is nothing at /nope/x.joblib",
    }


def test_the_reason_is_known_before_ray_gives_up() -> None:
    assert reasons("starting-again")["v3"] == "file:///nope/x.joblib: there is nothing at /nope/x.joblib"


def test_a_build_that_failed_is_told_by_its_last_exception() -> None:
    assert reasons("import-failed")["foreign"] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_killed_replica_is_told_in_rays_own_words() -> None:
    assert reasons("replica-killed")["v2"].startswith("A replica's health check failed.")


@pytest.mark.parametrize("name", ["running", "building", "deleting", "scaling-down", "controller-restarted"])
def test_nothing_is_told_where_nothing_is_wrong(name: str) -> None:
    assert set(reasons(name).values()) == {""}


@given(st.text())
def test_a_marked_reason_survives_whatever_it_holds(reason: str) -> None:
    message = f"Traceback:\n  File x\nserving.replica.ReplicaCannotStart: {mark(reason)}\n\nSee the log. Error: none"
    assert reason_in(message) == reason


def test_a_message_without_an_exception_is_told_by_its_first_line() -> None:
    assert reason_in("\nwaiting for 3 CPUs\nmore to say") == "waiting for 3 CPUs"
    assert reason_in("  \n") == ""
