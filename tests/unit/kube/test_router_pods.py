"""Which router pods count."""

import pytest

from operators.kube.client import Object
from operators.kube.pods import LINGER_SECONDS, router_pod

NOW = 1_800_000_000.0
GOING = "2027-01-15T08:00:30Z"
"""30 seconds after `NOW`."""


def described(*, ready: str = "True", deleted: str | None = None, state: str = "running", **status: object) -> Object:
    containers = [{"name": "router", "state": {state: {}}}]
    metadata: Object = {"name": "router-a"} | ({} if deleted is None else {"deletionTimestamp": deleted})
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]
    return {
        "metadata": metadata,
        "status": {"podIP": "10.0.0.1", "conditions": conditions, "containerStatuses": containers} | status,
    }


@pytest.mark.parametrize(
    ("document", "live"),
    [
        (described(), True),
        (described(ready="False"), False),
        (described(ready="Unknown"), False),
        (described(deleted=GOING), True),
        (described(deleted=GOING, ready="False"), True),
        (described(deleted=GOING, state="terminated"), False),
        ({"metadata": {"name": "router-a"}}, False),
        ({"metadata": {"name": "router-a"}, "status": {"phase": "Pending"}}, False),
    ],
)
def test_a_pod_counts_while_requests_may_reach_it(document: Object, live: bool) -> None:
    assert router_pod(document, NOW).live is live


def test_a_pod_whose_node_is_gone_does_not_count_forever() -> None:
    going = described(deleted=GOING)
    assert router_pod(going, NOW + 30 + LINGER_SECONDS - 1).live
    assert not router_pod(going, NOW + 30 + LINGER_SECONDS + 1).live


def test_a_pod_without_an_address_has_none() -> None:
    assert router_pod(described(podIP=None), NOW).ip == ""
