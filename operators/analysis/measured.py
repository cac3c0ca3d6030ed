"""What Prometheus or a web address says: readings, one after another, against fixed bounds.

Nothing is known about how such numbers come about, so there is no interval: a reading is in its bounds or not, and
`failureLimit` says how many in a row may not be.
"""

from collections.abc import Sequence
from itertools import takewhile
from math import isfinite

from operators.analysis.findings import missing
from operators.api import Check
from operators.observe import Measured
from operators.status import CheckResult, Verdict


def judge_measured(check: Check, measured: Measured | None) -> CheckResult:
    """The newest reading, and how many out of bounds it ends."""
    if measured is None or not (measured.values or measured.problem):
        return missing(check, "there is no reading yet")
    if measured.problem:
        return missing(check, measured.problem)
    newest = measured.values[-1]
    if not isfinite(newest):
        return missing(check, f"the newest reading is {newest}, which is no number to judge by")
    outside = _outside(check, measured.values)
    crossed = check.max if check.min is None or (isinstance(check.max, float) and newest > check.max) else check.min
    bounds = " and ".join(
        f"{word} {bound:g}"
        for word, bound in (("at least", check.min), ("at most", check.max))
        if isinstance(bound, int | float)
    )
    count = len(measured.values)
    message = f"{check.subject} is {newest:.4g}, {bounds} allowed: {count} reading{'s' * (count > 1)}"
    if outside:
        message += f", the last {outside} out of bounds, {check.failure_limit} in a row may be"
    return CheckResult(
        name=check.name,
        verdict=(
            Verdict.PASS if not outside else Verdict.FAIL if outside > check.failure_limit else Verdict.INCONCLUSIVE
        ),
        value=newest,
        bound=crossed if isinstance(crossed, int | float) else 0.0,
        low=None,
        high=None,
        samples=count,
        message=message,
    )


def _outside(check: Check, values: Sequence[float]) -> int:
    """How many of the newest readings in a row are out of bounds. One that is no number ends the row."""
    low = float("-inf") if check.min is None else check.min
    high = check.max if isinstance(check.max, int | float) else float("inf")
    return sum(1 for _ in takewhile(lambda value: isfinite(value) and not low <= value <= high, reversed(values)))
