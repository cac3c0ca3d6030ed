"""Has the data moved? A test that may be watched at any time, value by value, for as long as one likes.

Every new value is ranked among the reference and all values before it. As long as nothing has changed, its rank (ties
broken at random) is uniform and independent of everything before, whatever the distribution is. The test is a gambler
who bets against that: with fair bets f(p) = 1 + s cos(k pi p) of mean one his capital is a non-negative martingale
that starts at 1, and by Ville's inequality it ever reaches 1 / alpha with probability alpha at most. If it does, the
data has drifted. k = 1 bets on a shift, 2 on a change of spread, 3 and 4 on finer ones; s is the stake.

Since nobody knows when a drift begins, the gambler releases his capital slowly: after t values 1 / log2(t + 2) of it
has not been put at stake yet and cannot have been lost; what is released is spread evenly over all bets. A drift after
long quiet is found almost as soon as one at the beginning.

Numbers are ranked by cells between quantiles of one half of the reference sample and counted against the other half.
Categories are ranked by their hashes: each one of the reference has a cell, and so have those between two of them,
which it did not have. So the memory is bounded, and the test remains exact.

Sources: J. Ville, Étude critique de la notion de collectif (1939). Ranks as fair bets: V. Vovk, I. Nouretdinov, A.
Gammerman, Testing exchangeability on-line, ICML 2003, 768-775. Watching for drift with them: V. Vovk, I. Petej, I.
Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman, Retrain or not retrain: conformal test martingales for change-point
detection, PMLR 152 (2021) 191-210. The cosines: J. Neyman, Smooth test for goodness of fit, Skand. Aktuarietidskr. 20
(1937) 149-199. Spreading capital over starting times: J. Shin, A. Ramdas, A. Rinaldo, E-detectors, New Engl. J. Stat.
Data Sci. 2 (2024) 229-260.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.profiles import CategoricalColumn, Column, Kind, NumericColumn, Profile, category, hash_of, mix, numbers
from monitor.verdict import Verdict

_CELLS: Final = 64
"""Cells of numbers: enough to see a shift of a tenth of the spread. A value that many records share has its own."""

_FREQUENCIES: Final = np.repeat(np.arange(1.0, 5.0), 6)
_STAKES: Final = np.tile([-0.9, -0.5, -0.2, 0.2, 0.5, 0.9], 4)

MIN_SAMPLES: Final = 100
"""Values that are needed by default, of the reference and to say that no drift has been shown."""

STATE_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class WatchResult:
    """`e_value` is the gambler's capital now: the evidence for drift, which is 1 / alpha when drift is declared.

    `alarm_at` is the number of values after which it was; the watch is over then, and later values change nothing.
    """

    verdict: Verdict
    e_value: float
    samples: int
    alarm_at: int | None
    message: str


class DriftWatch:
    """Watches one feature. The same values in the same order give the same result, also across `to_json`.

    The probability of an alarm without drift is at most `alpha` over the whole future. To watch K features with that
    promise for all of them, give each alpha / K. A pass says that no drift has been shown in `min_samples` or more.
    """

    def __init__(
        self,
        reference: NumericColumn | CategoricalColumn,
        alpha: float = 0.05,
        min_samples: int = MIN_SAMPLES,
        seed: int = 0,
    ) -> None:
        """Raises `ValueError` if `reference` is too small."""
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
        if reference.count < min_samples:
            raise ValueError(f"the reference has {reference.count} values; {min_samples} are needed")
        self._alpha, self._min_samples, self._seed = alpha, min_samples, seed
        self._samples = 0
        self._alarm_at: int | None = None
        self._capital = np.zeros(len(_STAKES))
        if isinstance(reference, NumericColumn):
            self._kind = Kind.NUMERIC
            # The order of priorities is random, so the halves are two independent samples.
            half = len(reference.sample) // 2
            levels = np.quantile(reference.sample[:half], np.arange(_CELLS + 1) / _CELLS)
            distinct, times = np.unique(levels, return_counts=True)
            shared = distinct[times > 1]
            self._edges = np.unique(np.concatenate([levels[1:-1], shared, np.nextafter(shared, -np.inf)]))
            cells = np.searchsorted(self._edges, reference.sample[half:])
            self._counts = np.bincount(cells, minlength=len(self._edges) + 1)
        else:
            self._kind = Kind.CATEGORICAL
            places = _places(list(reference.categories))
            self._edges = np.unique(np.concatenate([places, places - 1]))
            weights = list(reference.categories.values())
            counts = np.bincount(np.searchsorted(self._edges, places), weights, minlength=len(self._edges) + 1)
            self._counts = counts.astype(np.int64)
            self._counts[-1] += reference.other  # a profile keeps the categories with the lowest hashes

    def update(self, values: Column) -> WatchResult:
        """Take the next values, in the order in which they came. Missing ones are left out."""
        cells = self._cells(values)
        for cell, chance in zip(cells, self._chances(len(cells)), strict=True):
            if self._alarm_at is not None:
                break
            self._bet(self._rank(cell, chance))
        return self.result

    @property
    def result(self) -> WatchResult:
        capital = self._reserve(self._samples) + float(self._capital.sum())
        if self._alarm_at is not None:
            verdict, said = Verdict.FAIL, "the data has drifted"
        elif self._samples < self._min_samples:
            verdict, said = Verdict.INCONCLUSIVE, f"{self._min_samples} values are needed"
        else:
            verdict, said = Verdict.PASS, "no drift has been shown"
        message = f"{said}: evidence {capital:.3g} of {1 / self._alpha:.3g} after {self._samples} values"
        return WatchResult(verdict, capital, self._samples, self._alarm_at, message)

    def _cells(self, values: Column) -> list[int]:
        if self._kind is Kind.NUMERIC:
            given = numbers(values)
            given = given[np.isfinite(given)]
        else:
            given = _places([name for name in map(category, values) if name is not None])
        cells: list[int] = np.searchsorted(self._edges, given).tolist()
        return cells

    def _rank(self, cell: int, chance: float) -> float:
        """The share of values so far, with the new one, that are above it, ties broken at random; between 0 and 1."""
        self._counts[cell] += 1
        above = int(self._counts[cell + 1 :].sum())
        return (above + chance * int(self._counts[cell])) / float(self._counts.sum())

    def _chances(self, number: int) -> list[float]:
        """The next pseudorandom numbers, from the seed and the position: nothing else must be remembered."""
        positions = np.arange(self._samples, self._samples + number, dtype=np.uint64)
        found: list[float] = (mix(positions ^ mix(np.array([self._seed], dtype=np.uint64))) / 2.0**64).tolist()
        return found

    def _bet(self, p: float) -> None:
        released = self._reserve(self._samples) - self._reserve(self._samples + 1)
        self._samples += 1
        self._capital += released / len(self._capital)
        self._capital *= 1 + _STAKES * np.cos(_FREQUENCIES * np.pi * p)
        if self._reserve(self._samples) + float(self._capital.sum()) >= 1 / self._alpha:
            self._alarm_at = self._samples

    @staticmethod
    def _reserve(samples: int) -> float:
        return 1 / log2(samples + 2)

    def to_json(self) -> str:
        """All that is needed to go on later, in another process."""
        occupied = np.flatnonzero(self._counts)
        state = {
            "schema": STATE_VERSION,
            "kind": self._kind.value,
            "alpha": self._alpha,
            "minSamples": self._min_samples,
            "seed": self._seed,
            "samples": self._samples,
            "alarmAt": self._alarm_at,
            "capital": self._capital.tolist(),
            "edges": self._edges.tolist(),
            "counts": [[int(cell), int(self._counts[cell])] for cell in occupied],
        }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "DriftWatch":
        """Go on from what `to_json` wrote. Raises `ValueError` for anything else."""
        try:
            state = json.loads(text)
            if state["schema"] != STATE_VERSION:
                raise ValueError(f"schema {state['schema']}; this release reads {STATE_VERSION}")
            watch = cls.__new__(cls)
            watch._kind = Kind(state["kind"])
            watch._alpha, watch._min_samples, watch._seed = state["alpha"], state["minSamples"], state["seed"]
            watch._samples, watch._alarm_at = state["samples"], state["alarmAt"]
            watch._capital = np.array(state["capital"], dtype=np.float64)
            watch._edges = np.array(state["edges"], dtype=np.float64)
            watch._counts = np.zeros(len(watch._edges) + 1, dtype=np.int64)
            for cell, count in state["counts"]:
                watch._counts[cell] = count
            if watch._capital.shape != _STAKES.shape:
                raise ValueError("the capital of another release")
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            raise ValueError(f"no state of a drift watch: {problem}") from problem
        return watch


def watches(reference: Profile, alpha: float) -> dict[str, DriftWatch]:
    """One for each column of the reference, `alpha` each; a column with too few values to be watched has none."""
    return {
        name: DriftWatch(column, alpha, seed=hash_of(name))
        for name, column in reference.columns.items()
        if column.count >= MIN_SAMPLES
    }


def _places(names: Sequence[str]) -> NDArray[np.float64]:
    """Where categories are among all: the first 53 bits of their hashes, which a float can hold."""
    return np.array([hash_of(name) >> 11 for name in names], dtype=np.float64)
