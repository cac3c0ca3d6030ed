"""What the API server's refusals become."""

import json
from typing import Any

import pytest

from operators.api import InvalidManifest
from operators.cli.errors import CliError
from operators.cli.refusal import INSTALL, Absent, refusal
from operators.ports import StoreUnavailable

SERVER = "https://c.example"


def status(message: str, **details: Any) -> str:
    return json.dumps({"kind": "Status", "status": "Failure", "message": message, "details": details})


def told(code: int, body: str) -> str:
    error = refusal(code, body, SERVER)
    assert type(error) is CliError
    return str(error)


def test_a_denial_names_who_what_and_where_and_how_to_check() -> None:
    message = (
        'modelrollouts.tidegate.dev "iris" is forbidden: User "jane" cannot patch resource "modelrollouts" in API '
        'group "tidegate.dev" in the namespace "models"'
    )
    assert told(403, status(message)) == (
        "jane may not patch modelrollouts.tidegate.dev in namespace models\n"
        "whoever administers the cluster can give you a Role with the verb patch for modelrollouts.tidegate.dev; "
        "to check: kubectl auth can-i patch modelrollouts.tidegate.dev -n models"
    )


def test_a_denial_for_the_whole_cluster_says_so() -> None:
    message = 'x is forbidden: User "jane" cannot list resource "events" in API group "" at the cluster scope'
    first, second = told(403, status(message)).splitlines()
    assert first == "jane may not list events in all namespaces"
    assert second.endswith("to check: kubectl auth can-i list events -A")


def test_what_else_is_forbidden_keeps_the_servers_words() -> None:
    message = 'modelrollouts.tidegate.dev "iris" is forbidden: exceeded quota: few'
    assert told(403, status(message)) == f"the cluster {SERVER} refuses this (HTTP 403): {message}"


def test_credentials_that_are_not_accepted() -> None:
    assert told(401, status("Unauthorized")).splitlines() == [
        f"{SERVER} does not accept your credentials",
        "log in again, then: kubectl auth whoami",
    ]


def test_an_unknown_path_means_that_tidegate_is_not_installed() -> None:
    assert told(404, "404 page not found\n") == f"Tidegate is not installed in the cluster {SERVER}\n{INSTALL}"


def test_an_object_that_is_absent_and_a_namespace_that_is() -> None:
    absent = refusal(404, status('modelrollouts.tidegate.dev "x" not found', name="x", kind="modelrollouts"), SERVER)
    assert isinstance(absent, Absent)
    assert told(404, status('namespaces "m" not found', name="m", kind="namespaces")) == (
        "there is no namespace m\nmake it: kubectl create namespace m"
    )


def test_fields_that_are_invalid_or_belong_to_others_are_problems_of_the_manifest() -> None:
    causes = [{"reason": "FieldValueInvalid", "message": "Invalid value: 4", "field": "spec.serving"}]
    invalid = refusal(422, status("is invalid", causes=causes), SERVER)
    assert isinstance(invalid, InvalidManifest)
    assert str(invalid) == "spec.serving: Invalid value: 4"
    causes = [{"reason": "FieldManagerConflict", "message": 'conflict with "kubectl"', "field": ".spec.paused"}]
    conflict = refusal(409, status("Apply failed", causes=causes), SERVER)
    assert isinstance(conflict, InvalidManifest)
    assert str(conflict) == 'spec.paused: conflict with "kubectl"; take it over with --force-conflicts, or leave it out'


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_cannot_do_it_now_is_unavailable(code: int) -> None:
    error = refusal(code, "<html>upstream</html>", SERVER)
    assert isinstance(error, StoreUnavailable)
    assert str(error) == f"the cluster {SERVER} cannot do this now (HTTP {code}): <html>upstream</html>; try again"


@pytest.mark.parametrize("body", ["", "[]", "no JSON", "{}"])
def test_an_answer_that_is_no_status_is_still_a_sentence(body: str) -> None:
    assert told(400, body).startswith(f"the cluster {SERVER} refuses this (HTTP 400): ")
