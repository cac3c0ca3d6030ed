"""What the log says when the API server cannot be followed."""

import pytest
from kubernetes.aio.client import ApiException

from router.pod.kube import reason


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "the pod's service account is not accepted"),
        (403, "may not read or patch modelroutes.tidegate.dev there: see its Role"),
        (404, "is the definition of modelroutes.tidegate.dev installed?"),
    ],
)
def test_a_refusal_says_where_to_look(status: int, hint: str) -> None:
    said = reason(ApiException(status=status, reason="Because"))
    assert said.startswith(f"the API server answered {status} Because; ")
    assert hint in said


def test_any_other_answer_is_told_as_it_is() -> None:
    assert reason(ApiException(status=500, reason="Oops")) == "the API server answered 500 Oops"


def test_no_answer_is_told_by_its_kind() -> None:
    assert reason(ConnectionRefusedError("nobody there")) == "ConnectionRefusedError: nobody there"
