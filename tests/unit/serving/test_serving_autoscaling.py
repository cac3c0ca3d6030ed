"""How many replicas a load asks for."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.autoscaling import IN_FLIGHT, desired, policy

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray.serve._private.common import DeploymentID, ReplicaID
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

TARGET = 10
LOADS = st.lists(st.floats(0, 1e6), max_size=8)


@pytest.mark.parametrize(
    ("load", "wanted", "expected"),
    [
        (0, 1, 1),
        (10, 1, 1),
        (11, 1, 1),  # a tenth more than the target is near enough
        (11.1, 1, 2),
        (35, 1, 4),
        (40, 4, 4),
        (28, 4, 4),  # three could take it, but with less than a tenth to spare
        (27, 4, 3),
        (9, 4, 1),
        (0, 4, 1),
    ],
)
def test_the_size_follows_the_load_with_a_tenth_to_spare(load: float, wanted: int, expected: int) -> None:
    assert desired([load], 0, wanted, TARGET) == expected


@given(LOADS, st.integers(1, 50), st.integers(1, 100))
def test_a_size_that_was_chosen_for_a_load_is_kept_for_it(loads: list[float], wanted: int, target: int) -> None:
    once = desired(loads, 0, wanted, target)
    assert desired(loads, 0, int(once), target) == once


@given(LOADS, st.integers(0, 8), st.integers(1, 50), st.integers(1, 100))
def test_a_replica_that_does_not_report_changes_no_decision_for_more_and_only_prevents_one_for_fewer(
    loads: list[float], missing: int, wanted: int, target: int
) -> None:
    known, unknown = desired(loads, 0, wanted, target), desired(loads, missing, wanted, target)
    assert unknown == known if known > wanted else known <= unknown <= wanted


@given(LOADS, st.integers(0, 8), st.integers(1, 50), st.integers(1, 100))
def test_there_is_always_one_replica(loads: list[float], missing: int, wanted: int, target: int) -> None:
    assert desired(loads, missing, wanted, target) >= 1


def replica(number: int) -> ReplicaID:
    return ReplicaID(f"r{number}", DeploymentID("model", "app"))


def context(in_flight: dict[int, float], running: int, wanted: int, **bounds: int) -> AutoscalingContext:
    """Ray Serve's question about a version with so many running replicas, some of which have reported."""
    config = AutoscalingConfig(target_ongoing_requests=TARGET, **{"min_replicas": 1, "max_replicas": 8} | bounds)
    told: dict[str, Any] = {
        "deployment_id": replica(0).deployment_id,
        "deployment_name": "model",
        "app_name": "app",
        "current_num_replicas": running,
        "target_num_replicas": wanted,
        "running_replicas": [replica(number) for number in range(running)],
        "total_num_requests": 0.0,
        "total_queued_requests": 0.0,
        "aggregated_metrics": {IN_FLIGHT: {replica(number): value for number, value in in_flight.items()}},
        "raw_metrics": {},
        "capacity_adjusted_min_replicas": config.min_replicas,
        "capacity_adjusted_max_replicas": config.max_replicas,
        "policy_state": {},
        "last_scale_up_time": None,
        "last_scale_down_time": None,
        "current_time": 0.0,
        "config": config,
    }
    return AutoscalingContext(**told)


def test_ray_serve_is_told_by_the_reports_of_running_replicas() -> None:
    assert policy(context({0: 25.0, 1: 10.0}, running=2, wanted=2)) == (4, {})
    assert policy(context({0: 5.0, 1: 0.0}, running=2, wanted=2)) == (1, {})


def test_a_replica_that_is_gone_counts_no_more() -> None:
    assert policy(context({0: 5.0, 7: 60.0}, running=1, wanted=1)) == (1, {})


def test_nobody_goes_while_a_replica_keeps_silent() -> None:
    assert policy(context({0: 5.0}, running=2, wanted=2)) == (2, {})


def test_without_a_running_replica_the_size_stays() -> None:
    assert policy(context({}, running=0, wanted=3)) == (3, {})


def test_without_any_report_the_size_stays() -> None:
    empty = context({}, running=3, wanted=3)
    empty.aggregated_metrics = None
    assert policy(empty) == (3, {})


def test_a_fixed_size_is_no_question_of_load() -> None:
    assert policy(context({0: 1e6}, running=1, wanted=2, min_replicas=2, max_replicas=2)) == (2, {})


def test_the_policy_can_be_carried_to_a_controller_that_has_none_of_this_code() -> None:
    carried = AutoscalingConfig(policy={"policy_function": "serving.autoscaling:policy"}).policy.get_policy()
    assert carried is not policy
    assert carried(context({0: 25.0}, running=1, wanted=1)) == (3, {})
