"""docs/convert.md shows what the code does."""

import re
from pathlib import Path

import pytest
import yaml
from convert_kit import converted

from operators.convert import SOURCES, Kind

PAGE = (Path(__file__).parents[3] / "docs" / "convert.md").read_text()
GIVEN, BECOMES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_becomes_what_stands_beside_it() -> None:
    (found,) = converted(GIVEN)
    assert found.rollout == yaml.safe_load(BECOMES)


def test_what_is_said_about_the_example_is_quoted() -> None:
    (found,) = converted(GIVEN)
    assert [line for line in PAGE.splitlines() if line.startswith("iris.yaml:")] == [
        f"iris.yaml:1: {note}" for note in found.notes
    ]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
def test_every_source_has_a_section(source: object) -> None:
    assert f"`{source.kind}`, `{source.groups[0]}/{source.version}`\n" in PAGE  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_note_is_explained(kind: Kind) -> None:
    assert f"| `{kind.value}` | " in PAGE
