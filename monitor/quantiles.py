"""Confidence sequences for quantiles of latencies from histograms: intervals that hold at every moment at once.

The q-quantile is the least x with F(x) >= q, where F(x) is the share of requests that take x or less. At a bucket's
bound that share is a proportion, which has a confidence sequence (`monitor.sequential`). The quantile is surely above a
bound whose whole interval is below q, and surely not above one whose whole interval is q or more.

No allowance has to be made for the number of bounds. Let b and c be the neighbouring bounds with F(b) < q <= F(c): the
quantile is above b and not above c. A lower end of c or more needs too few values up to c, an upper end of b or less
too many up to b. Count the values up to b, and of those between b and c each with the probability
(q - F(b)) / (F(c) - F(b)): that count is one of independent trials with success probability exactly q, it is never
above the one up to c and never below the one up to b, and the ends of a proportion's interval rise with the count. So
whichever end is wrong, the interval of that one stream misses q, which ever happens with probability alpha at most.

Source: S. Howard, A. Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm
identification, Bernoulli 28 (2022) 1704-1728. The interval is exact for independent requests of one distribution; its
ends are bounds of buckets, so it is never narrower than the bucket that the quantile is in.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf

from monitor.sequential import Interval, proportion_interval


def quantile_interval(counts: Sequence[int], bounds: Sequence[float], q: float, alpha: float) -> Interval:
    """The interval for the q-quantile of values of 0 or more, valid at every moment at once.

    `counts` has the values of each bucket, `bounds` the buckets' upper bounds, which belong to them; the last bucket
    has none. The interval is in the bounds' unit, from 0 at the least to infinity at most. Raises `ValueError` for
    counts and bounds that do not belong together, bounds that do not rise, and unless 0 < q < 1 and 0 < alpha < 1.
    """
    if len(counts) != len(bounds) + 1 or any(one >= other for one, other in pairwise((0.0, *bounds))):
        raise ValueError(f"{len(counts)} buckets with the upper bounds {list(bounds)} are no histogram")
    if not 0 < q < 1:
        raise ValueError(f"no quantile is at {q}")
    *shares, total = accumulate(counts)
    low, high = 0.0, inf
    for bound, up_to in zip(bounds, shares, strict=True):
        share = proportion_interval(up_to, total, alpha)
        if share.high < q:
            low = bound
        elif share.low >= q:
            high = bound
            break  # so it is with all bounds above
    return Interval(low, high)


def quantile_difference_interval(
    counts: Sequence[int], base_counts: Sequence[int], bounds: Sequence[float], q: float, alpha: float
) -> Interval:
    """The interval for the q-quantile of one stream less that of another, valid at every moment of both at once.

    Each stream gets half of `alpha` (Boole's inequality); the difference lies between the extremes. Ends may be
    infinite. Raises `ValueError` as `quantile_interval` does.
    """
    one = quantile_interval(counts, bounds, q, alpha / 2)
    base = quantile_interval(base_counts, bounds, q, alpha / 2)
    return Interval(one.low - base.high, one.high - base.low)
