"""Whether a label is what the model said."""

import pytest

from monitor.tallies import agrees


@pytest.mark.parametrize(
    ("label", "rows"),
    [
        (1, [1.0]),
        (1.0, [1]),
        ("rose", ["rose", "tulip"]),
        (True, [True]),
        ([0.25, 1], [[0.25, 1.0]]),
        ({"a": [1]}, [{"a": [1.0]}]),
    ],
)
def test_equal_values_agree(label: object, rows: list[object]) -> None:
    assert agrees(label, {"predict": rows, "other": ["else"]}) is True


@pytest.mark.parametrize(
    ("label", "rows"),
    [
        (1, [2]),
        ("1", [1]),
        (1, ["1"]),
        (True, [1]),
        (0, [False]),
        ("Rose", ["rose"]),
        ([1], [[1, 2]]),
        ([1], [1]),
        ({"a": 1}, [{"b": 1}]),
        (1, [None]),
    ],
)
def test_other_values_and_values_of_another_kind_do_not(label: object, rows: list[object]) -> None:
    assert agrees(label, {"predict": rows}) is False


def test_the_first_output_is_the_one_that_counts() -> None:
    assert agrees("a", {"class": ["a"], "score": [0.5]}) is True
    assert agrees("a", {"score": [0.5], "class": ["a"]}) is False


@pytest.mark.parametrize("outputs", [None, {}, {"predict": []}])
def test_without_an_output_nothing_is_said(outputs: dict[str, object] | None) -> None:
    assert agrees(1, outputs) is None
