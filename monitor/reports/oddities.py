"""What stands out in the history of a metric: single values, and runs that chance seldom makes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from monitor.anomaly import OUTLIER, Anomaly, outliers, patterns
from monitor.answers.history import Oddity

PERIODS: Final = 3
"""Days that must be known before a daily rhythm is taken for granted."""
CHANCE: Final = 1e-3
"""The probability up to which a share is no accident."""


Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """A metric by bucket, NaN where there is none. The last one has the number `last`; each is `width` seconds long.

    `counts`: what each value is a share of, None for a metric that is none. `day` is how many buckets a day has.
    """

    metric: str
    values: Values
    counts: Values | None
    last: int
    width: float
    day: int


def oddities(series: Series) -> Sequence[Oddity]:
    """One for each stretch, by time.

    Outliers are those of the whole series. Runs are looked for in its second half, by what is usual in the first one,
    at the same time of the day if that has three days. What overlaps is one stretch; it is told when it has an outlier
    or breaks two rules, as chance breaks a single one in one of 80 values, and a share when the others would not give
    it by chance: one failure in an hour is no news where others have none.
    """
    values, day = series.values, series.day
    baseline = len(values) // 2
    known = np.isfinite(values[:baseline]).sum()
    period = day if day > 1 and known >= PERIODS * day else 1
    found = [*outliers(values).anomalies, *patterns(values, baseline, period).anomalies]
    start, usual = series.last - len(values) + 1, float(np.nanmedian(values))
    made = []
    for stretch in _stretches(found):
        rules = tuple(dict.fromkeys(one.rule for one in stretch))
        if len(rules) == 1 and rules != (OUTLIER,):
            continue
        first, end = stretch[0].first, max(one.last for one in stretch)
        if series.counts is not None and _by_chance(values, series.counts, slice(first, end + 1)):
            continue
        within = values[first : end + 1]
        made.append(
            Oddity(
                series.metric,
                first=(start + first) * series.width,
                last=(start + end) * series.width,
                low=float(np.nanmin(within)),
                high=float(np.nanmax(within)),
                usual=usual,
                rules=rules,
            )
        )
    return made


def _by_chance(shares: Values, counts: Values, stretch: slice) -> bool:
    """Whether the successes of a stretch may be those of a binomial distribution with the share of all others."""
    successes, inside = shares * counts, np.zeros(len(shares), dtype=bool)
    inside[stretch] = True
    good, tried = round(np.nansum(successes[inside])), round(np.nansum(counts[inside]))
    share = (np.nansum(successes[~inside]) + 0.5) / (np.nansum(counts[~inside]) + 1)  # never quite 0 or 1
    return bool(2 * min(binom.sf(good - 1, tried, share), binom.cdf(good, tried, share)) > CHANCE)


def _stretches(found: Sequence[Anomaly]) -> list[list[Anomaly]]:
    """Those that overlap together."""
    stretches: list[list[Anomaly]] = []
    for one in sorted(found, key=lambda one: (one.first, one.last)):
        if stretches and one.first <= max(before.last for before in stretches[-1]):
            stretches[-1].append(one)
        else:
            stretches.append([one])
    return stretches
