"""How right was a version? Tallies of labelled predictions that can be added to, merged, and read at any time.

A tally of parts is the tally of the whole, whatever the order in which labels come. All intervals are confidence
sequences, so they may be read after every label. Labels come late, and the first ones may not be typical: `LabelLag`
says how many predictions have theirs.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, inf, nan, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from monitor.means import mean_interval
from monitor.profiles import category
from monitor.sequential import Interval, proportion_interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, the interval that holds it, and the number of records it rests on. NaN without any."""

    value: float
    interval: Interval
    samples: int


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class: how many of the records predicted as it are of it, how many of it were found, and both in one."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class ClassificationReport:
    """`confusion` counts records by (label, prediction); the macro score averages over all classes seen in either."""

    samples: int
    accuracy: Estimate
    macro_f1: Estimate
    classes: Mapping[str, ClassScores]
    confusion: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class ClassificationTally:
    """Counts of records by (label, prediction), both named as `profiles.category` does."""

    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: Iterable[object], predictions: Iterable[object]) -> "ClassificationTally":
        """Raises `ValueError` if they differ in number or one is missing."""
        counts: Counter[tuple[str, str]] = Counter()
        for label, prediction in zip(labels, predictions, strict=True):
            pair = category(label), category(prediction)
            if pair[0] is None or pair[1] is None:
                raise ValueError(f"a missing value cannot be scored: label {label}, prediction {prediction}")
            counts[pair[0], pair[1]] += 1
        return cls(dict(counts))

    def merge(self, other: "ClassificationTally") -> "ClassificationTally":
        return ClassificationTally(dict(Counter(self.confusion) + Counter(other.confusion)))

    def report(self, alpha: float = 0.05) -> ClassificationReport:
        """Every interval holds on its own with probability 1 - alpha, at all times at once.

        Accuracy, precision and recall are proportions, each of its own records. So is J = tp / (tp + fp + fn) among
        records that are of a class or were predicted as it, and F1 = 2 J / (1 + J) rises with J, so that the interval
        for J gives the one for F1. C. van Rijsbergen, Information Retrieval (1979) 112-140; P. Jaccard, New Phytol.
        11 (1912) 37-50. The macro score's interval averages intervals at alpha / K (Boole's inequality).
        """
        names = sorted({name for pair in self.confusion for name in pair})
        samples = sum(self.confusion.values())
        right = sum(n for (label, prediction), n in self.confusion.items() if label == prediction)
        per_class = [self._f1(name, alpha / len(names)) for name in names]
        macro = Interval(
            float(np.mean([one.interval.low for one in per_class])) if names else 0.0,
            float(np.mean([one.interval.high for one in per_class])) if names else 1.0,
        )
        value = float(np.mean([one.value for one in per_class])) if names else nan
        return ClassificationReport(
            samples=samples,
            accuracy=_proportion(right, samples, alpha),
            macro_f1=Estimate(value, macro, samples),
            classes={name: self._scores(name, alpha) for name in names},
            confusion=dict(sorted(self.confusion.items())),
        )

    def _scores(self, name: str, alpha: float) -> ClassScores:
        hits, predicted, actual = self._counts(name)
        return ClassScores(
            precision=_proportion(hits, predicted, alpha),
            recall=_proportion(hits, actual, alpha),
            f1=self._f1(name, alpha),
        )

    def _f1(self, name: str, alpha: float) -> Estimate:
        hits, predicted, actual = self._counts(name)
        jaccard = _proportion(hits, predicted + actual - hits, alpha)
        value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.interval.low, jaccard.interval.high))
        return Estimate(value, Interval(low, high), jaccard.samples)

    def _counts(self, name: str) -> tuple[int, int, int]:
        predicted = sum(n for (_, prediction), n in self.confusion.items() if prediction == name)
        actual = sum(n for (label, _), n in self.confusion.items() if label == name)
        return self.confusion.get((name, name), 0), predicted, actual


@dataclass(frozen=True, slots=True)
class RegressionReport:
    """Errors in the label's unit. R2 is NaN where all labels are equal, and its interval everything."""

    samples: int
    mae: Estimate
    rmse: Estimate
    r2: Estimate


@dataclass(frozen=True, slots=True)
class RegressionTally:
    """Sums over records with label y and error e.

    `errors` are the sums of |e|, e^2, e^4; `labels` those of (y - centre)^j for j = 0 to 4; `weighted` those of
    e^2 (y - centre)^j for j = 0 to 2. Merging moves both to the common centre first, which keeps them accurate however
    far labels are from 0: P. Pébay, Formulas for robust, one-pass parallel computation of covariances and
    arbitrary-order statistical moments, Sandia report SAND2008-6212.
    """

    centre: float = 0.0
    errors: tuple[float, ...] = (0.0,) * 3
    labels: tuple[float, ...] = (0.0,) * 5
    weighted: tuple[float, ...] = (0.0,) * 3

    @classmethod
    def of(cls, labels: ArrayLike, predictions: ArrayLike) -> "RegressionTally":
        """Raises `ValueError` if they differ in number or one is no finite number."""
        truth, guess = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
        if truth.shape != guess.shape or truth.ndim != 1:
            raise ValueError(f"{truth.shape} labels and {guess.shape} predictions cannot be paired")
        if not (np.isfinite(truth).all() and np.isfinite(guess).all()):
            raise ValueError("a missing value cannot be scored")
        if not truth.size:
            return cls()
        error, centre = guess - truth, float(truth.mean())
        powers = np.power.outer(truth - centre, np.arange(5))
        squared = np.square(error)
        return cls(
            centre,
            (float(np.abs(error).sum()), float(squared.sum()), float(np.square(squared).sum())),
            tuple(powers.sum(axis=0).tolist()),
            tuple((squared @ powers[:, :3]).tolist()),
        )

    @property
    def samples(self) -> int:
        return round(self.labels[0])

    def merge(self, other: "RegressionTally") -> "RegressionTally":
        total = self.samples + other.samples
        if not total:
            return self
        centre = self.centre + (other.centre - self.centre) * other.samples / total
        one, two = self._around(centre), other._around(centre)
        return RegressionTally(
            centre,
            _sum(one.errors, two.errors),
            _sum(one.labels, two.labels),
            _sum(one.weighted, two.weighted),
        )

    def _around(self, centre: float) -> "RegressionTally":
        step = self.centre - centre
        return RegressionTally(centre, self.errors, _moved(self.labels, step), _moved(self.weighted, step))

    def report(self, alpha: float = 0.05) -> RegressionReport:
        """MAE, RMSE and R2 = 1 - sum e^2 / sum (y - mean)^2, with asymptotic confidence sequences.

        MAE and the mean square are means. R2 is a smooth function of two means; the variance of its influence function
        stands for its own (the delta method: A. van der Vaart, Asymptotic Statistics (1998) ch. 3).
        """
        n = self.samples
        if n < 2:
            unknown = Estimate(nan, Interval(-inf, inf), n)
            return RegressionReport(n, unknown, unknown, unknown)
        absolute, squared, fourth = (total / n for total in self.errors)
        spare = n / (n - 1)
        mae = mean_interval(absolute, max(squared - absolute**2, 0.0) * spare, n, alpha)
        mse = mean_interval(squared, max(fourth - squared**2, 0.0) * spare, n, alpha)
        return RegressionReport(
            samples=n,
            mae=Estimate(absolute, Interval(max(mae.low, 0.0), mae.high), n),
            rmse=Estimate(sqrt(squared), Interval(sqrt(max(mse.low, 0.0)), sqrt(mse.high)), n),
            r2=self._r2(squared, fourth, n, alpha),
        )

    def _r2(self, squared: float, fourth: float, n: int, alpha: float) -> Estimate:
        spread, kurtosis = self.labels[2] / n, self.labels[4] / n
        if spread <= 0:
            return Estimate(nan, Interval(-inf, inf), n)
        r2 = 1 - squared / spread
        # The influence function is (1 - R2) (y - mean)^2 / spread - e^2 / spread, whose mean is 0.
        left = 1 - r2
        variance = max(left**2 * kurtosis - 2 * left * self.weighted[2] / n + fourth, 0.0) / spread**2
        interval = mean_interval(r2, variance * n / (n - 1), n, alpha)
        return Estimate(r2, Interval(interval.low, min(interval.high, 1.0)), n)


LAG_BOUNDS: Final = (1, 10, 60, 300, 1800, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 30 * 86400)
"""Upper ends of the intervals in which lags are counted, in seconds; longer ones are counted beyond the last."""


@dataclass(frozen=True, slots=True)
class LabelLag:
    """How long labels take: `counts[i]` labels took up to `LAG_BOUNDS[i]` seconds and more than the bound before."""

    predictions: int = 0
    counts: tuple[int, ...] = (0,) * (len(LAG_BOUNDS) + 1)

    @classmethod
    def of(cls, predictions: int, lags: Iterable[float]) -> "LabelLag":
        """`lags` are seconds from the prediction to its label, of those predictions that have one."""
        counts = [0] * (len(LAG_BOUNDS) + 1)
        for lag in lags:
            counts[bisect_left(LAG_BOUNDS, lag)] += 1
        return cls(predictions, tuple(counts))

    def merge(self, other: "LabelLag") -> "LabelLag":
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return LabelLag(self.predictions + other.predictions, counts)

    @property
    def labelled(self) -> int:
        return sum(self.counts)

    @property
    def coverage(self) -> float | None:
        """The share of predictions that have a label; None without predictions."""
        return self.labelled / self.predictions if self.predictions else None

    def quantile(self, q: float) -> float | None:
        """Seconds that the share `q` of the labels took at most, rounded up to a bound; None without labels."""
        reached = 0
        for bound, count in zip((*LAG_BOUNDS, inf), self.counts, strict=True):
            reached += count
            if count and reached >= q * self.labelled:
                return float(bound)
        return None


def _proportion(hits: int, n: int, alpha: float) -> Estimate:
    """Without records a score is 0, as is the custom, and its interval everything."""
    return Estimate(hits / n if n else 0.0, proportion_interval(hits, n, alpha), n)


def _sum(one: Sequence[float], two: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _moved(sums: Sequence[float], step: float) -> tuple[float, ...]:
    """Sums of w x^j turned into those of w (x + step)^j, by the binomial theorem."""
    return tuple(sum(comb(j, i) * sums[i] * step ** (j - i) for i in range(j + 1)) for j in range(len(sums)))
