"""Grafana's dashboards: they come from their generator, and ask for what is there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exported import exported, unknown

from tests.programs.debian import program

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "charts" / "tidegate" / "files" / "dashboards"
LINKS = ROOT / "deployments" / "dashboards"
BOARDS = sorted(FOLDER.glob("*.json"))
INTERVAL = "$__rate_interval"

Json = dict[str, Any]


def board(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


def panels(one: Json) -> list[Json]:
    return [panel for panel in one["panels"] if panel["type"] != "row"]


def variables(one: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in one["templating"]["list"]}


def expressions(one: Json) -> Iterator[str]:
    for panel in panels(one):
        yield from (target["expr"] for target in panel["targets"])
    for variable in variables(one).values():
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert found, variable
            yield f"count by ({found[2]}) ({found[1]})"


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    command = [sys.executable, str(LINKS / "generate.py"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in BOARDS
    }


def test_the_deployments_folder_leads_to_the_same_files() -> None:
    links = sorted(LINKS.glob("*.json"))
    assert [path.resolve() for path in links] == BOARDS
    assert {path.name for path in BOARDS} == {"data.json", "fleet.json", "platform.json", "rollout.json"}


async def test_every_query_asks_for_what_is_exported(tmp_path: Path) -> None:
    known = await exported(tmp_path)
    assert not unknown((expression for path in BOARDS for expression in expressions(board(path))), known)


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": re.sub(r"\$\w+", "x", expression.replace(INTERVAL, "5m"))}
        for number, expression in enumerate(expression for path in BOARDS for expression in expressions(board(path)))
    ]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    command = [program("promtool"), "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_what_is_exported_is_not_taken_on_trust(tmp_path: Path) -> None:
    known = await exported(tmp_path)
    assert unknown(["rate(tidegate_no_such_thing_total[5m])"], known)
    assert unknown(['model_accuracy{name="iris"}'], known)
    assert unknown(["sum by (feature) (model_accuracy)"], known)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_a_name_that_stays_and_asks_the_chosen_source(path: Path) -> None:
    one = board(path)
    assert one["uid"] == f"tidegate-{path.stem}"
    assert variables(one)["datasource"]["type"] == "datasource"
    for panel in panels(one):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_variables_are_those_that_can_be_chosen(path: Path) -> None:
    one = board(path)
    used = {name for text in expressions(one) for name in re.findall(r"\$(\w+)", text.replace(INTERVAL, ""))}
    assert used == variables(one).keys() - {"datasource"}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_do_not_lie_on_each_other(path: Path) -> None:
    one = board(path)
    places = [panel["gridPos"] for panel in one["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in one["panels"]}) == len(one["panels"])
