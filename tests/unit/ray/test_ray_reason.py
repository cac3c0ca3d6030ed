"""The reason why a version does not run, found in what Ray really says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.details import Application, ServeDetails
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


SLOW = "Deployment 'model' in application 'a' has 1 replicas that have taken more than 30s to "
UNPLACED = SLOW + (
    "be scheduled. This may be due to waiting for the cluster to auto-scale or for a runtime environment to be "
    "installed. Resources required for each replica: {}, total resources available: {}. Use `ray status` for more "
    "details."
)
INITIALIZING = f"{SLOW}initialize.\nThis may be caused by a slow __init__ or reconfigure method."
PIP = """Error:
ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[9] failed with the following details.
Command '['python', '-m', 'pip', 'install']' returned non-zero exit status 1.
Last 50 lines of stdout:
    ERROR: Could not find a version that satisfies the requirement tabulate==99.0
    ERROR: No matching distribution found for tabulate==99.0
"""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            UNPLACED.format('{"CPU": 1000.0}', '{"CPU": 63.8}'),
            "Ray has no room for another replica: 1000 CPU wanted, 63.8 CPU free",
        ),
        (
            UNPLACED.format('{"CPU": 0.1, "GPU": 1.0}', '{"CPU": 63.8}'),
            "Ray has no room for another replica: 1 GPU wanted, 0 GPU free",
        ),
        (
            UNPLACED.format('{"CPU": 99, "memory": 10995116277760}', '{"CPU": 63.8, "memory": 22991609856.0}'),
            "Ray has no room for another replica: 99 CPU wanted, 63.8 CPU free; "
            "10,240.0 GiB of memory wanted, 21.4 GiB of memory free",
        ),
        (
            UNPLACED.format('{"CPU": 0.1}', '{"CPU": 63.8}'),
            "Ray has not placed a replica yet: it installs packages, or no one machine has enough room",
        ),
        (INITIALIZING, "a replica has been loading its model for more than 30 seconds"),
        (PIP, "its packages could not be installed: ERROR: No matching distribution found for tabulate==99.0"),
    ],
    ids=["cpu", "gpu", "memory", "packages", "loading", "pip"],
)
def test_what_a_replica_waits_for_is_told_in_a_sentence(message: str, reason: str) -> None:
    assert reason_in(message) == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Upscaling from 1 to 2 replicas.", ""),
        (INITIALIZING, "a replica has been loading its model for more than 30 seconds"),
    ],
)
def test_scaling_is_no_complaint_but_waiting_while_it_scales_is(message: str, reason: str) -> None:
    deployments = {"model": {"status": "UPSCALING", "message": message}}
    app = Application.model_validate({"name": "a", "status": "RUNNING", "deployments": deployments})
    assert app.reason == reason
