"""What the operator measures of its decisions."""

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from operators.api import API_VERSION, KIND, ModelRollout, parse_manifest
from operators.kube.metrics import Metrics
from operators.plan import Plan
from operators.status import Candidate, CheckResult, Phase, Revision, RolloutStatus, Verdict

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


def test_a_check_without_a_say_is_shown_and_not_counted(metrics: Metrics) -> None:
    gate = CheckResult("errors", Verdict.PASS, 0.0, 0.01, None, 0.005, 100, "fine")
    shown = replace(gate, name="drift", verdict=Verdict.FAIL, value=0.4, bound=0.2, dry_run=True)
    idle = replace(gate, name="agreement", idle=True)
    metrics.decided(rollout(RolloutStatus()), plan(RolloutStatus(checks=(gate, shown, idle))), 0.001)
    found = samples(metrics)
    counted = {name for name in found if name.startswith("tidegate_check_verdicts_total")}
    assert counted == {f'tidegate_check_verdicts_total{{check="errors",{LABELS},verdict="Pass"}}'}
    of = {"namespace": "default", "name": "iris", "check": "drift"}
    told = metrics.registry.get_sample_value
    assert told("tidegate_check_verdict", of | {"gates": "false", "verdict": "Fail"}) == 1
    assert told("tidegate_check_verdict", of | {"gates": "false", "verdict": "Pass"}) == 0
    assert (told("tidegate_check_value", of), told("tidegate_check_bound", of)) == (0.4, 0.2)
    assert told("tidegate_check_low", of) is None


def test_a_rollout_tells_its_step_and_its_versions(metrics: Metrics) -> None:
    stable, candidate = Revision("v1", "{}", "{}"), Candidate(Revision("v2", "{}", "{}"), 0.0)
    status = RolloutStatus(stable=stable, candidate=candidate, step=2, step_started_at=1_000.0, shadow=10_000)
    metrics.decided(rollout(RolloutStatus()), plan(status), 0.001)
    found = samples(metrics)
    assert found[f"tidegate_rollout_step{{{LABELS}}}"] == 2
    assert found[f"tidegate_rollout_step_started_timestamp_seconds{{{LABELS}}}"] == 1_000
    assert found[f"tidegate_rollout_candidate_shadow_percent{{{LABELS}}}"] == 100
    assert found[f"tidegate_rollout_awaits_promotion{{{LABELS}}}"] == 0
    versions = [name for name in found if name.startswith("tidegate_rollout_version_info")]
    assert versions == [
        f'tidegate_rollout_version_info{{{LABELS},role="stable",version="v1"}}',
        f'tidegate_rollout_version_info{{{LABELS},role="candidate",version="v2"}}',
    ]


def test_what_is_over_is_not_told_any_more(metrics: Metrics) -> None:
    check = CheckResult("errors", Verdict.PASS, 0.0, 0.01, None, None, 100, "fine")
    first = RolloutStatus(candidate=Candidate(Revision("v2", "{}", "{}"), 0.0), step=0, checks=(check,))
    metrics.decided(rollout(RolloutStatus()), plan(first), 0.001)
    metrics.decided(rollout(first), plan(RolloutStatus(stable=Revision("v2", "{}", "{}"))), 0.001)
    found = samples(metrics)
    assert f"tidegate_rollout_step{{{LABELS}}}" not in found
    assert not [name for name in found if 'candidate"' in name or name.startswith("tidegate_check_verdict{")]


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
