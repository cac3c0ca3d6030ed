"""What is known of a rollout whose manifest makes no sense."""

from typing import Any

import pytest

from operators.api import status_to_json
from operators.api.types import Serving
from operators.kube.held import stand_in
from operators.status import Revision, RolloutStatus


def serving_of(block: object, ready: int = 0) -> Serving:
    """The size of a rollout with this block, whose stable version had so many replicas."""
    document: dict[str, Any] = {"metadata": {"name": "iris", "namespace": "default"}, "spec": {"serving": block}}
    stable = Revision("0123456789", "{}", "{}")
    rollout = stand_in(document | {"status": status_to_json(RolloutStatus(stable=stable, stable_ready=ready))})
    assert rollout is not None
    return rollout.spec.serving


def test_its_size_stays_what_it_was() -> None:
    assert serving_of({"replicas": 3, "batching": "no"}) == Serving(replicas=3)
    scaled = serving_of({"replicas": 1, "autoscaling": {"maxReplicas": 4}, "of a newer release": 1})
    assert (scaled.sizes, scaled.autoscaling is not None) == ("1-4", True)


@pytest.mark.parametrize("block", [{"replicas": "many"}, {"autoscaling": {"maxReplicas": 9, "of a newer release": 1}}])
def test_where_its_size_cannot_be_read_it_is_what_there_is(block: object) -> None:
    assert serving_of(block, ready=5) == Serving(replicas=5)
    assert serving_of(block) == Serving()


@pytest.mark.parametrize("block", [None, [], {}])
def test_without_a_size_it_is_the_default(block: object) -> None:
    assert serving_of(block, ready=5) == Serving()


@pytest.mark.parametrize("other", [{"of a newer release": "/metrics"}, {"docs": "no path"}, {"docs": None}])
def test_its_paths_stay_its_own_where_another_cannot_be_read(other: dict[str, object]) -> None:
    traffic = {"hosts": ["credit.test"], "paths": {"predict": "/predict"} | other, "match": "none"}
    rollout = stand_in({"metadata": {"name": "credit", "namespace": "default"}, "spec": {"traffic": traffic}})
    assert rollout is not None
    assert rollout.spec.traffic.hosts == ("credit.test",)
    assert rollout.spec.traffic.paths.given == {"predict": "/predict"}
