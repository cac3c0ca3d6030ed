"""The alert rules: Prometheus takes them, they fire when they must, and a page says what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported import exported, unknown

from tests.programs.debian import program

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts" / "tidegate" / "files" / "alerts" / "tidegate.yaml"
HISTORIES = Path(__file__).with_name("alerts.yaml")
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]


def promtool(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(RULES))


def test_the_rules_fire_when_they_must_and_only_then(tmp_path: Path) -> None:
    histories = tmp_path / "alerts.yaml"
    histories.write_text(HISTORIES.read_text().replace("RULES", str(RULES)))
    promtool("test", "rules", str(histories))


@pytest.mark.parametrize("wanted", [True, False], ids=["fires", "does not fire"])
def test_there_is_a_history_for_every_alert(wanted: bool) -> None:
    cases = [case for test in yaml.safe_load(HISTORIES.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    # Where one of several subjects fires, those beside it must not: the list of what is expected is complete.
    among = {"TidegateRolloutWaits", "TidegateCheckInconclusive", "TidegateErrorsBurnFast", "TidegateErrorsBurnSlowly"}
    among |= {"TidegateFeatureDrift", "TidegatePredictionDrift", "TidegateDataQuality"}
    every = {rule["alert"] for rule in ALERTS}
    assert (fires if wanted else quiet | among) == every


async def test_rules_ask_for_what_is_exported(tmp_path: Path) -> None:
    assert not unknown((rule["expr"] for rule in ALERTS), await exported(tmp_path))


def test_a_page_says_what_to_do_about_every_alert() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    sections = re.findall(r"^## (Tidegate\w+)$\n\n(\S.*)", page, re.MULTILINE)
    assert [name for name, _ in sections] == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description"} < rule["annotations"].keys()


def test_the_deployments_folder_leads_to_the_same_file() -> None:
    assert (ROOT / "deployments" / "alerts" / "tidegate.yaml").resolve() == RULES
