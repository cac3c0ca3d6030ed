"""Checks on what Prometheus or a web address says."""

from math import inf, nan
from typing import Any

import pytest
from core_world import counters

from operators.analysis import Basis, evaluate
from operators.api import Check
from operators.observe import Measured
from operators.status import CheckResult, Verdict

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
WEB = {"web": {"url": "http://scores.example/{{version}}", "value": "/score"}}


def judge(measured: Measured | None, **fields: Any) -> CheckResult:
    one = Check.model_validate({"name": "c", "prometheus": {"query": "up"}} | fields)
    known = {} if measured is None else {"c": measured}
    return evaluate([one], Basis(candidate=counters(10), measured=known))[0]


@pytest.mark.parametrize(
    ("fields", "values", "verdict"),
    [
        ({"max": 2.0}, (1.0,), PASS),
        ({"max": 2.0}, (2.0,), PASS),
        ({"max": 2.0}, (1.0, 3.0), FAIL),
        ({"min": 2.0}, (3.0, 1.0), FAIL),
        ({"min": 2.0}, (1.0, 3.0), PASS),
        ({"min": 1.0, "max": 2.0}, (1.5,), PASS),
        ({"min": 1.0, "max": 2.0}, (0.5,), FAIL),
        ({"min": 1.0, "max": 2.0}, (2.5,), FAIL),
        ({"max": 2.0, "failureLimit": 2}, (1.0, 3.0, 3.0), OPEN),
        ({"max": 2.0, "failureLimit": 2}, (1.0, 3.0, 3.0, 3.0), FAIL),
        ({"max": 2.0, "failureLimit": 2}, (3.0, 3.0, 3.0, 1.0), PASS),
        ({"max": 2.0, "failureLimit": 2}, (3.0, 3.0, nan, 3.0), OPEN),
        ({"max": 2.0}, (1.0, nan), OPEN),
        ({"max": 2.0}, (1.0, inf), OPEN),
        ({"max": 2.0}, (), OPEN),
    ],
)
def test_readings_are_held_against_their_bounds(
    fields: dict[str, Any], values: tuple[float, ...], verdict: Verdict
) -> None:
    assert judge(Measured(values), **fields).verdict is verdict


def test_what_brings_no_reading_is_inconclusive_and_says_why() -> None:
    down = judge(Measured((9.0, 9.0), "Prometheus cannot be reached: connection refused"), max=2.0)
    assert (down.verdict, down.message) == (OPEN, "prometheus: Prometheus cannot be reached: connection refused")
    nothing = judge(None, max=2.0, **WEB, prometheus=None)
    assert (nothing.verdict, nothing.message) == (OPEN, "web: there is no reading yet")
    assert judge(Measured((1.0, nan)), max=2.0).message == (
        "prometheus: the newest reading is nan, which is no number to judge by"
    )


def test_a_message_names_value_bounds_and_how_many_are_out_of_them() -> None:
    result = judge(Measured((1.0, 0.25, 0.5)), min=1.0, max=2.0, failureLimit=1)
    assert result.message == (
        "prometheus is 0.5, at least 1 and at most 2 allowed: 3 readings, the last 2 out of bounds, 1 in a row may be"
    )
    assert (result.value, result.bound, result.samples) == (0.5, 1.0, 3)
    above = judge(Measured((2.5,)), min=1.0, max=2.0)
    assert (above.value, above.bound) == (2.5, 2.0)
    assert judge(Measured((1.5,)), max=2.0, prometheus=None, **WEB).message == (
        "web is 1.5, at most 2 allowed: 1 reading"
    )


def test_a_step_asks_for_requests_beside_the_readings() -> None:
    one = Check.model_validate({"name": "c", "max": 2.0} | WEB)
    basis = Basis(candidate=counters(499), measured={"c": Measured((1.0,))})
    assert evaluate([one], basis, min_samples=499)[0].verdict is PASS
    assert evaluate([one], basis, min_samples=500)[0].verdict is OPEN
