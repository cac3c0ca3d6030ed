"""Whatever the records: a tally of parts is the tally of the whole, in any order, and survives JSON."""

from collections.abc import Sequence
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.agreement import ClassTally, NumberTally, Pair, Tolerance
from monitor.performance import ClassificationTally, LabelLag, RegressionTally
from monitor.profiles import CategoricalColumn, Kind, NumericColumn, Profile

# The same examples in every run, however slow the machine.
steady = settings(derandomize=True, deadline=None)
few = settings(steady, max_examples=30)

NUMBERS = st.floats(-1e6, 1e6)
ANSWERS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "", "\ud800"]), NUMBERS)
KINDS = {"n": Kind.NUMERIC, "c": Kind.CATEGORICAL}
RECORDS = st.lists(st.tuples(st.one_of(st.none(), NUMBERS), ANSWERS), max_size=60)


def profile(records: Sequence[tuple[object, object]], ids: Sequence[str]) -> Profile:
    return Profile.of({"n": [one for one, _ in records], "c": [two for _, two in records]}, KINDS, ids)


def same(one: Profile, two: Profile) -> None:
    """Equal up to the rounding of moments."""
    assert (one.rows, one.columns["c"]) == (two.rows, two.columns["c"])
    a, b = one.columns["n"], two.columns["n"]
    assert isinstance(a, NumericColumn)
    assert isinstance(b, NumericColumn)
    assert (a.count, a.missing, a.low, a.high) == (b.count, b.missing, b.low, b.high)
    assert (a.priorities, a.sample) == (b.priorities, b.sample)
    assert a.mean == pytest.approx(b.mean, abs=1e-6)
    assert a.m2 == pytest.approx(b.m2, rel=1e-6, abs=1e-3)


@steady
@given(RECORDS, st.integers(0, 60), st.randoms(use_true_random=False))
def test_profiles_of_parts_in_any_order_merge_into_that_of_the_whole(records, cut, order) -> None:  # type: ignore[no-untyped-def]
    ids = [f"r{n}" for n in range(len(records))]
    whole = profile(records, ids)
    same(profile(records[:cut], ids[:cut]).merge(profile(records[cut:], ids[cut:])), whole)
    same(profile(records[cut:], ids[cut:]).merge(profile(records[:cut], ids[:cut])), whole)
    shuffled = order.sample(range(len(records)), len(records))
    same(profile([records[n] for n in shuffled], [ids[n] for n in shuffled]), whole)


@steady
@given(RECORDS)
def test_profiles_survive_json(records) -> None:  # type: ignore[no-untyped-def]
    made = profile(records, [str(n) for n in range(len(records))])
    assert Profile.from_json(made.to_json()) == made


@few
@given(st.lists(st.integers(0, 4000), max_size=30), st.lists(st.integers(0, 4000), max_size=30), st.integers(1, 9))
def test_too_many_categories_merge_into_those_of_the_whole(one: list[int], two: list[int], times: int) -> None:
    base = [f"c{n}" for n in range(0, 3000, 2)]
    parts = [[*base, *map(str, one)], [f"c{n}" for n in two] * times]
    whole = CategoricalColumn.of([*parts[0], *parts[1]])
    assert CategoricalColumn.of(parts[0]).merge(CategoricalColumn.of(parts[1])) == whole


CLASSES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), max_size=40)


@steady
@given(CLASSES, st.integers(0, 40))
def test_class_scores_of_parts_are_those_of_the_whole(records: list[tuple[str, str]], cut: int) -> None:
    def tally(part: Sequence[tuple[str, str]]) -> ClassificationTally:
        return ClassificationTally.of([one for one, _ in part], [two for _, two in part])

    merged, whole = tally(records[cut:]).merge(tally(records[:cut])), tally(records)
    assert merged == whole
    for scores in whole.report().classes.values():
        for estimate in (scores.precision, scores.recall, scores.f1):
            assert estimate.interval.low <= estimate.value <= estimate.interval.high


@steady
@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), max_size=6))
def test_regression_scores_of_parts_are_those_of_the_whole(parts: list[list[tuple[float, float]]]) -> None:
    def tally(part: Sequence[tuple[float, float]]) -> RegressionTally:
        return RegressionTally.of([one for one, _ in part], [two for _, two in part])

    whole = tally([pair for part in parts for pair in part])
    merged = reduce(RegressionTally.merge, map(tally, parts), RegressionTally())
    assert merged.samples == whole.samples
    assert merged.centre == pytest.approx(whole.centre, abs=1e-6)
    for one, two in ((merged.errors, whole.errors), (merged.labels, whole.labels), (merged.weighted, whole.weighted)):
        # Odd powers cancel; what rounding leaves of them is small beside the even ones.
        assert one == pytest.approx(two, rel=1e-6, abs=1e-6 * (1 + max(map(abs, two))))


PAIRS = st.lists(st.tuples(ANSWERS, ANSWERS), max_size=60)


@steady
@given(PAIRS, st.integers(0, 60), st.randoms(use_true_random=False))
def test_agreement_of_parts_in_any_order_is_that_of_the_whole(answers, cut, order) -> None:  # type: ignore[no-untyped-def]
    pairs = [Pair(f"r{n}", one, two) for n, (one, two) in enumerate(answers)]
    parts = order.sample(pairs, len(pairs))
    classes = ClassTally.of(parts[:cut]).merge(ClassTally.of(parts[cut:]))
    assert classes == ClassTally.of(pairs)
    assert classes.report().share.samples == len(pairs)
    merged = NumberTally.of(parts[:cut], Tolerance(1)).merge(NumberTally.of(parts[cut:], Tolerance(1)))
    whole = NumberTally.of(pairs, Tolerance(1))
    assert (merged.pairs, merged.agreeing, merged.stable.sample) == (whole.pairs, whole.agreeing, whole.stable.sample)
    assert merged.candidate.sample == whole.candidate.sample
    assert [one.request_id for one in merged.examples] == [one.request_id for one in whole.examples]


@steady
@given(st.lists(st.floats(0, 1e8), max_size=30), st.integers(0, 30))
def test_label_lags_of_parts_are_those_of_the_whole(lags: list[float], cut: int) -> None:
    whole = LabelLag.of(len(lags), lags)
    assert LabelLag.of(len(lags[:cut]), lags[:cut]).merge(LabelLag.of(len(lags[cut:]), lags[cut:])) == whole
    quantiles = [whole.quantile(q / 10) for q in range(1, 11)]
    assert quantiles == sorted(quantiles, key=lambda one: one or 0)
