"""Scores of labelled predictions, against scikit-learn."""

from math import inf, isnan

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from monitor.means import START, mean_interval
from monitor.performance import LAG_BOUNDS, ClassificationTally, LabelLag, RegressionTally
from monitor.sequential import proportion_interval

DRAW = np.random.default_rng(1)
LABELS = DRAW.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1])
GUESSES = np.where(DRAW.random(400) < 0.75, LABELS, DRAW.choice(["a", "b", "c"], 400))


def test_class_scores_are_those_of_scikit_learn() -> None:
    report = ClassificationTally.of(LABELS, GUESSES).report()
    assert report.samples == 400
    assert report.accuracy.value == pytest.approx(metrics.accuracy_score(LABELS, GUESSES))
    assert report.macro_f1.value == pytest.approx(metrics.f1_score(LABELS, GUESSES, average="macro"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(LABELS, GUESSES)
    for index, name in enumerate(sorted(report.classes)):
        scores = report.classes[name]
        assert scores.precision.value == pytest.approx(precision[index])
        assert (scores.recall.value, scores.recall.samples) == (pytest.approx(recall[index]), support[index])
        assert scores.f1.value == pytest.approx(f1[index])
    matrix = metrics.confusion_matrix(LABELS, GUESSES)
    names = sorted(report.classes)
    for (label, guess), count in report.confusion.items():
        assert matrix[names.index(label), names.index(guess)] == count


def test_every_interval_holds_its_value_and_accuracy_has_its_confidence_sequence() -> None:
    report = ClassificationTally.of(LABELS, GUESSES).report(alpha=0.1)
    right = int((LABELS == GUESSES).sum())
    assert report.accuracy.interval == proportion_interval(right, 400, 0.1)
    strict = ClassificationTally.of(LABELS, GUESSES).report(alpha=0.1 / 3).classes.values()
    assert report.macro_f1.interval.low == pytest.approx(np.mean([scores.f1.interval.low for scores in strict]))
    assert report.macro_f1.interval.high == pytest.approx(np.mean([scores.f1.interval.high for scores in strict]))
    estimates = [report.macro_f1]
    for scores in report.classes.values():
        estimates += [scores.precision, scores.recall, scores.f1]
    for estimate in estimates:
        assert 0 <= estimate.interval.low < estimate.value < estimate.interval.high <= 1


def test_the_true_f1_is_outside_no_more_often_than_promised_however_often_one_looks() -> None:
    """Of 0/1 labels with precision 0.8 and recall 0.5 the true F1 is 8/13."""
    streams, wrong = 40, 0
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        labels = draw.random(600) < 0.4  # 0.2 are hits, 0.2 are missed, 0.05 are false alarms
        guesses = np.where(labels, draw.random(600) < 0.5, draw.random(600) < 0.05 / 0.6)
        tally = ClassificationTally()
        for at in range(0, 600, 30):
            tally = tally.merge(ClassificationTally.of(labels[at : at + 30], guesses[at : at + 30]))
            interval = tally.report(alpha=0.2).classes["true"].f1.interval
            if not interval.low <= 8 / 13 <= interval.high:
                wrong += 1
                break
    assert wrong <= stats.binom.isf(0.001, streams, 0.2)


def test_a_class_that_was_never_predicted_scores_nothing_and_is_still_there() -> None:
    report = ClassificationTally.of(["a", "b", "a"], ["a", "a", "a"]).report()
    scores = report.classes["b"]
    assert (scores.precision.value, scores.precision.samples) == (0.0, 0)
    assert (scores.recall.value, scores.recall.samples, scores.f1.value) == (0.0, 1, 0.0)
    assert scores.precision.interval.high == 1.0


def test_labels_are_compared_however_they_are_typed() -> None:
    assert ClassificationTally.of([1, 0, True], [1.0, "0", np.bool_(True)]).report().accuracy.value == 1.0


def test_without_records_nothing_is_known() -> None:
    report = ClassificationTally().report()
    assert report.samples == 0
    assert (report.accuracy.interval.low, report.accuracy.interval.high) == (0.0, 1.0)
    assert isnan(report.macro_f1.value)
    regression = RegressionTally().report()
    assert isnan(regression.mae.value)
    assert (regression.mae.interval.low, regression.mae.interval.high) == (-inf, inf)


@pytest.mark.parametrize(("labels", "guesses"), [([None], ["a"]), (["a"], [float("nan")]), (["a", "b"], ["a"])])
def test_what_cannot_be_scored_is_refused(labels: list[object], guesses: list[object]) -> None:
    with pytest.raises(ValueError, match=r"missing|shorter"):
        ClassificationTally.of(labels, guesses)


def test_regression_scores_are_those_of_scikit_learn_also_far_from_zero() -> None:
    for centre in (0.0, 1e8):
        truth = DRAW.normal(centre, 3, 500)
        guess = truth + DRAW.normal(0.2, 1, 500)
        report = RegressionTally.of(truth, guess).report()
        assert report.mae.value == pytest.approx(metrics.mean_absolute_error(truth, guess))
        assert report.rmse.value == pytest.approx(metrics.root_mean_squared_error(truth, guess))
        assert report.r2.value == pytest.approx(metrics.r2_score(truth, guess), rel=1e-6)
        for estimate in (report.mae, report.rmse, report.r2):
            assert estimate.interval.low < estimate.value < estimate.interval.high


def test_true_regression_scores_are_outside_no_more_often_than_promised_however_often_one_looks() -> None:
    """Normal labels of deviation 2 and errors of deviation 1: MAE sqrt(2 / pi), RMSE 1, R2 3/4."""
    streams = 40
    wrong = dict.fromkeys(("mae", "rmse", "r2"), 0)
    truth_of = {"mae": (2 / np.pi) ** 0.5, "rmse": 1.0, "r2": 0.75}
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        labels = draw.normal(5, 2, 1000)
        guesses = labels + draw.normal(size=1000)
        tally, outside = RegressionTally(), set()
        for at in range(0, 1000, 50):
            tally = tally.merge(RegressionTally.of(labels[at : at + 50], guesses[at : at + 50]))
            report = tally.report(alpha=0.2)
            for name, true in truth_of.items():
                interval = getattr(report, name).interval
                if not interval.low <= true <= interval.high:
                    outside.add(name)
        for name in outside:
            wrong[name] += 1
    assert max(wrong.values()) <= stats.binom.isf(0.001, streams, 0.2)


def test_the_interval_of_r2_is_as_wide_as_a_bootstrap_says() -> None:
    truth = DRAW.exponential(2, 2000)
    guess = truth * DRAW.normal(1, 0.3, 2000)
    report = RegressionTally.of(truth, guess).report(0.05)
    picks = DRAW.integers(0, 2000, (300, 2000))
    resampled = [metrics.r2_score(truth[pick], guess[pick]) for pick in picks]
    # The mixture's radius for 2000 values in standard errors, from the formula for a mean of variance 1.
    per_error = mean_interval(0, 1, 2000, 0.05).high * 2000**0.5
    assert report.r2.value - report.r2.interval.low == pytest.approx(per_error * np.std(resampled), rel=0.25)


def test_equal_labels_have_no_r2() -> None:
    report = RegressionTally.of([5.0] * 200, DRAW.normal(5, 1, 200)).report()
    assert isnan(report.r2.value)
    assert report.mae.samples == 200


def test_few_labels_give_a_value_and_no_interval() -> None:
    report = RegressionTally.of([1.0, 2.0], [1.5, 2.5]).report()
    assert START > 2
    assert (report.mae.value, report.rmse.value) == (0.5, 0.5)
    assert (report.mae.interval.low, report.mae.interval.high) == (0.0, inf)


@pytest.mark.parametrize(
    ("labels", "guesses"), [([1.0], [float("nan")]), ([float("inf")], [1.0]), ([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])]
)
def test_numbers_that_cannot_be_scored_are_refused(labels: list[object], guesses: list[object]) -> None:
    with pytest.raises(ValueError, match=r"scored|paired"):
        RegressionTally.of(labels, guesses)  # type: ignore[arg-type]


def test_label_lag_says_how_many_have_come_and_how_long_they_took() -> None:
    lag = LabelLag.of(10, [0.5, 30, 50, 7200, 90 * 86400])
    assert (lag.labelled, lag.coverage) == (5, 0.5)
    assert [lag.quantile(q) for q in (0.2, 0.5, 0.6, 0.8, 1.0)] == [1, 60, 60, 6 * 3600, inf]
    assert lag.merge(LabelLag.of(10, [1])).quantile(0.3) == 1.0


def test_a_lag_of_exactly_a_bound_belongs_to_it() -> None:
    assert LabelLag.of(1, [LAG_BOUNDS[3]]).quantile(1) == LAG_BOUNDS[3]


def test_without_labels_there_is_no_lag() -> None:
    assert LabelLag().coverage is None
    assert LabelLag.of(5, []).quantile(0.5) is None
