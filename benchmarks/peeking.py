"""How often gates that are looked at after every request are wrong, and how soon they are right.

Ten thousand simulated rollouts of each gate, beside the rules that other tools judge by. `python -m benchmarks.peeking`
writes docs/statistics-evidence.md and its plot; the same seed gives the same figures.
"""

import argparse
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.boundaries import Counts
from benchmarks.gates import (
    ALPHA,
    OURS,
    PATIENCE,
    PEEKED,
    THRESHOLD,
    Firsts,
    Gate,
    apart,
    drift,
    latency,
    rate,
    rewards,
    versus,
    winner,
)
from monitor.fixed_horizon import plan_proportions

SEED: Final = 20
CELLS: Final = 1_000_000
"""Runs times rounds that are in memory at once."""

AT_THE_BOUND: Final = (
    rate("error-rate, max 2 %", 0.02, 0.02),
    versus("error-rate, versus stable + 1 %", (0.02, 0.01), 0.01, (1, 9)),
    rate("latency-p95, max (share of slower requests)", 0.05, 0.05),
    latency("latency-p95, versus stable + 50 ms", (100.0, 50.0), 50.0),
    rate("shadow-agreement, min 0.99", 0.99, 0.99, worse_above=False),
    versus("feedback-accuracy, versus stable - 0.02", (0.90, 0.92), -0.02, (1, 1), worse_above=False),
    versus("feedback-accuracy, versus stable - 0.02", (0.90, 0.92), -0.02, (1, 19), worse_above=False),
    rewards("feedback-reward, versus stable", (1.0, 1.0)),
    winner("A/B winner of 2 arms", (0.9, 0.9)),
    winner("A/B winner of 3 arms", (0.9, 0.9, 0.9)),
    winner("A/B winner of 3 arms, one of the two best", (0.9, 0.9, 0.8), frozenset({0, 1})),
)
DRIFT: Final = drift("drift", 0.0)
DRIFT_ROUNDS: Final = 300
"""A drift watch goes value by value, which takes its time."""
HEALTHY: Final = (
    rate("error-rate, max 2 %", 0.01, 0.02),
    versus("error-rate, versus stable + 1 %", (0.01, 0.01), 0.01, (1, 9)),
    versus("feedback-accuracy, versus stable - 0.02", (0.9, 0.9), -0.02, (1, 1), worse_above=False),
)
PROPORTIONS: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
SHARES: Final = ((1, 99), (1, 9), (1, 1), (9, 1))


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference that is really there. `planned`: base and candidate proportions and candidate's samples per base
    sample, for what a test for one look would need.
    """

    gate: Gate
    rounds: int
    planned: tuple[float, float, float] | None = None


EFFECTS: Final = (
    Effect(rate("error-rate, max 2 %", 0.04, 0.02), 3_000),
    Effect(rate("error-rate, max 2 %", 0.5, 0.02), 100),
    Effect(versus("error-rate, versus stable", (0.03, 0.01), 0.0, (1, 19)), 3_000, (0.01, 0.03, 1 / 19)),
    Effect(versus("error-rate, versus stable", (0.5, 0.01), 0.0, (1, 19)), 100),
    Effect(
        versus("feedback-accuracy, versus stable", (0.88, 0.92), 0.0, (1, 9), worse_above=False),
        6_000,
        (0.92, 0.88, 1 / 9),
    ),
    Effect(winner("A/B winner of 2 arms", (0.90, 0.92), frozenset({1})), 15_000, (0.90, 0.92, 1.0)),
    Effect(winner("A/B winner of 2 arms", (0.90, 0.95), frozenset({1})), 4_000, (0.90, 0.95, 1.0)),
    Effect(winner("A/B winner of 3 arms", (0.90, 0.90, 0.95), frozenset({2})), 4_000),
    Effect(rewards("feedback-reward, versus stable", (0.9, 1.0)), 10_000),
    Effect(latency("latency-p95, versus stable + 50 ms", (300.0, 45.0), 50.0), 3_000),
)
DRIFTED: Final = Effect(drift("drift", 0.3), 500)


def play(gate: Gate, runs: int, rounds: int, seed: int = SEED) -> Firsts:
    """When each rule first decided in each run. Runs are made in parts that fit into memory, each with its own seed."""
    part = max(CELLS // rounds, 1)
    parts = [
        gate.play(np.random.default_rng([seed, start]), min(part, runs - start), rounds)
        for start in range(0, runs, part)
    ]
    return {rule: np.concatenate([one[rule] for one in parts]) for rule in parts[0]}


def share(firsts: Counts | None) -> str:
    """How many runs decided, with the exact 95 % interval (C. Clopper, E. Pearson, Biometrika 26 (1934) 404-413)."""
    if firsts is None:
        return "–"
    hits, runs = int((firsts > 0).sum()), len(firsts)
    interval = stats.binomtest(hits, runs).proportion_ci(0.95, method="exact")
    return f"{hits / runs:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def false_alarms(gates: Sequence[tuple[Gate, int]], runs: int) -> Iterator[str]:
    """A table of how often each rule decided, though it should not."""
    yield "| gate | truth | rounds | Tidegate | fixed threshold | test for one look |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for gate, rounds in gates:
        firsts = play(gate, runs, rounds)
        rules = " | ".join(share(firsts.get(rule)) for rule in (OURS, THRESHOLD, PEEKED))
        yield f"| {gate.name} | {gate.truth} | {rounds:,} | {rules} |"


def differences(runs: int, rounds: int) -> Iterator[str]:
    """A table of how often the interval for a difference of two equal proportions ever excludes 0."""
    yield "| p | " + " | ".join(f"{one}:{other}" for one, other in SHARES) + " |"
    yield "| --- |" + " --- |" * len(SHARES)
    for p in PROPORTIONS:
        found = [play(apart(p, shares), runs, rounds)[OURS] for shares in SHARES]
        cells = [share(firsts).partition(" ")[0] for firsts in found]
        yield f"| {p:g} | " + " | ".join(cells) + " |"


def power(effects: Sequence[Effect], runs: int) -> Iterator[str]:
    """A table of how soon differences are found."""
    yield "| gate | truth | found | median | 80 % of runs | a test for one look, planned |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for effect in effects:
        gate = effect.gate
        found = play(gate, runs, effect.rounds)[OURS]
        samples = np.where(found > 0, found * float(gate.per_round), np.inf)
        median, most = (
            f"{value:,.0f}" if np.isfinite(value) else "more"
            for value in np.quantile(samples, [0.5, 0.8], method="higher")
        )
        planned = "–"
        if effect.planned is not None:
            base, variant, ratio = effect.planned
            planned = f"{plan_proportions(base, variant, ALPHA, 0.8, ratio).variant_samples:,}"
        within = f"{(found > 0).mean():.0%} within {effect.rounds * gate.per_round:,}"
        yield f"| {gate.name} | {gate.truth} | {within} | {median} | {most} | {planned} |"


def plot(firsts: Firsts, rounds: int) -> str:
    """How many runs have been failed by each round, for each rule, as an SVG."""
    width, height, left, bottom = 640, 300, 50, 40

    def x(n: float) -> float:
        return left + n / rounds * (width - left - 140)

    def y(p: float) -> float:
        return height - bottom - p * (height - bottom - 20)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    lines += [
        f'<text x="{left - 6}" y="{y(p) + 4:.0f}" text-anchor="end">{p:.0%}</text>'
        f'<path d="M{x(0):.0f} {y(p):.0f}H{x(rounds):.0f}" stroke="#ddd"/>'
        for p in (0, 0.25, 0.5, 0.75, 1)
    ]
    lines += [
        f'<text x="{x(n):.0f}" y="{height - bottom + 16}" text-anchor="middle">{n:,}</text>'
        for n in range(0, rounds + 1, rounds // 4)
    ]
    lines.append(f'<text x="{x(rounds / 2):.0f}" y="{height - 6}" text-anchor="middle">samples of the candidate</text>')
    lines.append(f'<path d="M{x(0):.0f} {y(ALPHA):.1f}H{x(rounds):.0f}" stroke="black" stroke-dasharray="4"/>')
    for (rule, counts), colour in zip(firsts.items(), ("#0a7d4f", "#c0392b", "#d68910"), strict=False):
        at = range(0, rounds + 1, rounds // 100)
        shares = [float(((counts > 0) & (counts <= n)).mean()) for n in at]
        path = "L".join(f"{x(n):.1f} {y(p):.1f}" for n, p in zip(at, shares, strict=True))
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{x(rounds) + 6:.0f}" y="{y(shares[-1]) + 4:.0f}" fill="{colour}">{rule}</text>')
    return "\n".join([*lines, "</svg>", ""])


def report(runs: int, rounds: int, plot_name: str) -> Iterator[str]:
    """The document, line by line."""
    started = time.monotonic()
    yield f"""# What was measured of the statistics

Written by `make bench-peeking` (`python -m benchmarks.peeking --runs {runs} --rounds {rounds}`), never by hand. Each
row is {runs:,} simulated rollouts from fixed seeds, looked at after every round of requests; a round has as many of
either version as the row says. Confidence is {1 - ALPHA:.0%} everywhere, so a gate may be wrong in {ALPHA:.0%} of them.
In brackets: the exact 95 % interval of a figure.

The *fixed threshold* acts when the observed value is beyond the bound at any look, the *test for one look* (z, Welch's
t, Kolmogorov-Smirnov) when p < 0.05 at any look; both wait for {PATIENCE} samples.

## False alarms at the bound

The candidate is exactly as bad as it may be, or all versions are equal: whoever fails it, or names a winner, is wrong.
Of an A/B test the fixed threshold is a lead of 2 points, of drift a PSI of 0.2.
"""
    yield from false_alarms([*((gate, rounds) for gate in AT_THE_BOUND), (DRIFT, DRIFT_ROUNDS)], runs)
    yield f"""
![How many candidates exactly at the bound have been failed by each rule]({plot_name})

## A healthy candidate

Well within its bound.
"""
    yield from false_alarms([(gate, rounds) for gate in HEALTHY], runs)
    yield f"""
## Differences of proportions

The interval for a difference is asymptotic. How often it ever excludes the truth for two streams with the same p, by
their shares of the requests, in {rounds:,} rounds:
"""
    yield from differences(runs, rounds)
    fewer = max(runs // 5, 1)
    yield f"""
## How soon a difference is found

Samples of the candidate until the gate decides, in the median run and in four of five, {fewer:,} runs a row; the last
column is what a test that may look only once needs for the same 80 %.
"""
    yield from power([*EFFECTS, DRIFTED], fewer)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
    )
    yield f"\nMade in {time.monotonic() - started:.0f} seconds on {machine}."


def main() -> None:
    """Write the report and its plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=Path("docs/statistics-evidence.md"))
    options = parser.parse_args()
    drawing = options.out.with_suffix(".svg")
    drawn = play(AT_THE_BOUND[1], options.runs, options.rounds)
    drawing.write_text(plot(drawn, options.rounds))
    with options.out.open("w") as out:
        for line in report(options.runs, options.rounds, drawing.name):
            print(line, file=out, flush=True)


if __name__ == "__main__":
    main()
