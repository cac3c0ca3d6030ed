"""The test for drift that may be watched at any time."""

import json
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitor.conformal import DriftWatch, watches
from monitor.profiles import CategoricalColumn, Column, NumericColumn, Profile
from monitor.verdict import Verdict


def reference(values: Column) -> NumericColumn | CategoricalColumn:
    return Profile.of({"x": values}).columns["x"]


def alarms(streams: int, quiet: int, change: NDArray[np.float64] | None = None, alpha: float = 0.1) -> list[int | None]:
    """When each stream was declared to have drifted: `quiet` values as in the reference, then those of `change`."""
    at = []
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        watch = DriftWatch(reference(draw.normal(size=1000)), alpha, seed=seed)
        watch.update(draw.normal(size=quiet))
        if change is not None:
            watch.update(draw.permutation(change))
        at.append(watch.result.alarm_at)
    return at


def test_over_a_long_horizon_a_false_alarm_is_as_rare_as_promised() -> None:
    streams = 100
    wrong = sum(at is not None for at in alarms(streams, 1200))
    assert wrong <= stats.binom.isf(0.001, streams, 0.1)


def test_a_fixed_sample_test_that_is_watched_does_not_keep_the_promise() -> None:
    streams, wrong = 60, 0
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        known, values = draw.normal(size=1000), draw.normal(size=1200)
        looks = (stats.ks_2samp(known, values[:n], method="asymp").pvalue for n in range(50, 1201, 50))
        wrong += any(p <= 0.1 for p in looks)
    assert wrong > stats.binom.isf(0.001, streams, 0.1)


def test_categories_keep_the_promise_too_also_with_many_that_are_rare() -> None:
    streams, wrong = 50, 0
    shares = 1 / np.arange(1, 301)
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        values = draw.choice(300, 1500, p=shares / shares.sum()).astype(str).tolist()
        wrong += DriftWatch(reference(values[:500]), 0.1, seed=seed).update(values[500:]).verdict is Verdict.FAIL
    assert wrong <= stats.binom.isf(0.001, streams, 0.1)


@pytest.mark.parametrize(
    ("change", "within"),
    [(stats.norm(0.5, 1), 250), (stats.norm(-0.5, 1), 250), (stats.norm(0, 1.7), 250), (stats.norm(0, 0.5), 250)],
    ids=["up", "down", "wider", "narrower"],
)
def test_a_drift_is_found_soon(change: stats.rv_continuous, within: int) -> None:
    at = alarms(8, 0, change.ppf(np.linspace(0.001, 0.999, within)))
    assert None not in at


def test_after_long_quiet_a_drift_is_still_found() -> None:
    at = alarms(6, 1500, stats.norm(0.6, 1).ppf(np.linspace(0.001, 0.999, 150)))
    assert sum(one is not None and one > 1500 for one in at) >= 5


def test_a_changed_share_of_categories_is_found() -> None:
    draw = np.random.default_rng(1)
    watch = DriftWatch(reference(draw.choice(["a", "b", "c"], 1000).tolist()))
    assert watch.update(draw.choice(["a", "b", "c"], 300).tolist()).verdict is Verdict.PASS
    result = watch.update(draw.choice(["a", "b", "c"], 300, p=[0.7, 0.2, 0.1]).tolist())
    assert result.verdict is Verdict.FAIL
    assert result.message.startswith("the data has drifted: evidence ")


def test_a_category_that_was_never_seen_is_evidence() -> None:
    watch = DriftWatch(reference(["a", "b"] * 500))
    assert watch.update(["new"] * 40).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("known", "new"),
    [([1.0], 0.0), ([1.0], 2.0), ([0.0, 1.0], -1.0), (["b"], 0.0), ([True], False), (["yes", "no"], "maybe")],
)
def test_another_value_than_the_only_ones_is_evidence_on_whatever_side(known: list[object], new: object) -> None:
    watch = DriftWatch(reference(known * (1000 // len(known))))
    assert watch.update(known * 100).alarm_at is None
    assert watch.update([new] * 100).alarm_at is not None


def test_more_categories_than_a_profile_keeps_are_watched_and_keep_the_promise() -> None:
    streams, wrong = 30, 0
    names = [f"item {n}" for n in range(3000)]
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        known = reference(draw.choice(names, 6000).tolist())
        assert isinstance(known, CategoricalColumn)
        assert known.other > 0
        watch = DriftWatch(known, 0.1, seed=seed)
        wrong += watch.update(draw.choice(names, 500).tolist()).verdict is Verdict.FAIL
    assert wrong <= stats.binom.isf(0.001, streams, 0.1)
    assert watch.update(draw.choice(names[:5], 300).tolist()).verdict is Verdict.FAIL


def test_ids_that_never_come_again_are_no_drift() -> None:
    known = reference([f"2026-01-01T{n:06}" for n in range(1000)])
    watch = DriftWatch(known).update([f"2026-01-02T{n:06}" for n in range(3000)])
    assert watch.verdict is Verdict.PASS


def test_each_column_with_enough_values_is_watched() -> None:
    found = watches(Profile.of({"x": [1.0] * 100, "few": [*["a"] * 99, None]}), 0.01)
    assert found.keys() == {"x"}


def test_the_capital_is_a_martingale() -> None:
    """Averaged over all ranks a bet keeps the capital as it is, whatever happened before."""
    watch = DriftWatch(reference(np.random.default_rng(2).normal(size=1000)), alpha=1e-9)
    for values in ([], [3.0, 3.1, 2.9], [0.1] * 20):
        before = watch.update(values)
        state = watch.to_json()
        after = []
        for p in (np.arange(2000) + 0.5) / 2000:
            again = DriftWatch.from_json(state)
            again._bet(float(p))
            after.append(again.result.e_value)
        assert np.mean(after) == pytest.approx(before.e_value, rel=1e-6)


def test_ranks_of_what_has_not_changed_are_uniform_and_independent_also_when_values_repeat() -> None:
    draw = np.random.default_rng(3)
    watch = DriftWatch(reference(draw.integers(0, 5, 1000)), alpha=1e-9)
    ranks = []
    cells = watch._cells(draw.integers(0, 5, 4000))
    for cell, chance in zip(cells, watch._chances(len(cells)), strict=True):
        ranks.append(watch._rank(cell, chance))
        watch._bet(ranks[-1])
    assert stats.kstest(ranks, "uniform").pvalue > 0.001
    assert abs(np.corrcoef([*pairwise(ranks)], rowvar=False)[0, 1]) < 3.3 / 4000**0.5


def test_one_value_at_a_time_or_all_at_once_across_processes_is_the_same() -> None:
    draw = np.random.default_rng(4)
    known, values = reference(draw.normal(size=500)), draw.normal(0.4, size=60).tolist()
    once = DriftWatch(known, seed=7).update(values)
    watch = DriftWatch(known, seed=7)
    for value in values:
        watch = DriftWatch.from_json(watch.to_json())
        watch.update([value])
    assert watch.result == once


def test_with_too_few_values_nothing_is_said_unless_they_are_evidence() -> None:
    watch = DriftWatch(reference(np.random.default_rng(5).normal(size=1000)))
    result = watch.update([0.0, None, float("nan"), 0.5])
    assert (result.verdict, result.samples) == (Verdict.INCONCLUSIVE, 2)
    assert result.message.startswith("100 values are needed")


def test_an_alarm_stays() -> None:
    draw = np.random.default_rng(6)
    watch = DriftWatch(reference(draw.normal(size=1000)))
    alarm = watch.update(np.full(200, 3.0))
    assert alarm.alarm_at is not None
    assert alarm.alarm_at == alarm.samples < 200
    assert watch.update(draw.normal(size=500)) == alarm


def test_a_reference_that_cannot_be_watched_is_refused() -> None:
    with pytest.raises(ValueError, match="50 values; 100 are needed"):
        DriftWatch(reference(np.zeros(50)))
    with pytest.raises(ValueError, match="alpha"):
        DriftWatch(reference(np.zeros(500)), alpha=1.0)


@pytest.mark.parametrize("change", [{"schema": 1}, {"kind": "text"}, {"counts": [[10**6, 1]]}, {"capital": None}])
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    state = json.loads(DriftWatch(reference(np.arange(500.0))).to_json()) | change
    with pytest.raises(ValueError, match="no state of a drift watch"):
        DriftWatch.from_json(json.dumps(state))
