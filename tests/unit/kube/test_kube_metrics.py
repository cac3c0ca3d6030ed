"""What the operator measures of its decisions."""

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from operators.api import API_VERSION, KIND, ModelRollout, parse_manifest
from operators.kube.metrics import Metrics
from operators.plan import Plan
from operators.status import CheckResult, Phase, RolloutStatus, Verdict

LABELS = 'name="iris",namespace="default"'


def rollout(status: RolloutStatus) -> ModelRollout:
    model = {"uri": "file:///m", "runtime": "sklearn"}
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "iris"}, "spec": {"model": model}}
    return parse_manifest(document).with_status(status)


def plan(status: RolloutStatus) -> Plan:
    return Plan(targets=(), route=None, status=status)


def samples(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    parted = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in parted if name.startswith("tidegate")}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: True)


def test_whether_this_process_leads_is_asked_when_it_is_read() -> None:
    leads = [False]
    metrics = Metrics(lambda: leads[0])
    assert samples(metrics)["tidegate_operator_leader"] == 0
    leads[0] = True
    assert samples(metrics)["tidegate_operator_leader"] == 1


def test_a_rollout_is_in_one_phase(metrics: Metrics) -> None:
    before = RolloutStatus()
    progressing = RolloutStatus(phase=Phase.PROGRESSING, weight=2_550)
    metrics.decided(rollout(before), plan(progressing), 0.002)
    metrics.decided(rollout(progressing), plan(replace(progressing, phase=Phase.HEALTHY)), 0.002)
    found = samples(metrics)
    phases = {phase: found[f'tidegate_rollout_phase{{{LABELS},phase="{phase.value}"}}'] for phase in Phase}
    assert phases == {phase: float(phase is Phase.HEALTHY) for phase in Phase}
    assert found[f"tidegate_rollout_candidate_weight_percent{{{LABELS}}}"] == 25.5
    assert found["tidegate_operator_reconcile_seconds_count"] == 2


def test_a_verdict_counts_when_it_is_reached_anew(metrics: Metrics) -> None:
    check = CheckResult("errors", Verdict.PASS, 0.0, 0.01, None, None, 100, "fine")
    first, second = RolloutStatus(checks=(check,)), RolloutStatus(checks=(replace(check, samples=200),))
    metrics.decided(rollout(RolloutStatus()), plan(first), 0.001)
    metrics.decided(rollout(first), plan(first), 0.001)
    metrics.decided(rollout(first), plan(second), 0.001)
    name = f'tidegate_check_verdicts_total{{check="errors",{LABELS},verdict="Pass"}}'
    assert samples(metrics)[name] == 2


def test_a_decision_that_failed_is_counted_as_such(metrics: Metrics) -> None:
    metrics.decided(rollout(RolloutStatus()), None, 0.001)
    assert samples(metrics)["tidegate_operator_reconcile_failures_total"] == 1


def test_of_a_rollout_that_is_gone_nothing_is_told(metrics: Metrics) -> None:
    check = CheckResult("errors", Verdict.PASS, 0.0, 0.01, None, None, 100, "fine")
    subject = rollout(RolloutStatus())
    metrics.decided(subject, plan(RolloutStatus(checks=(check,))), 0.001)
    metrics.dropped(subject.key)
    assert not [name for name in samples(metrics) if LABELS in name]
    metrics.dropped(subject.key)


def test_the_queue_is_as_deep_as_was_told_last(metrics: Metrics) -> None:
    metrics.queued(3)
    metrics.queued(1)
    assert samples(metrics)["tidegate_operator_queue_depth"] == 1
