"""When a feature has drifted, when it has not, and when nobody can say."""

import numpy as np
import pytest
from numpy.random import Generator
from scipy import stats
from statsmodels.stats.multitest import multipletests

from monitor.drift import DriftSettings, FeatureDrift, compare
from monitor.profiles import Kind, Profile
from monitor.verdict import Verdict


def iris(draw: Generator, rows: int, shift: float = 0.0, share: float = 0.3) -> Profile:
    """Four numbers, of which one is shifted by so many standard deviations, and a category."""
    columns: dict[str, object] = {f"f{n}": draw.normal(n, 1, rows) for n in range(3)}
    columns["shifted"] = draw.normal(shift, 1, rows)
    columns["colour"] = np.where(draw.random(rows) < share, "red", "green").tolist()
    return Profile.of(columns)  # type: ignore[arg-type]


def one(reference: Profile, window: Profile, settings: DriftSettings | None = None) -> FeatureDrift:
    (feature,) = compare(reference, window, settings).features
    return feature


def test_a_shift_is_found_and_named_within_a_thousand_records() -> None:
    draw = np.random.default_rng(1)
    report = compare(iris(draw, 5000), iris(draw, 1000, shift=0.6))
    assert report.verdict is Verdict.FAIL
    assert report.drifted == ("shifted",)
    assert report.message == "1 of 5 features drifted: shifted"
    assert report.features[0].message.startswith("shifted: PSI is 0.")


def test_a_changed_share_of_categories_is_found() -> None:
    draw = np.random.default_rng(2)
    report = compare(iris(draw, 5000), iris(draw, 1000, share=0.6))
    assert report.drifted == ("colour",)
    assert report.features[0].test == "chi-square"


def test_a_change_of_spread_alone_is_found() -> None:
    draw = np.random.default_rng(3)
    feature = one(Profile.of({"x": draw.normal(size=5000)}), Profile.of({"x": draw.normal(0, 2, size=1000)}))
    assert feature.verdict is Verdict.FAIL


def test_a_constant_that_becomes_another_one_is_found() -> None:
    for new in (4.0, 6.0):
        feature = one(Profile.of({"x": [5.0] * 1000}), Profile.of({"x": [new] * 200}))
        assert feature.verdict is Verdict.FAIL


def test_a_small_change_that_is_certain_is_no_drift() -> None:
    draw = np.random.default_rng(4)
    feature = one(Profile.of({"x": draw.normal(size=50_000)}), Profile.of({"x": draw.normal(0.15, size=50_000)}))
    assert feature.p_value is not None
    assert feature.p_value < 0.01
    assert feature.verdict is Verdict.PASS


def test_a_large_change_that_may_be_an_accident_is_inconclusive() -> None:
    draw = np.random.default_rng(5)
    reference, window = Profile.of({"x": draw.normal(size=100)}), Profile.of({"x": draw.normal(size=100)})
    feature = one(reference, window, DriftSettings(max_psi=0.05))
    assert feature.p_value is not None
    assert feature.psi is not None
    assert feature.p_value > 0.05
    assert feature.psi > 0.05
    assert feature.verdict is Verdict.INCONCLUSIVE
    assert "may be an accident" in feature.message


@pytest.mark.parametrize(("reference", "window"), [(5000, 99), (99, 5000), (5000, 0), (0, 5000)])
def test_too_little_data_is_inconclusive_however_large_the_change(reference: int, window: int) -> None:
    feature = one(
        Profile.of({"x": np.zeros(reference)}, {"x": Kind.NUMERIC}),
        Profile.of({"x": np.ones(window)}, {"x": Kind.NUMERIC}),
    )
    assert feature.verdict is Verdict.INCONCLUSIVE
    assert feature.message == f"x: {window} values against {reference}; 100 are needed on both sides"
    assert feature.p_value is None


def test_missing_values_do_not_count_as_data() -> None:
    feature = one(Profile.of({"x": np.zeros(500)}), Profile.of({"x": [1.0] * 50 + [None] * 400}))
    assert feature.verdict is Verdict.INCONCLUSIVE
    assert feature.samples == 50


def test_features_that_cannot_be_compared_say_why() -> None:
    reference = Profile.of({"gone": np.zeros(200), "turned": np.zeros(200)})
    window = Profile.of({"new": np.zeros(200), "turned": ["a"] * 200})
    report = compare(reference, window)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert sorted(feature.message for feature in report.features) == [
        "gone: the window has no such feature",
        "new: the reference has no such feature",
        "turned: numeric in the reference and categorical in the window",
    ]


def test_nothing_to_compare_is_inconclusive() -> None:
    report = compare(Profile(), Profile())
    assert (report.verdict, report.features) == (Verdict.INCONCLUSIVE, ())


def test_unseen_categories_are_drift() -> None:
    feature = one(Profile.of({"x": ["a", "b"] * 500}), Profile.of({"x": ["a", "c"] * 100}))
    assert feature.verdict is Verdict.FAIL


def test_features_of_very_many_categories_are_compared_by_those_that_were_kept() -> None:
    draw = np.random.default_rng(6)
    names = np.array([f"c{n}" for n in range(3000)])
    few = names[:20]
    reference = Profile.of({"x": draw.choice(names, 50_000).tolist()})
    same = Profile.of({"x": draw.choice(names, 20_000).tolist()})
    other = Profile.of({"x": draw.choice(few, 20_000).tolist()})
    assert one(reference, same).verdict is Verdict.PASS
    # So few records have fewer categories than are kept, of which the reference did not keep most.
    assert one(reference, Profile.of({"x": draw.choice(names, 600).tolist()})).verdict is Verdict.PASS
    assert one(reference, other).verdict is Verdict.FAIL


@pytest.mark.parametrize(("dependent", "method"), [(False, "fdr_bh"), (True, "fdr_by")])
def test_p_values_are_adjusted_over_features_as_statsmodels_does(dependent: bool, method: str) -> None:
    draw = np.random.default_rng(7)
    report = compare(iris(draw, 2000), iris(draw, 300, 0.2, 0.35), DriftSettings(dependent=dependent))
    given = [feature.p_value for feature in report.features]
    expected = multipletests(given, method=method)[1]
    assert [feature.adjusted_p_value for feature in report.features] == pytest.approx(list(expected))


def test_among_twenty_features_that_did_not_drift_an_alarm_is_as_rare_as_promised() -> None:
    draw = np.random.default_rng(8)
    settings = DriftSettings(max_psi=0.0)  # the test alone decides
    runs, alarms, alone = 60, 0, 0
    for _ in range(runs):
        reference = Profile.of({f"f{n}": draw.normal(size=400) for n in range(20)})
        window = Profile.of({f"f{n}": draw.normal(size=200) for n in range(20)})
        report = compare(reference, window, settings)
        alarms += report.verdict is Verdict.FAIL
        alone += any((feature.p_value or 1) <= 0.05 for feature in report.features)
    assert alarms <= stats.binom.isf(0.001, runs, 0.05)
    assert alone > runs / 3  # what a test without adjustment would have said


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": 1.0}, {"max_psi": -1}, {"bins": 1}, {"min_samples": 0}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no settings for drift"):
        DriftSettings(**settings)  # type: ignore[arg-type]


def test_the_worst_feature_comes_first() -> None:
    draw = np.random.default_rng(9)
    reference = Profile.of({name: draw.normal(size=1000) for name in "abc"} | {"d": [None] * 1000})
    window = Profile.of({"a": draw.normal(size=500), "b": draw.normal(1, size=500), "c": draw.normal(2, size=500)})
    assert [feature.feature for feature in compare(reference, window).features] == ["c", "b", "d", "a"]
