"""Which records are the halves of a pair, and how far two answers are apart."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.store.pairing import Agreement, Half, agreement, first_output, first_row, paired

numbers = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2], [1.0, 2.0], Agreement(agree=True, difference=0.0, relative=0.0)),
        ([0, 100], [0, 101], Agreement(agree=False, difference=1, relative=1 / 101)),
        ([1, 1000], [2, 1010], Agreement(agree=False, difference=10, relative=0.5)),
        ([[0.25, 0.75]], [[0.5, 0.5]], Agreement(agree=False, difference=0.25, relative=0.5)),
        ([1, None], [1, None], Agreement(agree=True, difference=0, relative=0)),
        ([-1], [1], Agreement(agree=False, difference=2, relative=2.0)),
        (["a", "b"], ["a", "b"], Agreement(agree=True, difference=None, relative=None)),
        (["a", "b"], ["a", "c"], Agreement(agree=False, difference=None, relative=None)),
        ([1], ["1"], Agreement(agree=False, difference=None, relative=None)),
        ([1], [True], Agreement(agree=False, difference=None, relative=None)),
        ([1, None], [1, 2], Agreement(agree=False, difference=None, relative=None)),
        ([1, 2], [1], Agreement(agree=False, difference=None, relative=None)),
        ([None], [None], Agreement(agree=True, difference=None, relative=None)),
        ([{"x": 1}], [{"x": 1.0}], Agreement(agree=True, difference=None, relative=None)),
    ],
)
def test_two_answers_are_as_far_apart_as_their_farthest_rows(
    one: list[object], other: list[object], expected: Agreement
) -> None:
    assert agreement(one, other) == expected


@given(st.lists(st.tuples(numbers, numbers), min_size=1), st.floats(0, 1))
def test_numbers_agree_within_a_tolerance_when_the_relative_difference_is_not_above_it(
    rows: list[tuple[float, float]], tolerance: float
) -> None:
    one, other = [list(values) for values in zip(*rows, strict=True)]
    found = agreement(one, other)
    assert found.relative is not None
    assert found.agree == (found.relative == 0)
    edge = isclose(found.relative, tolerance, rel_tol=1e-9)  # where rounding decides
    assert edge or (found.relative <= tolerance) == all(isclose(a, b, rel_tol=tolerance) for a, b in rows)


@given(st.lists(numbers), st.lists(st.one_of(numbers, st.text(), st.none())))
def test_it_does_not_matter_which_answer_comes_first(one: list[object], other: list[object]) -> None:
    assert agreement(one, other) == agreement(other, one)


@pytest.mark.parametrize("outputs", [None, {}, {"predict": []}, {"predict": "text"}])
def test_without_a_recorded_output_there_is_nothing_to_compare(outputs: dict[str, object] | None) -> None:
    assert first_output(outputs) == []
    assert first_row(outputs) is None


def test_the_first_output_is_compared_whatever_its_name() -> None:
    one = Half("1", "v1", False, 7, {"predict": [1], "score": [0.5]})
    other = Half("1", "v2", True, 9, {"class": [1], "score": [0.9]})
    (only,) = paired([one, other])
    assert (only.at, only.stable, only.candidate, only.agreement.agree) == (7, "v1", "v2", True)
    assert list(paired([other, one])) == [only]


def test_of_an_id_used_several_times_the_first_answers_are_the_halves() -> None:
    halves = [
        Half("1", "v2", True, 2, {"predict": ["copy"]}),
        Half("1", "v1", False, 1, {"predict": ["first"]}),
        Half("1", "v1", False, 3, {"predict": ["second"]}),
        Half("1", "v2", True, 4, {"predict": ["later copy"]}),
        Half("1", "v3", True, 4, {"predict": ["another candidate's"]}),
    ]
    found = [(one.candidate, one.one, one.other) for one in paired(halves)]
    assert found == [("v2", ["first"], ["copy"]), ("v3", ["first"], ["another candidate's"])]


def test_two_live_answers_two_copies_and_two_answers_of_one_version_are_no_pairs() -> None:
    said = {"predict": [1]}
    live = [Half("1", "v1", False, 1, said), Half("1", "v2", False, 1, said)]
    copies = [Half("2", "v1", True, 1, said), Half("2", "v2", True, 1, said)]
    own = [Half("3", "v1", False, 1, said), Half("3", "v1", True, 1, said)]
    assert list(paired([*live, *copies, *own])) == []
