"""Every gate of a rollout, played on many simulated streams at once, beside the rules that other tools judge by.

A gate looks after every round of requests. What it returns says, run by run, in which round each rule first decided as
asked about, 0 for never. The rules:

- `OURS`: what Tidegate does, at confidence 0.95.
- `THRESHOLD`: the observed value is beyond the bound, at any look from `PATIENCE` samples on.
- `PEEKED`: a test for a single look (z for proportions, Welch's t for means, Kolmogorov-Smirnov for drift) finds it at
  the level 0.05, at any look from `PATIENCE` samples on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy import stats

from benchmarks import boundaries
from benchmarks.boundaries import Counts, Hits, Values
from monitor import distances
from monitor.conformal import DriftWatch
from monitor.profiles import NumericColumn, Profile
from operators.analysis.findings import FEWEST_FAILURES

ALPHA: Final = 0.05
PATIENCE: Final = 100
OURS, THRESHOLD, PEEKED = "Tidegate", "fixed threshold", "test for one look"

_Z: Final = float(stats.norm.isf(ALPHA / 2))
_BOUNDS: Final = [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0]
"""Envoy's buckets of latencies, in milliseconds."""

Firsts = dict[str, Counts]


@dataclass(frozen=True, slots=True)
class Gate:
    """`truth` says how the streams are made. `play` takes random numbers, runs and rounds."""

    name: str
    truth: str
    play: Callable[[np.random.Generator, int, int], Firsts]
    per_round: int = 1
    """The candidate's samples in a round."""


def rate(name: str, truth: float, bound: float, *, worse_above: bool = True) -> Gate:
    """A proportion that may be `bound` at most, or at least: does it fail?"""

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        (seen,), (n,) = _streams(draw, (truth,), (1,), runs, rounds)
        error = np.sqrt(bound * (1 - bound) / n)
        decided = _proven(boundaries.proportion(seen, n, bound, ALPHA), seen, n, worse_above)
        return _firsts(decided, seen / n - bound, error, n, worse_above)

    return Gate(name, f"{truth:g}", play)


def versus(
    name: str, truths: tuple[float, float], bound: float, shares: tuple[int, int], *, worse_above: bool = True
) -> Gate:
    """A proportion that may differ by `bound` from stable's: does it fail? Truths and shares: candidate's, stable's."""

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        (one, base), (n, base_n) = _streams(draw, truths, shares, runs, rounds)
        p, q = one / n, base / base_n
        error = np.sqrt(p * (1 - p) / n + q * (1 - q) / base_n)
        decided = _proven(boundaries.difference(one, n, base, base_n, bound, ALPHA), one, n, worse_above)
        return _firsts(decided, p - q - bound, error, n, worse_above)

    split = f"{shares[0]}:{shares[1]} requests"
    return Gate(name, f"{truths[0]:g} against {truths[1]:g}, {split}", play, shares[0])


def apart(p: float, shares: tuple[int, int]) -> Gate:
    """Two streams with the same proportion: does the interval for their difference ever exclude 0?"""

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        (one, base), (n, base_n) = _streams(draw, (p, p), shares, runs, rounds)
        above, below = boundaries.difference(one, n, base, base_n, 0.0, ALPHA)
        return {OURS: first(above | below)}

    return Gate("difference", f"{p:g}, {shares[0]}:{shares[1]} requests", play, shares[0])


def rewards(name: str, truths: tuple[float, float]) -> Gate:
    """Exponential rewards, half of the requests each: is the candidate's mean surely lower than stable's?"""

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        one, base = (draw.exponential(truth, (runs, rounds)) for truth in truths)
        n, gap, variance, base_variance = boundaries.moments(one, base)
        decided = boundaries.mean_difference(one, base, ALPHA)
        return _firsts(decided, gap, np.sqrt((variance + base_variance) / n), n, worse_above=False)

    return Gate(name, f"mean {truths[0]:g} against {truths[1]:g}, 1:1 requests", play)


def latency(name: str, truths: tuple[float, float], margin: float, q: float = 0.95) -> Gate:
    """Log-normal latencies with these quantiles: is the candidate's surely more than `margin` above stable's?"""

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        n = np.arange(1, rounds + 1)
        ends, estimates = [], []
        for truth in truths:
            taken = truth * np.exp(0.8 * (draw.standard_normal((runs, rounds)) - stats.norm.ppf(q)))
            up_to = [np.cumsum(taken <= bound, axis=1) for bound in _BOUNDS]
            ends.append(boundaries.quantile(up_to, n, _BOUNDS, q, ALPHA / 2))
            estimates.append(_observed_quantile(up_to, n, q))
        (low, _), (_, base_high) = ends
        above = estimates[0] - estimates[1] > margin
        return {OURS: first(low - base_high > margin), THRESHOLD: first(above & (n >= PATIENCE))}

    return Gate(name, f"{truths[0]:g} ms against {truths[1]:g} ms, 1:1 requests", play)


def winner(name: str, truths: tuple[float, ...], better: frozenset[int] = frozenset(), lead: float = 0.02) -> Gate:
    """An A/B test of proportions: does an arm win that should not? With `better`: does one of these win?

    The fixed threshold is a lead of `lead`.
    """

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        arms, (n, *_) = _streams(draw, truths, (1,) * len(truths), runs, rounds)
        wins = {rule: [np.ones((runs, rounds), bool) for _ in arms] for rule in (OURS, THRESHOLD, PEEKED)}
        for one, other in combinations(range(len(arms)), 2):
            p, q = arms[one] / n, arms[other] / n
            error = np.sqrt((p * (1 - p) + q * (1 - q)) / n)
            decided = boundaries.difference(arms[one], n, arms[other], n, 0.0, ALPHA / (len(arms) - 1))
            for arm, ours, gap in ((one, decided[0], p - q), (other, decided[1], q - p)):
                wins[OURS][arm] &= ours
                wins[THRESHOLD][arm] &= (gap > lead) & (n >= PATIENCE)
                wins[PEEKED][arm] &= (gap > _Z * error) & (n >= PATIENCE)
        counted = better or frozenset(range(len(arms)))
        return {rule: first(np.any([hits[arm] for arm in counted], axis=0)) for rule, hits in wins.items()}

    return Gate(name, " / ".join(f"{truth:g}" for truth in truths) + ", equal shares", play)


def drift(name: str, shift: float, reference: int = 1000, every: int = 100) -> Gate:
    """Standard normal values, moved by `shift`, watched by `DriftWatch`; the other rules look after each `every`.

    The fixed threshold is a PSI of 0.2.
    """

    def play(draw: np.random.Generator, runs: int, rounds: int) -> Firsts:
        firsts = {rule: np.zeros(runs, dtype=np.int64) for rule in (OURS, THRESHOLD, PEEKED)}
        for run in range(runs):
            before, values = draw.standard_normal(reference), draw.standard_normal(rounds) + shift
            column = Profile.of({"x": before}).columns["x"]
            watch = DriftWatch(column, ALPHA, seed=int(draw.integers(2**31)))
            firsts[OURS][run] = watch.update(values).alarm_at or 0
            edges = distances.quantile_edges(column.sample if isinstance(column, NumericColumn) else (), 10)
            expected = distances.histogram(before, edges)
            for n in range(PATIENCE, rounds + 1, every):
                seen = values[:n]
                if not firsts[THRESHOLD][run] and distances.psi(expected, distances.histogram(seen, edges)) > 0.2:
                    firsts[THRESHOLD][run] = n
                if not firsts[PEEKED][run] and distances.kolmogorov_smirnov(before, seen).p_value < ALPHA:
                    firsts[PEEKED][run] = n
        return firsts

    return Gate(name, f"moved by {shift:g} standard deviations, {reference} values of reference", play)


def first(hits: Hits) -> Counts:
    """The first round of each run in which it is so, counted from 1; 0 for none."""
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)


def _firsts(decided: tuple[Hits, Hits], gap: Values, error: Values, n: Counts, worse_above: bool) -> Firsts:
    """The first failure by each rule; `gap` is how far the observed value is above the bound."""
    worse = gap if worse_above else -gap
    patient = n >= PATIENCE
    return {
        OURS: first(decided[0 if worse_above else 1]),
        THRESHOLD: first((worse > 0) & patient),
        PEEKED: first((worse > _Z * error) & patient),
    }


def _proven(decided: tuple[Hits, Hits], seen: Counts, n: Counts, worse_above: bool) -> tuple[Hits, Hits]:
    """What a check makes of an interval: no proportion fails with fewer failures than `FEWEST_FAILURES`."""
    enough = (seen if worse_above else n - seen) >= FEWEST_FAILURES
    above, below = decided
    return (above & enough, below) if worse_above else (above, below & enough)


def _streams(
    draw: np.random.Generator, truths: tuple[float, ...], shares: tuple[int, ...], runs: int, rounds: int
) -> tuple[list[Counts], list[Counts]]:
    """Successes so far of each stream, and trials so far, after each round."""
    seen = [
        draw.binomial(share, truth, (runs, rounds)).cumsum(axis=1) for truth, share in zip(truths, shares, strict=True)
    ]
    return seen, [np.arange(1, rounds + 1) * share for share in shares]


def _observed_quantile(up_to: list[Counts], n: Counts, q: float) -> Values:
    """The upper bound of the bucket that the q-quantile of what was seen is in."""
    found = np.full(up_to[0].shape, np.inf)
    for bound, counts in zip(reversed(_BOUNDS), reversed(up_to), strict=True):
        found[counts >= q * n] = bound
    return found
