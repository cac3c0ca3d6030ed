"""What an evaluation of evidence can end in."""

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """`FAIL` says that the evidence shows a fault, `PASS` that there was enough of it and it shows none.

    Too little or missing evidence is `INCONCLUSIVE`, never a fault.
    """

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Fail if any is, else inconclusive if any is or if there are none, else pass."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.INCONCLUSIVE
