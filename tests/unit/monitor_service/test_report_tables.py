"""How reports read records and labels: the pure parts."""

import itertools
import json
import random
import threading
from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest

from monitor.answers.figures import Figure
from monitor.conformal import DriftWatch
from monitor.evidence import Move
from monitor.fixed_horizon import compare_means
from monitor.performance import ClassificationTally
from monitor.profiles import Kind, Profile, hash_of
from monitor.reports import following
from monitor.reports.differences import mean, means, proportions
from monitor.reports.figures import planned
from monitor.reports.following import CELLS, WINDOW, Entry, Family, Follower, rows_of
from monitor.reports.labels import Judged, detectable, labels, macro_f1, scored
from monitor.reports.shadow import MOST_CELLS, Answered, cells, shadow
from monitor.reports.tables import columns, features, kinds_of_predictions, name_of, predictions, quantities
from monitor.sequential import Interval


def test_the_request_id_chooses_one_row_and_the_same_of_inputs_and_outputs() -> None:
    rows = {"a": list(range(10)), "b": [str(n) for n in range(10)]}
    seen = set()
    for name in map(str, range(200)):
        row = features(name, rows)
        assert row == {"a": int(str(row["b"])), "b": row["b"]}
        assert predictions(name, {"predict": rows["a"]}) == {"predict": row["a"]}
        seen.add(row["a"])
    assert seen == set(range(10))


def test_features_are_values_and_no_lists_and_a_short_column_has_none() -> None:
    given = {
        "n": [1.5, 2.5],
        "t": ["x", "y"],
        "b": [True, False],
        "gone": [None, None],
        "list": [[1], [2]],
        "short": [],
    }
    row = features("1", given)
    assert row.keys() == {"n", "t", "b", "gone", "short"}
    assert (row["gone"], row["short"]) == (None, None)
    assert features("1", {}) == {}


def test_predictions_are_the_first_output_and_scores_of_the_others() -> None:
    outputs = {"predict": ["cat"], "predict_proba": [[0.25, 0.75]], "score": [2], "note": ["text"], "mixed": [[1, "a"]]}
    assert predictions("1", outputs) == {
        "predict": "cat",
        "predict_proba[0]": 0.25,
        "predict_proba[1]": 0.75,
        "score": 2,
    }
    assert predictions("1", {"embedding": [[0.5] * 101]}) == {}
    assert predictions("1", {"predict": []}) == {"predict": None}


def test_rows_become_columns_of_one_length() -> None:
    assert columns([{"a": 1}, {"b": 2}, {}]) == {"a": [1, None, None], "b": [None, 2, None]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, None], False),
        ([0.0, 1.0], False),
        ([0.5, 1], True),
        (list(range(51)), True),
        (list(range(50)), False),
        ([True, False], False),
        ([1.5, True], False),
        ([1.5, "a"], False),
        ([[1.5]], False),
        ([1e300], False),
        ([], False),
        ([None], False),
    ],
)
def test_numbers_are_quantities_unless_few_whole_ones_name_classes(values: list[object], expected: bool) -> None:
    assert quantities(values) is expected
    assert kinds_of_predictions({"p": values}) == {"p": Kind.NUMERIC if expected else Kind.CATEGORICAL}


def test_classes_that_are_not_the_same_have_different_names() -> None:
    values = [1, "1", True, "true", "cat", [1], "[1]", {"a": 1}]
    assert [name_of(value) for value in values] == [
        "1",
        '"1"',
        "true",
        '"true"',
        "cat",
        "[1]",
        '"[1]"',
        '{"a":1}',
    ]
    assert name_of(1.0) == name_of(1)


def _entries(values: list[float | None], start: int = 1) -> list[Entry]:
    content = [None if value is None else json.dumps({"a": [value]}) for value in values]
    return [Entry(start + n, f"r{start + n}", one) for n, one in enumerate(content)]


REFERENCE = Profile.of({"a": [float(n % 17) for n in range(400)]})


def test_a_follower_takes_each_record_once_in_any_parts() -> None:
    values: list[float | None] = [float(n % 13) for n in range(300)]
    whole, parts = Follower(REFERENCE, Family.FEATURES), Follower(REFERENCE, Family.FEATURES)
    whole.take(_entries(values))
    for start in (0, 50, 10, 100):
        parts.take(_entries(values)[start : start + 200])
    assert (parts.cursor, parts.samples) == (300, 300)
    assert parts.moves() == whole.moves()


def test_a_follower_is_asked_and_fed_by_several_threads() -> None:
    follower = Follower(REFERENCE, Family.FEATURES)
    entries = _entries([float(n % 13) for n in range(600)])
    threads = [threading.Thread(target=follower.take, args=(entries[: 100 * n],)) for n in (1, 2, 3, 4, 5, 6)]
    threads += [threading.Thread(target=follower.moves) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (follower.cursor, follower.samples) == (600, 600)


def test_the_window_has_the_newest_requests_and_the_watch_has_seen_all() -> None:
    follower = Follower(REFERENCE, Family.FEATURES)
    early, late = [0.0] * 200, [float(n % 17) for n in range(WINDOW)]
    follower.take(_entries([*early, *late]))
    watch = DriftWatch(REFERENCE.columns["a"], 1e-9, seed=hash_of("a"))
    assert follower.samples == WINDOW
    (move,) = follower.moves()
    assert move.psi is not None
    assert move.psi < 0.1
    assert move == Move("a", WINDOW, move.psi, 0.9 * watch.update([*early, *late]).e_value)


def test_a_window_of_many_columns_has_fewer_requests() -> None:
    wide = Profile.of({str(n): [float(n)] * 100 for n in range(1_000)})
    follower = Follower(wide, Family.FEATURES)
    assert follower.step == 20
    follower.take([Entry(n, str(n), "{}") for n in range(1, CELLS // 1_000 + 50)])
    assert follower.samples == CELLS // 1_000


def test_a_column_that_cannot_be_watched_has_no_evidence() -> None:
    follower = Follower(Profile.of({"a": [1.0, 2.0]}), Family.FEATURES)
    follower.take([Entry(1, "1", '{"a": [5], "other": [1]}')])
    (move,) = follower.moves()
    assert (move.name, move.psi) == ("a", None)
    assert move.e_value <= 1


CONTENT: dict[str, Callable[[random.Random], object]] = {
    "zero": lambda _: 0,
    "one": lambda _: 1.0,
    "missing": lambda _: None,
    "one category": lambda _: "a",
    "another category": lambda _: "b",
    "text": lambda chance: chance.choice(["red", "green", "blue"]),
    "ids": lambda chance: f"{chance.random():.12f}",
    "numbers": lambda chance: chance.gauss(0, 1),
    "true or false": lambda chance: chance.random() < 0.5,
}
NOT_READ_AS_NUMBERS = {"one category", "another category", "text", "ids"}
"""Where the reference has no value at all, numbers are what is looked for; these break its quality instead."""
UNDECIDED = {("ids", "numbers")}
"""Text that never comes again has no distribution that numbers could differ from."""


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(("known", "seen"), list(itertools.product(CONTENT, repeat=2)))
def test_whatever_a_column_holds_its_move_is_told_and_proven_or_there_is_none(
    family: Family, known: str, seen: str
) -> None:
    """0.2 and 1,000 are the bound of the index, and what 10 columns ask for at a confidence of 99%."""
    chance = random.Random(8)

    def entries(what: str, number: int) -> list[Entry]:
        return [Entry(n, f"{what}-{n}", json.dumps({"x": [CONTENT[what](chance)]})) for n in range(1, number + 1)]

    rows = rows_of(entries(known, 1_000), family)
    table = columns([row for _, row in rows])
    kinds = kinds_of_predictions(table) if family is Family.PREDICTIONS else None
    follower = Follower(Profile.from_json(Profile.of(table, kinds).to_json()), family)
    follower.take(entries(seen, 400))
    (move,) = follower.moves()
    assert move.psi is not None
    still = known == seen or (known, seen) in UNDECIDED
    still |= known == "missing" and seen in NOT_READ_AS_NUMBERS and family is Family.FEATURES
    assert (move.psi > 0.2, move.e_value >= 1_000) == ((False, False) if still else (True, True))


def _with_gaps(number: int, every: int) -> list[Entry]:
    """Only one of so many has a value."""
    return [Entry(n + 1, f"r{n}", json.dumps({"a": [None if n % every else float(n)]})) for n in range(number)]


def test_a_column_whose_values_go_missing_moves_however_few_are_left() -> None:
    follower = Follower(REFERENCE, Family.FEATURES)
    follower.take(_with_gaps(200, 10))
    (move,) = follower.moves()
    assert move.samples == 20
    assert move.psi is not None
    assert move.psi > 1
    assert move.e_value > 1_000


def test_a_column_that_is_mostly_missing_is_unknown_until_enough_values_can_have_come() -> None:
    known = Profile.of({"a": [float(n) if n % 5 == 0 else None for n in range(1_000)]})
    follower = Follower(known, Family.FEATURES)
    follower.take(_with_gaps(1_000, 5)[:400])
    (move,) = follower.moves()
    assert (move.samples, move.psi) == (80, None)
    follower.take(_with_gaps(1_000, 5))
    (move,) = follower.moves()
    assert move.samples == 200
    assert move.psi is not None
    assert move.psi < 0.2


def test_a_column_with_too_few_values_in_its_reference_is_known_by_whether_they_are_there() -> None:
    follower = Follower(Profile.of({"a": [1.0 if n % 20 == 0 else None for n in range(1_000)]}), Family.FEATURES)
    follower.take(_with_gaps(200, 20))
    (move,) = follower.moves()
    assert move.psi is not None
    assert move.psi < 0.05


def test_a_window_of_very_many_columns_has_as_many_requests_as_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "CELLS", 1_000)
    follower = Follower(Profile.of({str(n): [float(n)] * 100 for n in range(50)}), Family.FEATURES)
    follower.take([Entry(n, str(n), "{}") for n in range(1, 150)])
    assert follower.samples == 100


def test_errors_that_cannot_be_reckoned_with_are_shown_to_no_detector() -> None:
    judged = [
        Judged("v1", n, n, label, None, answer, correct=False)
        for n, (label, answer) in enumerate([("1.5", "1e300"), ("2.5", "null")])
    ]
    assert detectable(scored(judged)) == ([], [], 1.0)


def test_confusions_have_their_largest_cells() -> None:
    found = cells({(str(n), "x"): n for n in range(MOST_CELLS + 10)})
    assert len(found) == MOST_CELLS
    assert (found[0].one, found[0].count) == (str(MOST_CELLS + 9), MOST_CELLS + 9)


def test_an_example_shows_the_first_row_that_differs() -> None:
    pairs = [Answered("1", "[1, 2.0, 3]", "[1, 2.0000001, 4]", agree=False, relative=0.25)]
    found = shadow(pairs, 0.05)
    assert found is not None
    assert (found.examples[0].row, found.examples[0].stable, found.examples[0].candidate) == (2, 3, 4)
    assert found.agreement.value == 0
    within = shadow(pairs, 0.05, tolerance=0.3)
    assert within is not None
    assert (within.agreement.value, within.examples) == (1, ())


def test_answers_that_are_lists_are_compared_as_a_whole() -> None:
    found = shadow([Answered("1", "[[1, 2]]", "[[1, 3]]", agree=False, relative=1 / 3)], 0.05)
    assert found is not None
    assert found.numbers is None
    assert found.classes is not None
    assert [(cell.one, cell.other) for cell in found.classes.confusion] == [("[1,2]", "[1,3]")]


def _judged(label: object, answer: object, correct: bool | None = True, waited: float = 5) -> Judged:
    text = None if answer is None else json.dumps(answer)
    return Judged("v1", 10**6, 10**6 + round(waited * 1e6), json.dumps(label), None, text, correct)


def test_the_lag_and_coverage_of_labels_are_told() -> None:
    found = labels([_judged("a", "a", waited=5)] * 6 + [_judged("a", "b", correct=False, waited=10**8)] * 4, 40, 0.05)
    assert found is not None
    assert (found.labels, found.coverage, found.median_seconds, found.p90_seconds) == (10, 0.25, 10, None)
    assert labels([], 40, 0.05) is None


def test_labels_without_a_recorded_answer_are_counted_and_not_scored() -> None:
    found = labels([_judged("a", None, correct=None)], 0, 0.05)
    assert found is not None
    assert (found.labels, found.scored, found.coverage) == (1, 0, None)
    assert (found.classification, found.regression) == (None, None)


def test_the_text_one_is_not_the_number_one_in_a_confusion_either() -> None:
    found = labels([_judged("1", 1, correct=False)], 1, 0.05)
    assert found is not None
    assert found.classification is not None
    assert found.classification.accuracy.value == 0
    assert [(cell.one, cell.other) for cell in found.classification.confusion] == [('"1"', "1")]


def test_answers_too_large_to_be_reckoned_with_are_left_out() -> None:
    found = labels([_judged(1.5, 1e200, correct=False), _judged(1.5, 2.5, correct=False), _judged(0.5, 0.5)], 3, 0.05)
    assert found is not None
    assert found.regression is not None
    assert (found.regression.mae.value, found.regression.mae.samples) == (0.5, 2)


def test_the_macro_score_is_that_of_the_tally() -> None:
    confusion = {("a", "a"): 5, ("a", "b"): 2, ("b", "b"): 1, ("c", "a"): 3}
    assert macro_f1(confusion) == pytest.approx(ClassificationTally(confusion).report().macro_f1.value)
    assert macro_f1({}) is None
    assert scored([_judged("a", None, correct=None)]) == []


def test_there_is_no_difference_where_a_side_is_empty() -> None:
    some, none = np.array([1.0, 2.0]), np.empty(0)
    assert means("m", [some, none], 0.05, higher_is_better=True) is None
    assert proportions("p", [(0, 0), (1, 2)], 0.05, higher_is_better=True) is None
    single = means("m", [some, some[:1]], 0.05, higher_is_better=True)
    assert single is not None
    assert single.fixed_horizon == ()
    assert mean(none, 0.05) == Figure(None, None, None, 0)


def test_what_json_has_not_becomes_none() -> None:
    assert Figure.within(nan, Interval(-inf, 1.0), 3) == Figure(None, None, 1.0, 3)
    test = planned(compare_means([1.0, 1.0], [2.0, 2.0]))
    assert (test.statistic, test.effect, test.effect_name) == (None, None, "Cohen's d")
