"""What is wrong with a batch of records, by rule, field and row."""

from collections.abc import Sequence

import numpy as np
import pytest

from monitor.profiles import Profile
from monitor.quality import Field, Finding, QualityReport, Rule, Type, check, schema_of
from monitor.verdict import Verdict


def findings(values: Sequence[object], field: Field) -> tuple[Finding, ...]:
    return check({"x": values}, {"x": field}).findings


def found(values: Sequence[object], field: Field) -> dict[Rule, tuple[int, ...]]:
    return {finding.rule: finding.rows for finding in findings(values, field)}


def test_a_batch_that_is_as_the_schema_says_passes() -> None:
    schema = {"n": Field(Type.NUMBER, 0, 10), "c": Field(Type.STRING, categories=frozenset({"a", "b"}), unique=True)}
    assert check({"n": [1, 2.5], "c": ["a", "b"]}, schema) == QualityReport(
        Verdict.PASS, 2, (), "2 rows are as the schema says"
    )


def test_missing_values_are_counted_and_their_rows_named() -> None:
    (finding,) = findings([1.0, None, float("nan"), 2.0], Field())
    assert (finding.field, finding.rule, finding.count, finding.share, finding.rows) == (
        "x",
        Rule.MISSING,
        2,
        0.5,
        (1, 2),
    )
    assert finding.message == "x has no value in 2 of 4 rows (1, 2); 0.00% allowed"


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Type.NUMBER, [1, 1.5, np.float32(1), np.int8(1)], ["1", True, b"1", [1]]),
        (Type.INTEGER, [1, 1.0, np.int64(2), np.float64(3)], [1.5, "1", False, float("inf")]),
        (Type.STRING, ["", "a"], [1, b"a", True]),
        (Type.BOOLEAN, [True, np.bool_(False)], [1, 0.0, "true"]),
    ],
)
def test_types_are_told_apart(kind: Type, right: list[object], wrong: list[object]) -> None:
    rows = {finding.rule: finding.rows for finding in findings([*right, *wrong], Field(kind))}
    assert rows.pop(Rule.TYPE) == tuple(range(len(right), len(right) + len(wrong)))
    assert rows == {}


def test_values_out_of_range_are_found_and_the_ends_belong_to_it() -> None:
    assert found([0, 1, 10, 11, -1, float("inf"), "text"], Field(low=0, high=10)) == {Rule.RANGE: (3, 4, 5)}
    assert found([-1e9, 11], Field(high=10)) == {Rule.RANGE: (1,)}
    assert found([float("-inf"), 11], Field()) == {Rule.RANGE: (0,)}


def test_unseen_categories_are_found_and_named() -> None:
    (finding,) = findings(["a", "z", 1.0, "y"], Field(categories=frozenset({"a", "1"})))
    assert finding.rows == (1, 3)
    assert "is an unseen category ('y', 'z') in 2 of 4 rows" in finding.message


def test_values_that_repeat_are_found_where_they_do_so() -> None:
    assert found(["a", "b", "a", 1, 1.0, None, None], Field(unique=True, max_missing=1)) == {
        Rule.MISSING: (5, 6),
        Rule.UNIQUE: (2, 4),
    }


def test_a_value_of_the_wrong_type_is_not_judged_further() -> None:
    assert found(["100"], Field(Type.NUMBER, 0, 10, frozenset({"1"}))) == {Rule.TYPE: (0,)}


def test_what_the_schema_tolerates_is_reported_and_passes() -> None:
    report = check({"x": [None, 1, 2, 99]}, {"x": Field(Type.NUMBER, 0, 10, max_missing=0.25, max_invalid=0.25)})
    assert [finding.tolerated for finding in report.findings] == [True, True]
    assert report.verdict is Verdict.PASS
    report = check({"x": [None, None, 2, 3]}, {"x": Field(max_missing=0.25)})
    assert report.verdict is Verdict.FAIL


def test_fields_that_are_absent_or_unexpected_are_found() -> None:
    report = check({"new": [1, 2]}, {"old": Field(), "optional": Field(max_missing=1.0)})
    assert [(finding.field, finding.rule) for finding in report.findings] == [
        ("old", Rule.ABSENT),
        ("new", Rule.UNEXPECTED),
    ]
    assert report.message == "old: the field is absent; new: the schema has no such field"


def test_at_most_five_rows_are_named() -> None:
    (finding,) = findings([None] * 100, Field())
    assert (finding.count, finding.rows) == (100, (0, 1, 2, 3, 4))
    assert "(0, 1, 2, 3, 4, …)" in finding.message


@pytest.mark.parametrize("columns", [{}, {"x": []}])
def test_no_rows_are_inconclusive(columns: dict[str, list[object]]) -> None:
    assert check(columns, {"x": Field()}).verdict is Verdict.INCONCLUSIVE


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        check({"x": [1], "y": []}, {})


def test_a_reference_suggests_a_schema_that_it_fulfils_itself() -> None:
    columns: dict[str, list[object]] = {
        "n": [0.0, 10.0, None, 5.0],
        "c": ["a", "b", "a", None],
        "empty": [None] * 4,
    }
    schema = schema_of(Profile.of(columns))
    assert (schema["n"].low, schema["n"].high, schema["n"].max_missing) == (-5.0, 15.0, 0.5)
    assert schema["c"].categories == frozenset({"a", "b"})
    assert check(columns, schema).verdict is Verdict.PASS
    assert check(columns | {"n": [0.0, 16.0, 5.0, 5.0]}, schema).verdict is Verdict.FAIL


def test_new_names_are_tolerated_where_the_reference_shows_that_they_come() -> None:
    schema = schema_of(Profile.of({"id": [f"id-{n}" for n in range(500)], "color": ["red", "blue"] * 250}))
    (finding,) = check({"id": ["other"] * 100, "color": ["red"] * 100}, schema).findings
    assert (finding.field, finding.rule, finding.tolerated) == ("id", Rule.CATEGORY, True)
    assert check({"id": ["id-1"] * 100, "color": [*["red"] * 99, "pink"]}, schema).verdict is Verdict.FAIL
    rare = schema_of(Profile.of({"city": [*["Rome", "Paris"] * 49, "Lund", "Bath"]}))["city"]
    assert rare.max_invalid == 0.04


def test_a_reference_with_too_many_categories_asks_for_none() -> None:
    schema = schema_of(Profile.of({"id": [str(n) for n in range(2000)]}))
    assert schema["id"].categories is None
