"""`tidegate simulate` as a person types it, and its page."""

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from simulate_kit import ROOT, scenario
from typer.testing import CliRunner, Result

from operators.cli.app import command_line
from operators.cli.program import TIDEGATE
from operators.cli.simulate import simulate
from tests.pages import Reader, commands

PAGE = (ROOT / "docs" / "simulate.md").read_text()
DEMO = "deployments/examples/demo/iris.yaml"
FAILING = "{requestsPerSecond: 500, candidate: {errorRate: 0.5}}"


@pytest.fixture(autouse=True)
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demo's manifests, their models not trained, and the files of the page."""
    (tmp_path / DEMO).parent.mkdir(parents=True)
    for manifest in (ROOT / DEMO).parent.glob("*.yaml"):
        (tmp_path / DEMO).with_name(manifest.name).write_text(manifest.read_text())
    for name, text in re.findall(r"```yaml\n# ([\w-]+\.yaml)(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(f"#{text}")
    (tmp_path / "failing.yaml").write_text(FAILING)
    (tmp_path / "digits.yaml").write_text((ROOT / DEMO).read_text().replace("name: iris}", "name: digits}"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tidegate(*arguments: object) -> Result:
    line = command_line(TIDEGATE)
    line.command()(simulate)
    return CliRunner().invoke(line, [str(argument) for argument in arguments])


def fails(*arguments: object) -> str:
    result = tidegate("simulate", *arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    return result.stderr


def test_the_page_shows_what_the_command_prints() -> None:
    reader = Reader({})
    shown = list(commands(PAGE))
    assert len(shown) == 6
    for command in shown:
        program, *arguments = shlex.split(command.text)
        result = tidegate(*arguments)
        promoted = any(line.startswith("Promoted") for line in command.shown)
        assert (program, result.exit_code) == ("tidegate", 0 if promoted else 2), result.output
        reader.compare(command, result.stdout)


def test_every_field_of_the_page_exists() -> None:
    assert scenario("{}").duration == 86_400
    for event in re.findall(r"^\| `(\{at, .*?\})` \|", PAGE, re.MULTILINE):
        one = yaml.safe_load(event.replace("{at,", "{at: 1m,"))
        if "apply" not in one:
            assert len(scenario(yaml.safe_dump({"events": [one]})).events) == 1
    fields = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", PAGE, re.MULTILINE)
    known = set(scenario().model_dump(by_alias=True)) | set(scenario().candidate.model_dump(by_alias=True))
    assert {name for row in fields for name in row if name} == known


def test_an_aborted_rollout_ends_with_2() -> None:
    result = tidegate("simulate", DEMO, "-s", "failing.yaml")
    assert result.exit_code == 2
    assert "Aborted after " in result.stdout
    assert "check errors failed" in result.stdout


def test_lines_that_go_to_no_terminal_are_whole() -> None:
    lines = tidegate("simulate", DEMO, "-s", "failing.yaml").stdout.splitlines()
    assert any(re.search(r"Degraded .*tidegate retry iris`$", line) for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_the_result_for_programs() -> None:
    result = tidegate("simulate", DEMO, "-s", "failing.yaml", "-o", "json", "--seed", "3")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["outcome"], told["seed"]) == (2, "Aborted", 3)
    assert told["at"] <= told["end"] < 60
    assert sum(version["requests"] for version in told["versions"]) + told["unanswered"] == told["requests"]
    assert told["timeline"][-1]["weights"] == {told["stable"]: 100.0}
    assert told["timeline"][-1]["checks"]["errors"] == "Fail"
    assert {version["version"] for version in told["versions"]} == {told["stable"], told["candidate"]}


@pytest.mark.parametrize("options", [(), ("-s", "late-errors.yaml")], ids=["promoted", "aborted"])
def test_the_picture_has_a_line_for_each_version_and_a_lane_for_each_check(options: tuple[str, ...]) -> None:
    tidegate("simulate", DEMO, *options, "--plot", "story.svg")
    picture = ElementTree.fromstring(Path("story.svg").read_text())
    space = {"svg": "http://www.w3.org/2000/svg"}
    texts = [text.text for text in picture.findall("svg:text", space)]
    titles = [title.text or "" for title in picture.findall(".//svg:title", space)]
    assert {"errors", "latency", "100 %", "0s", "copied"} <= set(texts)
    assert texts[0] == f"modelrollout/iris: {'Aborted' if options else 'Promoted'}"
    assert "errors: Pass" in titles
    assert ("errors: Fail" in titles) == bool(options)
    assert any("step 4 of 9: setWeight 5 %" in title for title in titles)
    assert len(picture.findall("svg:path[@fill='none']", space)) == 3  # two versions, and what is copied


def test_the_picture_has_a_lane_for_selected_requests_and_a_panel_for_an_experiment() -> None:
    tidegate("simulate", "deployments/examples/demo/blue-green.yaml", "--plot", "preview.svg")
    tidegate("simulate", "bandit.yaml", "-s", "clicks.yaml", "--plot", "bandit.svg")
    space = {"svg": "http://www.w3.org/2000/svg"}
    preview, bandit = (ElementTree.parse(f"{name}.svg").getroot() for name in ("preview", "bandit"))
    assert "selected" in [text.text for text in preview.findall("svg:text", space)]
    assert not preview.findall("svg:polyline", space)
    lines = [title.text for title in bandit.findall("svg:polyline/svg:title", space)]
    assert lines == ["control", "forest", "boosted", "linear"]
    assert len(bandit.findall("svg:polygon", space)) == 4
    assert any("boosted" in (text.text or "") for text in bandit.findall("svg:text", space))


def test_an_experiment_for_programs() -> None:
    told = json.loads(tidegate("simulate", "bandit.yaml", "-s", "clicks.yaml", "-o", "json").stdout)
    assert set(told["variants"]) == {"forest", "boosted", "linear"}
    found = {arm["name"]: arm for arm in told["experiment"]}
    assert found["boosted"]["version"] == told["variants"]["boosted"]
    assert found["boosted"]["low"] < found["boosted"]["value"] < found["boosted"]["high"]
    assert sum(arm["weight"] for arm in found.values()) == pytest.approx(100)
    assert sum(arm["best"] for arm in found.values()) == pytest.approx(1)


def test_a_scenario_with_variants_that_the_manifest_does_not_have(examples: Path) -> None:
    assert "clicks.yaml: variants.forest: forest is no variant of the manifest" in fails(DEMO, "-s", "clicks.yaml")


def test_the_running_version_can_be_named(examples: Path) -> None:
    current = (examples / DEMO).read_text().replace("iris-1", "iris-0")
    (examples / DEMO).with_name("current.yaml").write_text(current)
    result = tidegate("simulate", DEMO, "--from", (examples / DEMO).with_name("current.yaml"))
    assert "stands for" not in result.stdout
    assert result.exit_code == 0


def test_a_model_that_is_there_is_known_by_its_bytes(examples: Path) -> None:
    said = []
    (examples / "deployments" / "examples" / "models").mkdir()
    for content in ("one", "two"):
        (examples / "deployments" / "examples" / "models" / "iris-1.joblib").write_text(content)
        said.append(json.loads(tidegate("simulate", DEMO, "-o", "json").stdout)["candidate"])
    assert said[0] != said[1]


def test_other_manifests_of_a_scenario_start_at_its_folder(examples: Path) -> None:
    (examples / "other").mkdir()
    third = (examples / DEMO).read_text().replace("iris-1", "iris-3")
    (examples / "other" / "third.yaml").write_text(third)
    (examples / "other" / "two.yaml").write_text("events: [{at: 1s, apply: third.yaml}]")
    told = json.loads(tidegate("simulate", DEMO, "-s", "other/two.yaml", "-o", "json").stdout)
    assert len(told["versions"]) == 3
    assert told["message"] == f"{told['versions'][-1]['version']} serves all requests"


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (
            "duration: 5\nstable: {errorRate: some}\n",
            ["wrong.yaml: duration: a duration", "wrong.yaml: stable.errorRate: is"],
        ),
        ("events: [{at: 1s, apply: none.yaml}]", ["events[0].apply: ", "none.yaml: no such file or folder"]),
        ("events: [{at: 1s, apply: failing.yaml}]", ["events[0].apply: failing.yaml: apiVersion: must be"]),
        (
            "events: [{at: 1s, apply: digits.yaml}]",
            ["digits.yaml is about modelrollout/default/digits, not default/iris"],
        ),
        ("- 1\n", ["a manifest is a mapping of fields, this is a list"]),
        ("{}\n---\n{}\n", ["holds 2 documents, one is expected"]),
    ],
)
def test_a_scenario_that_makes_no_sense(examples: Path, scenario: str, message: list[str]) -> None:
    (examples / "wrong.yaml").write_text(scenario)
    said = fails(DEMO, "-s", "wrong.yaml")
    assert said.startswith("error: the scenario makes no sense:\n")
    assert [part for part in message if part not in said] == []


def test_a_manifest_that_makes_no_sense(examples: Path) -> None:
    (examples / "wrong.yaml").write_text((examples / DEMO).read_text().replace("spec:", "sepc:", 1))
    assert "error: the manifest is not valid:\nwrong.yaml: sepc: is not a field of this release" in fails("wrong.yaml")
    assert fails("none.yaml") == "error: none.yaml: no such file or folder\n"


def test_the_running_version_must_be_of_the_same_rollout() -> None:
    assert "is about modelrollout/default/iris, but digits.yaml about" in fails(DEMO, "--from", "digits.yaml")


def test_a_picture_that_cannot_be_written() -> None:
    assert "none/story.svg cannot be written: No such file" in fails(DEMO, "--plot", "none/story.svg")
