"""The benchmark of gates that are looked at after every request: it plays the monitor's rules, which keep promises."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from benchmarks import boundaries
from benchmarks.gates import ALPHA, OURS, PEEKED, THRESHOLD, Gate, apart, drift, rate, versus, winner
from benchmarks.peeking import AT_THE_BOUND, HEALTHY, main, play
from monitor.means import START
from monitor.means import difference_interval as mean_difference_interval
from monitor.quantiles import quantile_interval
from monitor.sequential import difference_interval, proportion_interval

RUNS, ROUNDS = 1000, 400


@pytest.mark.parametrize("gate", AT_THE_BOUND, ids=lambda gate: f"{gate.name}: {gate.truth}")
def test_a_gate_is_wrong_about_a_candidate_at_its_bound_no_more_often_than_promised(gate: Gate) -> None:
    wrong = int((play(gate, RUNS, ROUNDS)[OURS] > 0).sum())
    assert wrong <= stats.binom.isf(1e-4, RUNS, ALPHA)


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("shares", [(1, 99), (1, 1), (9, 1)], ids=str)
def test_two_equal_streams_are_called_different_no_more_often_than_promised(p: float, shares: tuple[int, int]) -> None:
    wrong = int((play(apart(p, shares), RUNS, ROUNDS)[OURS] > 0).sum())
    assert wrong <= stats.binom.isf(1e-4, RUNS, ALPHA)


@pytest.mark.parametrize(("p", "base"), [(0.02, 0.02), (0.1, 0.3), (0.9, 0.92)])
def test_a_difference_may_be_watched_while_shares_change(p: float, base: float) -> None:
    draw = np.random.default_rng(5)
    shares, base_shares = (np.repeat(parts, 100) for parts in ((1, 1, 1, 19), (19, 4, 1, 1)))
    one, other = draw.binomial(shares, p, (RUNS, 400)), draw.binomial(base_shares, base, (RUNS, 400))
    counts = (one.cumsum(axis=1), shares.cumsum(), other.cumsum(axis=1), base_shares.cumsum())
    above, below = boundaries.difference(*counts, p - base, ALPHA)
    assert (above | below).any(axis=1).sum() <= stats.binom.isf(1e-4, RUNS, ALPHA)


def test_drift_is_declared_of_data_that_did_not_move_no_more_often_than_promised() -> None:
    firsts = play(drift("drift", 0.0), 150, 300)
    assert (firsts[OURS] > 0).sum() <= stats.binom.isf(1e-4, 150, ALPHA)
    assert (firsts[PEEKED] > 0).sum() > (firsts[OURS] > 0).sum()


@pytest.mark.parametrize(
    "gate", [rate("error-rate", 0.02, 0.02), versus("error-rate", (0.05, 0.05), 0.0, (1, 1)), winner("A/B", (0.9, 0.9))]
)
@pytest.mark.parametrize("rule", [THRESHOLD, PEEKED])
def test_rules_for_a_single_look_would_not_pass_that_test(gate: Gate, rule: str) -> None:
    assert (play(gate, RUNS, 2 * ROUNDS)[rule] > 0).sum() > stats.binom.isf(1e-4, RUNS, ALPHA)


@pytest.mark.parametrize("gate", HEALTHY, ids=lambda gate: gate.name)
def test_a_fixed_threshold_fails_healthy_candidates_and_a_gate_hardly_any(gate: Gate) -> None:
    firsts = play(gate, RUNS, ROUNDS)
    assert (firsts[OURS] > 0).mean() < ALPHA / 2
    assert (firsts[THRESHOLD] > 0).mean() > 0.1


@pytest.mark.parametrize("bound", [0.0, 0.05, -0.1])
@pytest.mark.parametrize("shares", [(1, 9), (1, 1), (7, 1)], ids=str)
def test_differences_are_decided_as_by_the_monitor(bound: float, shares: tuple[int, int]) -> None:
    draw, n = np.random.default_rng(1), np.arange(1, 201)
    one, base = (draw.binomial(share, 0.3, (30, 200)).cumsum(axis=1) for share in shares)
    decided = boundaries.difference(one, shares[0] * n, base, shares[1] * n, bound, 0.5)
    for run, look in draw.integers((30, 200), size=(400, 2)):
        counts = (int(one[run, look]), shares[0] * int(n[look]), int(base[run, look]), shares[1] * int(n[look]))
        interval = difference_interval(*counts, 0.5)
        assert tuple(side[run, look] for side in decided) == (interval.low > bound, interval.high < bound), counts


@pytest.mark.parametrize("bound", [0.01, 0.5, 0.9])
def test_proportions_are_decided_as_by_the_monitor(bound: float) -> None:
    draw, n = np.random.default_rng(2), np.arange(1, 301)
    seen = draw.binomial(1, 0.6 * bound + 0.2, (30, 300)).cumsum(axis=1)
    above, below = boundaries.proportion(seen, n, bound, 0.3)
    for run, look in draw.integers((30, 300), size=(400, 2)):
        interval = proportion_interval(int(seen[run, look]), int(n[look]), 0.3)
        assert (above[run, look], below[run, look]) == (interval.low > bound, interval.high < bound)


def test_means_are_decided_as_by_the_monitor() -> None:
    draw = np.random.default_rng(3)
    one, base = draw.exponential(1.2, (20, 300)), draw.normal(1.0, 0.7, (20, 300))
    above, below = boundaries.mean_difference(one, base, 0.5)
    for run, look in draw.integers((20, 300), size=(300, 2)):
        moments = [
            figure
            for of in (one, base)
            for seen in [of[run, : look + 1]]
            for figure in (float(seen.mean()), float(seen.var(ddof=1)) if look else 0.0, len(seen))
        ]
        interval = mean_difference_interval(*moments, 0.5)
        assert (above[run, look], below[run, look]) == (interval.low > 0, interval.high < 0)
    assert not above[:, : START - 1].any()
    assert above.any()


def test_quantiles_end_where_the_monitors_do() -> None:
    draw, n, bounds = np.random.default_rng(4), np.arange(1, 301), [1.0, 5.0, 10.0, 25.0]
    taken = draw.lognormal(1.5, 1.0, (20, 300))
    low, high = boundaries.quantile([np.cumsum(taken <= bound, axis=1) for bound in bounds], n, bounds, 0.9, 0.21)
    for run, look in draw.integers((20, 300), size=(300, 2)):
        counts = np.bincount(np.searchsorted(bounds, taken[run, : look + 1]), minlength=5).tolist()
        interval = quantile_interval(counts, bounds, 0.9, 0.21)
        assert (low[run, look], high[run, look]) == (interval.low, interval.high)


def test_the_report_has_a_row_for_every_gate_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "evidence.md"
    monkeypatch.setattr("sys.argv", ["peeking", "--runs", "4", "--rounds", "120", "--out", str(out)])
    main()
    text = out.read_text()
    assert all(f"| {gate.name} | {gate.truth} |" in text for gate in (*AT_THE_BOUND, *HEALTHY))
    assert "(evidence.svg)" in text
    assert ElementTree.parse(tmp_path / "evidence.svg").getroot().tag.endswith("svg")
