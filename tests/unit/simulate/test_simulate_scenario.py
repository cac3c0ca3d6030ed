"""Scenarios: what they mean, and what is said about one that makes no sense."""

import json
from pathlib import Path

import pytest
from simulate_kit import ERRORS, play, rollout, scenario

from operators.simulate import InvalidScenario, Outcome, Scenario, simulate
from operators.simulate.recorded import load


def test_no_scenario_is_a_healthy_candidate() -> None:
    assert scenario() == Scenario()
    result = simulate(rollout())
    assert (result.outcome, result.errors) == (Outcome.PROMOTED, 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("stabel: {}", "stabel: is not a field of a scenario"),
        ("duration: 60", "duration: a duration needs a unit: write 60s, or another of ms, s, m, h, d"),
        ("acknowledgeAfter: 0s", "acknowledgeAfter: is 0.0: input should be greater than 0"),
        ("requestsPerSecond: -1", "requestsPerSecond[0].rps: is -1: input should be greater than or equal to 0"),
        ("requestsPerSecond: [{at: 1m}]", "requestsPerSecond[0].rps: is required"),
        ("candidate: {errorRate: 2}", "candidate.errorRate: is 2: input should be less than or equal to 1"),
        ("candidate: {latency: {p50: 5ms, p99: 5ms}}", "candidate.latency: p99 must be more than p50"),
        (
            "candidate: {changes: [{at: 5s}]}",
            "candidate.changes[0]: names none of errorRate, latency, reward, accuracy, agreement: nothing would change",
        ),
        ("events: [{command: abort}]", "events[0].at: is required"),
        ("events: [{at: 1s, command: stop}]", 'events[0].command: is "stop": must be promote (with --full or'),
        ("events: [{at: 1s, command: promote --variant}]", 'events[0].command: is "promote --variant": must be'),
        ("events: [{at: 1s}]", "events[0]: must be exactly one of command, rayUnreachable, routerUnacknowledged,"),
        ("events: [{at: 1s, command: abort, rayUnreachable: 1s}]", "events[0]: must be exactly one of command,"),
        ("events: [{at: 1s, command: abort, behaves: {}}]", "events[0]: behaves belongs to apply"),
        ("candidate: {reward: 2}", "candidate.reward: is 2: a reward of 0 or 1 is 1 with a probability; else name a"),
        ("candidate: {reward: {mean: 2, deviation: 0}}", "candidate.reward.deviation: is 0: input should be greater"),
        ("variants: {b: {accuracy: 1.5}}", "variants.b.accuracy: is 1.5: input should be less than or equal to 1"),
        ("matching: 2%", 'matching: is "2%": input should be a valid number'),
        ("events: [{at: 1s, apply: 3}]", "events[0].apply: must be the name of a file with a manifest"),
        ("candidate: {recorded: seen.csv}", "candidate.recorded: must be {file: requests.csv}, or with a version"),
        ("candidate: {recorded: {file: none.csv}}", "candidate.recorded: none.csv cannot be read: No such file"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_the_field(text: str, problem: str) -> None:
    with pytest.raises(InvalidScenario) as refused:
        scenario(text)
    assert len(refused.value.problems) == 1
    assert str(refused.value).startswith(problem)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidScenario) as refused:
        scenario("{duration: 5, stable: {readyAfter: soon}, events: [{at: 1s}]}")
    assert [problem.field for problem in refused.value.problems] == ["duration", "stable.readyAfter", "events[0]"]


CSV = "time,version,status,milliseconds\n1,v1,200,3\n2,v2,503,80\n3,v2,200,40\n4,v2,200,20\n5,v2,404,60\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "seen.csv").write_text(CSV)
    return tmp_path / "seen.csv"


def test_a_log_says_how_a_version_behaves(log: Path) -> None:
    recording = load(log, "v2")
    assert recording.error_rate == 0.25
    assert recording.latency.milliseconds == (20.0, 40.0, 60.0, 80.0)
    assert load(log, None).error_rate == 0.2


def test_lines_of_json_are_a_log_too(tmp_path: Path) -> None:
    lines = [{"version": 2, "status": 200, "milliseconds": 7.5}, {"version": 1, "status": 500, "milliseconds": 1}]
    (tmp_path / "seen.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    assert load(tmp_path / "seen.jsonl", "2").latency.milliseconds == (7.5,)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "status,milliseconds\n200,1\nok,2\n", "a.csv:3: needs a status and milliseconds, both numbers"),
        ("a.csv", "status\n200\n", "a.csv:2: needs a status and milliseconds, both numbers"),
        ("a.csv", "status,milliseconds\n200,-1\n", "a.csv:2: -1.0 milliseconds is no time that a request takes"),
        ("a.csv", "status,milliseconds\n", "a.csv holds no request of version v2"),
        ("a.jsonl", "{}\n", "a.jsonl holds no request of version v2"),
        ("a.jsonl", '{"version": "v2"}\n', "a.jsonl:1: needs a status and milliseconds"),
        ("a.jsonl", "\n[]\n", "a.jsonl:2: is no JSON object"),
        ("a.jsonl", "{\n", "a.jsonl:1: not JSON: "),
        ("a.csv", "\xff", "a.csv is not UTF-8 text (byte 0)"),
    ],
)
def test_a_log_that_makes_no_sense_is_refused_with_the_line(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    version = None if "version" not in text and "no request" not in problem else "v2"
    with pytest.raises(ValueError) as refused:
        load(tmp_path / name, version)
    assert problem in str(refused.value)


def test_a_recorded_candidate_is_replayed(log: Path) -> None:
    steps = [{"setWeight": 50}, {"analysis": {"minSamples": 500}}]
    manifest = rollout(steps=steps, analysis={"interval": "1s", "checks": [ERRORS]})
    result = simulate(manifest, scenario("candidate: {recorded: {file: seen.csv, version: v2}}", log.parent))
    assert result.outcome is Outcome.ABORTED
    assert simulate(manifest, scenario("candidate: {recorded: {file: seen.csv, version: v1}}", log.parent)).errors == 0


def test_a_recorded_version_can_change(log: Path) -> None:
    text = "candidate: {recorded: {file: seen.csv}, changes: [{at: 10s, errorRate: 0}]}"
    candidate = scenario(text, log.parent).candidate
    assert [candidate.at(time).error_rate for time in (9.0, 10.0)] == [0.2, 0.0]
    assert candidate.at(10.0).latency == candidate.at(0.0).latency


def test_a_version_is_either_recorded_or_described(log: Path) -> None:
    with pytest.raises(InvalidScenario, match="candidate: is either recorded or described by errorRate and latency"):
        scenario("candidate: {recorded: {file: seen.csv}, errorRate: 0.1}", log.parent)


def test_the_manifest_of_the_running_version_decides_what_is_a_new_one() -> None:
    same = rollout("1")
    result = play(same, "{candidate: {errorRate: 1.0}, requestsPerSecond: [{rps: 10}, {at: 1m, rps: 0}]}")
    assert (result.stable, result.outcome, result.at) == (result.candidate, Outcome.PROMOTED, 0.0)
    assert (result.requests > 0, result.errors) == (True, 0)
