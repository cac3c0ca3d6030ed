"""How far two versions agree on the same requests."""

from math import inf, isnan

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from monitor.agreement import EXAMPLES, ClassTally, NumberTally, Pair, Tolerance
from monitor.sequential import proportion_interval

DRAW = np.random.default_rng(1)


def pairs(stable: object, candidate: object) -> list[Pair]:
    rows = zip(stable, candidate, strict=True)  # type: ignore[call-overload]
    return [Pair(f"request-{n}", one, two) for n, (one, two) in enumerate(rows)]


def test_agreement_has_its_confidence_sequence() -> None:
    tally = ClassTally.of(pairs(["a"] * 95 + ["b"] * 5, ["a"] * 100))
    report = tally.report(0.1)
    assert (report.share.value, report.share.samples) == (0.95, 100)
    assert report.share.interval == proportion_interval(95, 100, 0.1)
    assert report.confusion == {("a", "a"): 95, ("b", "a"): 5}


def test_kappa_is_that_of_scikit_learn_and_its_interval_that_of_statsmodels() -> None:
    stable = DRAW.choice(["a", "b", "c"], 300, p=[0.5, 0.3, 0.2])
    candidate = np.where(DRAW.random(300) < 0.8, stable, DRAW.choice(["a", "b", "c"], 300))
    report = ClassTally.of(pairs(stable, candidate)).report(0.05)
    assert report.kappa.value == pytest.approx(cohen_kappa_score(stable, candidate))
    table = [[report.confusion.get((one, two), 0) for two in "abc"] for one in "abc"]
    expected = cohens_kappa(table)
    assert report.kappa.interval.low == pytest.approx(expected.kappa_low)
    assert report.kappa.interval.high == pytest.approx(expected.kappa_upp)


def test_two_versions_that_always_say_the_same_one_thing_have_no_kappa() -> None:
    report = ClassTally.of(pairs(["a"] * 50, ["a"] * 50)).report()
    assert report.share.value == 1.0
    assert isnan(report.kappa.value)


def test_labels_that_are_permuted_for_one_class_are_seen_in_the_confusion() -> None:
    stable = DRAW.choice(["a", "b", "c"], 600)
    swap = {"a": "a", "b": "c", "c": "b"}
    report = ClassTally.of(pairs(stable, [swap[one] for one in stable])).report()
    assert report.share.interval.high < 0.5
    assert set(report.confusion) == {("a", "a"), ("b", "c"), ("c", "b")}


def test_a_missing_answer_disagrees_with_any_answer() -> None:
    report = ClassTally.of([Pair("1", "a", None), Pair("2", None, None), Pair("3", 1, 1.0)]).report()
    assert report.confusion == {("", ""): 1, ("1", "1"): 1, ("a", ""): 1}
    assert report.examples == (Pair("1", "a", ""),)


def test_only_disagreements_are_kept_and_only_so_many_always_the_same() -> None:
    given = pairs(["a"] * 500, ["a", "b"] * 250)
    examples = ClassTally.of(given).report().examples
    assert len(examples) == EXAMPLES
    assert all(one.stable != one.candidate for one in examples)
    assert ClassTally.of(reversed(given)).report().examples == examples


def test_examples_are_an_even_sample_of_all_disagreements() -> None:
    tally = ClassTally()
    chosen: list[int] = []
    for start in range(0, 20_000, 1000):
        part = [Pair(f"{start}-{n}", "a", "b") for n in range(1000)]
        tally = tally.merge(ClassTally.of(part))
        chosen += [int(one.request_id.split("-")[1]) for one in ClassTally.of(part).examples]
    assert 400 < np.mean(chosen) < 600
    assert len({one.request_id.split("-")[0] for one in tally.examples}) > 5


@pytest.mark.parametrize(
    ("stable", "candidate", "agrees"),
    [
        (1.0, 1.05, True),
        (1.0, 1.2, False),
        (100, 100.9, True),
        (0.0, 0.1, True),
        (None, None, False),
        (float("nan"), float("nan"), False),
        (float("inf"), float("inf"), False),
        ("1", "1", False),
    ],
)
def test_numbers_agree_within_the_tolerance(stable: object, candidate: object, agrees: bool) -> None:
    report = NumberTally.of([Pair("1", stable, candidate)], Tolerance(0.1, 0.01)).report()
    assert report.share.value == float(agrees)
    assert bool(report.examples) is not agrees


def test_a_shift_between_versions_is_measured() -> None:
    stable = DRAW.normal(size=1500)
    report = NumberTally.of(pairs(stable, stable + DRAW.normal(0.5, 0.1, 1500)), Tolerance(0.6)).report()
    assert report.difference.value == pytest.approx(0.5, abs=0.01)
    assert 0.48 < report.difference.interval.low < 0.5 < report.difference.interval.high < 0.52
    assert report.share.value == pytest.approx(0.84, abs=0.03)
    assert report.kolmogorov_smirnov > 0.15
    assert report.psi > 0.15
    assert 0.1 < report.jensen_shannon < 1


def test_equal_versions_have_no_distance() -> None:
    values = DRAW.normal(size=500)
    report = NumberTally.of(pairs(values, values)).report()
    assert (report.share.value, report.difference.value) == (1.0, 0.0)
    assert (report.kolmogorov_smirnov, report.psi, report.jensen_shannon) == (0.0, 0.0, 0.0)
    assert report.examples == ()


def test_without_pairs_nothing_is_known() -> None:
    numbers = NumberTally().report()
    assert isnan(numbers.share.value)
    assert isnan(numbers.psi)
    assert (numbers.difference.interval.low, numbers.difference.interval.high) == (-inf, inf)
    classes = ClassTally().report()
    assert isnan(classes.share.value)
    assert (classes.share.interval.low, classes.share.interval.high) == (0.0, 1.0)


def test_tallies_of_different_tolerances_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        NumberTally(Tolerance(1.0)).merge(NumberTally())
