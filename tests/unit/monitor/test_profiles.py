"""What a profile keeps of records, and how it is written down."""

import json

import numpy as np
import pytest

from monitor.profiles import (
    MAX_CATEGORIES,
    SAMPLE_SIZE,
    CategoricalColumn,
    Kind,
    NumericColumn,
    Profile,
    ProfileError,
    category,
    mix,
    number,
)


def numeric(profile: Profile, name: str = "x") -> NumericColumn:
    column = profile.columns[name]
    assert isinstance(column, NumericColumn)
    return column


def categorical(profile: Profile, name: str = "x") -> CategoricalColumn:
    column = profile.columns[name]
    assert isinstance(column, CategoricalColumn)
    return column


def test_numbers_are_summarised_and_what_is_none_is_counted_as_missing() -> None:
    profile = Profile.of({"x": [1.0, None, 2, float("nan"), "four", float("inf"), 10**400, 3.0]}, {"x": Kind.NUMERIC})
    column = numeric(profile)
    assert (column.count, column.missing, column.low, column.high, column.mean) == (3, 5, 1.0, 3.0, 2.0)
    assert column.variance == pytest.approx(1.0)
    assert sorted(column.sample) == [1.0, 2.0, 3.0]
    assert column.quantile(0.5) == 2.0


def test_moments_agree_with_numpy_far_from_zero() -> None:
    values = np.random.default_rng(1).normal(1e9, 1e-3, size=5000)
    column = numeric(Profile.of({"x": values}))
    assert column.mean == pytest.approx(values.mean(), rel=1e-12)
    assert column.variance == pytest.approx(values.var(ddof=1), rel=1e-6)


def test_the_sample_is_drawn_evenly_from_all_records() -> None:
    values = np.arange(100_000.0)
    sample = np.array(numeric(Profile.of({"x": values})).sample)
    assert len(sample) == SAMPLE_SIZE == len(set(sample))
    # Kolmogorov's distance of an even sample stays below 1.95 / sqrt(k) in 999 of 1000 cases.
    ranks = np.sort(sample) / 100_000
    assert np.abs(ranks - np.arange(SAMPLE_SIZE) / SAMPLE_SIZE).max() < 1.95 / SAMPLE_SIZE**0.5


def test_columns_are_sampled_apart_so_that_records_cannot_be_put_together_again() -> None:
    values = np.arange(100_000.0)
    profile = Profile.of({"one": values, "two": values})
    both = set(numeric(profile, "one").sample) & set(numeric(profile, "two").sample)
    assert len(both) < 100  # 42 are expected of independent samples


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("red", "red"),
        (1, "1"),
        (1.0, "1"),
        (np.float32(1.0), "1"),
        (np.int64(1), "1"),
        (1.5, "1.5"),
        (True, "true"),
        (np.bool_(False), "false"),
        (float("inf"), "inf"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_a_category_has_one_name_however_it_is_typed(value: object, name: str | None) -> None:
    assert category(value) == name


def test_the_name_of_a_very_long_category_is_short_and_its_own() -> None:
    one, two = category("x" * 10_000 + "1"), category("x" * 10_000 + "2")
    assert one is not None
    assert one != two
    assert len(one) < 250


def test_of_too_many_categories_some_are_kept_exactly_and_the_others_together() -> None:
    values = [f"c{n}" for n in range(5000) for _ in range(n % 3 + 1)]
    column = categorical(Profile.of({"x": values}))
    assert len(column.categories) == MAX_CATEGORIES
    assert column.count == len(values) == column.other + sum(column.categories.values())
    assert all(count == int(name[1:]) % 3 + 1 for name, count in column.categories.items())


def test_kinds_are_guessed_unless_they_are_declared() -> None:
    columns = {"f": [1.5, None], "s": ["a", None], "b": [True, False], "n": np.array([1, 2]), "class": [0, 1]}
    assert Profile.of(columns, {"class": Kind.CATEGORICAL}).kinds == {
        "f": Kind.NUMERIC,
        "s": Kind.CATEGORICAL,
        "b": Kind.CATEGORICAL,
        "n": Kind.NUMERIC,
        "class": Kind.CATEGORICAL,
    }


def test_a_profile_survives_json_and_holds_nothing_that_json_lacks() -> None:
    profile = Profile.of({"x": [1.0, 2.5], "none": [None, None], "c": ["\ud800", "ü"]}, {"none": Kind.NUMERIC})
    text = profile.to_json()
    json.loads(text, parse_constant=pytest.fail)
    assert Profile.from_json(text) == profile
    assert Profile.from_json(text.encode()).to_json() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema":1,"rows":1}',
        '{"schema":1,"rows":1,"columns":{"x":{"kind":"text"}}}',
        '{"schema":1,"rows":1,"columns":{"x":{"kind":"numeric"}}}',
        '{"schema":1,"rows":1,"columns":{"x":{"kind":"numeric","priorities":[1],"sample":[]}}}',
        '{"schema":1,"rows":1,"columns":{"x":{"kind":"categorical","colour":1}}}',
    ],
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ProfileError):
        Profile.from_json(text)


@pytest.mark.parametrize(
    ("column", "change", "why"),
    [
        ("x", {"sample": [], "priorities": []}, "a sample has all values up to 2048"),
        ("x", {"sample": [1.0], "priorities": [1]}, "a sample has all values up to 2048"),
        ("x", {"count": -1}, "a negative number"),
        ("c", {"missing": -1}, "a negative number"),
        ("x", {"low": 9.0}, "the lowest value is above the highest"),
        ("x", {"low": None}, "no profile"),
        ("c", {"categories": {"a": 3}}, "do not add up"),
        ("c", {"categories": {"a": 3, "b": -1}}, "do not add up"),
        ("c", {"other": "a"}, "no profile"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(column: str, change: dict[str, object], why: str) -> None:
    document = json.loads(Profile.of({"x": [1.0, 2.0], "c": ["a", "b"]}).to_json())
    document["columns"][column] |= change
    with pytest.raises(ProfileError, match=why):
        Profile.from_json(json.dumps(document))


def test_a_profile_of_another_release_is_refused_by_its_number() -> None:
    with pytest.raises(ProfileError, match="schema 2; this release reads 1"):
        Profile.from_json('{"schema":2,"rows":0,"columns":{}}')


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ProfileError, match="one length"):
        Profile.of({"x": [1], "y": [1, 2]})
    with pytest.raises(ProfileError, match="one length"):
        Profile.of({"x": [1]}, ids=["a", "b"])


def test_a_column_that_one_part_lacks_was_missing_there() -> None:
    merged = Profile.of({"x": [1.0]}).merge(Profile.of({"y": ["a", "b"]}))
    assert merged.rows == 3
    assert (numeric(merged).count, numeric(merged).missing) == (1, 2)
    assert (categorical(merged, "y").count, categorical(merged, "y").missing) == (2, 1)


def test_a_column_that_is_a_number_here_and_a_category_there_cannot_be_merged() -> None:
    with pytest.raises(ProfileError, match="x is numeric in one profile and categorical in the other"):
        Profile.of({"x": [1.0]}).merge(Profile.of({"x": ["a"]}))


def test_nothing_can_be_merged_with_anything() -> None:
    profile = Profile.of({"x": [1.0, 2.0], "c": ["a", "b"]})
    assert Profile().merge(profile) == profile == profile.merge(Profile())


def test_splitmix_gives_the_published_numbers() -> None:
    # The first outputs of the reference implementation for seed 1234567 are mix(seed + n * golden ratio).
    golden = 0x9E3779B97F4A7C15
    seeds = np.array([(1234567 + n * golden) % 2**64 for n in range(3)], dtype=np.uint64)
    assert mix(seeds).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_what_has_no_float_is_no_number() -> None:
    assert np.isnan([number(one) for one in ("1", None, 1j, np.complex128(1), 10**400)]).all()
    assert [number(one) for one in (1, 1.5, True, np.float32(2))] == [1.0, 1.5, 1.0, 2.0]
