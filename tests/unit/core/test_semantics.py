"""The page of semantics is true, complete, and the one that is in the documentation."""

import ast

import pytest
from semantics import COMMANDS, EXPECTED, PAGE, PLACES, ROWS, SITUATIONS, page, played


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_command_does_what_the_page_says_of_the_situation(situation: str, command: str) -> None:
    effect = played(situation, command)
    assert [effect.word, effect.sentence] == EXPECTED[situation][command]


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: make semantics"


def test_the_table_has_every_situation_and_command_and_no_other() -> None:
    assert list(EXPECTED) == list(SITUATIONS)
    assert all(list(cells) == list(COMMANDS) for cells in EXPECTED.values())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("row", ROWS)
def test_what_happens_by_itself_is_shown_by_tests_that_exist(row: str, place: str) -> None:
    assert ROWS[row][place]
    for test in ROWS[row][place]:
        file, _, name = test.partition("::")
        tree = ast.parse((PLACES[place] / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, (
            test
        )
