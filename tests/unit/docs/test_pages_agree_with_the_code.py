"""What README.md and docs/ name exists: files, make targets, commands with their options, manifests, messages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from operators.api import METRICS, parse_manifest
from operators.cli.app import app
from router.translate import replies

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s#]+)(?:#([^)\s]*))?\)")
TITLE = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
MAKE = re.compile(r"^(?:\$ )?make ([\w-]+)")
# The release of the chart has the same name as the command.
TIDEGATE = re.compile(r"(?<!install )(?<!upgrade )\btidegate ([a-z]+)([^`|;)]*)")
ROW = re.compile(r"^\| (`.*?`) \| ", re.MULTILINE)
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")

PLANS = ROOT / "docs" / "progress.md"
"""The only page that may name commands that are still to come."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(page: Path) -> Iterator[str]:
    """Every line of code on a page: those of fenced blocks, and what stands between backticks in the text."""
    text = page.read_text()
    for _, block in FENCE.findall(text):
        yield from block.splitlines()
    yield from SPAN.findall(FENCE.sub("", text))


def manifests() -> Iterator[object]:
    """Every rollout written out as YAML on any page."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text()):
            if language == "yaml" and "kind: ModelRollout" in block:
                yield pytest.param(block, id=page.name)


@every_page
def test_relative_links_lead_to_files_and_their_titles(page: Path) -> None:
    for target, title in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
            assert not title or title in anchors((page.parent / target).read_text()), f"{target}#{title}"


def anchors(text: str) -> set[str]:
    """What GitHub makes of the titles of a page."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in TITLE.findall(text)}


@every_page
def test_named_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found[1] for line in code(page) if (found := MAKE.match(line))}
    assert named - targets == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page != PLANS], ids=lambda page: page.name)
def test_named_commands_and_their_options_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands
    for line in code(page):
        for name, rest in TIDEGATE.findall(line):
            assert name in commands, line
            known = {"--help", "-h", *(option for parameter in commands[name].params for option in parameter.opts)}
            assert set(OPTION.findall(rest)) - known == set(), line


@pytest.mark.parametrize("text", list(manifests()))
def test_written_out_manifests_are_valid(text: str) -> None:
    absolute = text.replace("uri: ./", "uri: file:///models/")  # as `tidegate apply` makes it
    assert parse_manifest(yaml.safe_load(absolute)).spec.model.runtime == "sklearn"


def test_the_pages_are_read() -> None:
    lines = [line for page in PAGES for line in code(page)]
    assert any(MAKE.match(line) for line in lines)
    assert any(TIDEGATE.search(line) for line in lines)
    assert len(list(manifests())) >= 2


def test_troubleshooting_quotes_what_the_code_says() -> None:
    """The first column holds messages, conditions and codes; what stands between `…` is the code's own words."""
    said = "\n".join(texts())
    rows = ROW.findall((ROOT / "docs" / "troubleshooting.md").read_text())
    quoted = [part.strip() for row in rows for span in SPAN.findall(row) for part in re.split("[…=]", span)]
    assert len(rows) > 50
    assert [part for part in quoted if part not in said] == []


def test_troubleshooting_explains_every_error_code() -> None:
    rows = ROW.findall((ROOT / "docs" / "troubleshooting.md").read_text())
    explained = {span for row in rows for span in SPAN.findall(row)}
    codes = set(error_codes())
    assert {"request_timeout", "too_many_rows", "queue_full", "model_not_ready", "starting"} <= codes
    assert {"monitor_unavailable", "feedback_conflict"} <= codes
    assert codes - explained == set()


def error_codes() -> Iterator[str]:
    """Every code that Envoy's own answers have, and every one that stands behind a status in a call."""
    yield from (code for _, code, _ in (*replies.BY_FLAG, *replies.BY_STATUS, replies.FEEDBACK_FAILED))
    for file in (file for folder in ("serving", "router", "monitor") for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                values = [part.value for part in node.args if isinstance(part, ast.Constant)]
                if any(type(value) is int and 400 <= value < 600 for value in values):
                    yield from (value for value in values if isinstance(value, str) and CODE.fullmatch(value))


def texts() -> Iterator[str]:
    """Every text that stands in the code, an f-string's in pieces."""
    for folder in ("operators", "router", "serving", "monitor"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_the_table_of_checks_says_what_the_rules_do() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    table = page.partition("| `metric` | is | bound | versus stable | samples |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[1:]]
    units = {"share": "a share", "duration": "a duration", "number": "a number"}
    assert [(name, bound, versus) for name, _, bound, versus, _ in rows] == [
        (f"`{name}`", f"`{metric.bound}`: {units[metric.unit]}", "yes" if metric.versus else "no")
        for name, metric in METRICS.items()
    ]
