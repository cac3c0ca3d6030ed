"""Events as Kubernetes wants them."""

from operators.kube.events import LONGEST_MESSAGE, event_json, shortened
from operators.plan import Event

METADATA = {"name": "iris", "namespace": "models", "uid": "u", "resourceVersion": "7"}


def test_an_event_names_its_rollout_its_reporter_and_its_time() -> None:
    event = event_json(METADATA, Event("Promoted", "v2 is stable"), 1_800_000_000.4)
    assert (
        event["involvedObject"] | {"kind": "ModelRollout", "name": "iris", "namespace": "models", "uid": "u"}
        == (event["involvedObject"])
    )
    assert event["metadata"] == {"generateName": "iris.", "namespace": "models"}
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Promoted", "v2 is stable")
    assert event["source"] == {"component": "tidegate-operator"}
    assert event["lastTimestamp"] == "2027-01-15T08:00:00Z"


def test_a_warning_is_one() -> None:
    assert event_json(METADATA, Event("Aborted", "no", warning=True), 0.0)["type"] == "Warning"


def test_a_message_is_as_long_as_the_api_server_takes() -> None:
    assert shortened("x" * LONGEST_MESSAGE, LONGEST_MESSAGE) == "x" * LONGEST_MESSAGE
    assert shortened("x" * 2000, LONGEST_MESSAGE) == "x" * (LONGEST_MESSAGE - 1) + "…"
