"""Whatever was counted: verdicts follow the evidence, and what is missing never fails."""

from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evidence import DriftTally, ErrorTally, Evidence, Move, PairTally
from monitor.tallies import LabelTally, RewardTally, VersionTally
from operators.analysis import Basis, evaluate
from operators.api import METRICS, Check
from operators.observe import Measured
from operators.status import CheckResult, Verdict
from router.ir import TrafficCounters

STABLE, CANDIDATE = "aaaaaaaaaa", "bbbbbbbbbb"
ORDER: Final = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
EXAMPLES: Final[dict[str, list[dict[str, Any]]]] = {
    name: [
        {metric.bound: {"share": 0.3, "duration": "25ms", "number": 0.3}[metric.unit]},
        *([{"versus": "stable", "margin": {"duration": "5ms"}.get(metric.unit, 0.05)}] if metric.versus else []),
    ]
    for name, metric in METRICS.items()
}
CHECKS: Final = [
    *({"metric": name} | fields for name, ways in EXAMPLES.items() for fields in ways),
    {"prometheus": {"query": "up"}, "min": 0.1, "max": 0.9},
]
NUMBERS = st.integers(0, 3000)
# The same examples in every run, however slow the machine.
steady = settings(derandomize=True, deadline=None)
few = settings(steady, max_examples=20)


def check(fields: dict[str, Any]) -> Check:
    return Check.model_validate({"name": "c"} | fields)


def judge(fields: dict[str, Any], basis: Basis) -> CheckResult:
    return evaluate([check(fields)], basis)[0]


@st.composite
def counters(draw: st.DrawFn) -> TrafficCounters:
    counts = tuple(draw(st.lists(NUMBERS, min_size=4, max_size=4)))
    return TrafficCounters(sum(counts), draw(st.integers(0, sum(counts))), (5.0, 25.0, 100.0), counts)


@st.composite
def versions(draw: st.DrawFn) -> VersionTally:
    labels, count, zero_one = draw(NUMBERS), draw(NUMBERS), draw(st.booleans())
    ones = float(draw(st.integers(0, count)))
    total = ones if zero_one else draw(st.floats(-2, 2)) * count
    squares = ones if zero_one else draw(st.floats(0, 2)) + (total * total / count if count else 0.0)
    rewards = RewardTally(count, total, squares, zero_one)
    return VersionTally(3000, 0, rewards, LabelTally(labels, draw(st.integers(0, labels))), ())


@st.composite
def errors(draw: st.DrawFn) -> ErrorTally:
    count = draw(NUMBERS)
    total = draw(st.floats(0, 2)) * count
    return ErrorTally(count, total, total * total / count + draw(st.floats(0, 9)) if count else 0.0)


@st.composite
def drifts(draw: st.DrawFn) -> DriftTally:
    psis, e_values = st.none() | st.floats(0, 2), st.floats(0, 1e6)
    moves = st.builds(Move, st.sampled_from("ab"), NUMBERS, psis, e_values)
    return DriftTally(
        draw(st.sampled_from(["", "file"])), 1000, draw(NUMBERS), tuple(draw(st.lists(moves, max_size=3)))
    )


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    pairs = draw(NUMBERS)
    both = st.sampled_from([STABLE, CANDIDATE])
    return Evidence(
        versions=draw(st.dictionaries(both, versions())),
        errors=draw(st.dictionaries(both, errors())),
        pairs=draw(st.sampled_from([(), (PairTally(1e-6, pairs, draw(st.integers(0, pairs))),)])),
        features=draw(st.none() | drifts()),
        predictions=draw(st.none() | drifts()),
    )


READINGS = st.lists(st.floats(0, 1) | st.sampled_from([float("nan"), float("inf")]), max_size=4)
BASES = st.builds(
    Basis,
    st.just(STABLE),
    st.just(CANDIDATE),
    st.none() | counters(),
    st.none() | counters(),
    st.none() | evidences(),
    st.dictionaries(st.just("c"), st.builds(Measured, READINGS.map(tuple), st.sampled_from(["", "it is down"]))),
    st.just(True),
    st.just(True),
)


@steady
@given(st.sampled_from(CHECKS), BASES)
def test_every_verdict_has_a_sentence_and_figures_that_json_knows(fields: dict[str, Any], basis: Basis) -> None:
    result = judge(fields, basis)
    assert result.message.startswith(check(fields).subject)
    for figure in (result.value, result.low, result.high, result.bound):
        assert figure is None or abs(figure) < float("inf")
    assert result.samples >= 0
    if result.low is not None and result.high is not None:
        assert result.low <= result.high


@steady
@given(st.sampled_from(CHECKS), BASES)
def test_nothing_decides_without_samples_of_the_candidate(fields: dict[str, Any], basis: Basis) -> None:
    result = judge(fields, basis)
    if result.samples == 0:
        assert result.verdict is Verdict.INCONCLUSIVE
    blank = replace(basis, candidate=None, evidence=None, measured={})
    assert judge(fields, blank).verdict is Verdict.INCONCLUSIVE
    silent = replace(basis, candidate=TrafficCounters(), evidence=Evidence(), measured={"c": Measured()})
    assert judge(fields, silent).verdict is Verdict.INCONCLUSIVE


@steady
@given(st.sampled_from(CHECKS), BASES, st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_never_decides_more(fields: dict[str, Any], basis: Basis, one: float, other: float) -> None:
    if "metric" not in fields:
        return
    less, more = (judge(fields | {"confidence": confidence}, basis).verdict for confidence in sorted((one, other)))
    assert more in (less, Verdict.INCONCLUSIVE)


def answered(agreeing: int, pairs: int, stable_agreeing: int = 400, stable_pairs: int = 900) -> Basis:
    """So many pairs, labels and rewards, of which so many are good."""
    tallies = [
        VersionTally(count, 0, RewardTally(count, float(good), float(good), True), LabelTally(count, good), ())
        for good, count in ((agreeing, pairs), (stable_agreeing, stable_pairs))
    ]
    evidence = Evidence({CANDIDATE: tallies[0], STABLE: tallies[1]}, pairs=(PairTally(1e-6, pairs, agreeing),))
    return Basis(STABLE, CANDIDATE, evidence=evidence, copies=True)


SHARES: Final = ("shadow-agreement", "feedback-accuracy", "feedback-reward")


@pytest.mark.parametrize("fields", [one for one in CHECKS if one.get("metric") in SHARES])
@few
@given(st.integers(0, 400))
def test_more_good_answers_never_make_a_verdict_worse(fields: dict[str, Any], pairs: int) -> None:
    verdicts = [ORDER[judge(fields, answered(agreeing, pairs)).verdict] for agreeing in range(0, pairs + 1, 7)]
    assert all(one <= other for one, other in pairwise(verdicts))


@steady
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 3))
def test_more_failures_in_a_row_may_only_be_forgiven(values: list[float], limit: int) -> None:
    fields = {"web": {"url": "http://x", "value": ""}, "max": 0.5}
    basis = Basis(measured={"c": Measured(tuple(values))})
    strict, patient = (judge(fields | {"failureLimit": one}, basis).verdict for one in (limit, limit + 1))
    assert ORDER[strict] <= ORDER[patient]
    assert (patient is Verdict.PASS) == (values[-1] <= 0.5)


LOOKS: Final = 40
ROLLOUTS: Final = 200
CONFIDENCE: Final = 0.8


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": "shadow-agreement", "min": 0.9},
        {"metric": "feedback-accuracy", "min": 0.9},
        {"metric": "feedback-accuracy", "versus": "stable", "margin": 0.05},
        {"metric": "feedback-reward", "versus": "stable", "margin": 0.05},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)
def test_looking_again_and_again_fails_no_more_good_candidates_than_allowed(fields: dict[str, Any]) -> None:
    """The candidate is exactly as bad as it may be, and is looked at forty times."""
    dice, failed = Random(7), 0
    fields = fields | {"confidence": CONFIDENCE}
    for _ in range(ROLLOUTS):
        good = base = count = 0
        for _ in range(LOOKS):
            count += 20
            good += sum(dice.random() < 0.9 for _ in range(20))
            base += sum(dice.random() < 0.95 for _ in range(20))
            if judge(fields, answered(good, count, base, count)).verdict is Verdict.FAIL:
                failed += 1
                break
    # Three standard deviations above what is allowed: by chance alone this is reached once in a thousand runs.
    allowed = ROLLOUTS * (1 - CONFIDENCE)
    assert failed < allowed + 3 * (allowed * CONFIDENCE) ** 0.5
