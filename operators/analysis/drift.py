"""How far the candidate's inputs or answers are from the reference.

Two things must come together for a failure. The population stability index says how large a move is, and is compared
with the bound; the e-value says whether chance could have done it. Without drift the e-value of a column reaches 1 / a
with probability a at most, however often one looks, so that of K columns any reaches K / alpha with probability alpha
at most (Boole's inequality).
"""

from math import isnan
from typing import Final

from monitor.evidence import DriftTally, Move
from operators.analysis.findings import finite, missing, with_enough
from operators.api import Check
from operators.status import CheckResult, Verdict

FEWEST: Final = 100
"""Fewer values fill the index's bins too thinly to pass by it."""


def judge_drift(check: Check, tally: DriftTally | None, columns: str) -> CheckResult:
    """The column that moved most; `columns` is what they are called."""
    if tally is None or not tally.reference:
        return missing(check, "the monitor has no reference to compare with yet")
    if not tally.moves:
        return missing(check, f"the monitor has compared no {columns} yet")
    needed = len(tally.moves) / (1 - check.confidence)
    over = [move for move in tally.moves if _psi(move) > check.bound]
    certain = [move for move in over if move.e_value >= needed]
    unknown = [move.name for move in tally.moves if _psi(move) < 0]
    worst = max(certain or over or tally.moves, key=_psi)
    index = "no PSI yet" if _psi(worst) < 0 else f"a PSI of {worst.psi:.3g}"
    others = f" (and {len(certain) - 1} more {columns})" if len(certain) > 1 else ""
    message = (
        f"{check.metric}: {worst.name} has {index}{others}, {check.bound:g} allowed: {tally.samples} values against "
        f"{tally.reference_samples} of the reference, e-value {worst.e_value:.3g} where {needed:.4g} proves a move "
        f"among {len(tally.moves)} {columns} at {check.confidence * 100:g} % confidence"
    )
    if not over and unknown:
        message += f"; nothing is known yet of {', '.join(unknown[:3])}{' and others' if len(unknown) > 3 else ''}"
    enough = tally.samples >= FEWEST
    if not over and not unknown and not enough:
        message += f"; {FEWEST} values are needed"
    result = CheckResult(
        name=check.name,
        verdict=(
            Verdict.FAIL if certain else Verdict.PASS if enough and not over and not unknown else Verdict.INCONCLUSIVE
        ),
        value=finite(worst.psi),
        bound=check.bound,
        low=None,
        high=None,
        samples=tally.samples,
        message=message,
    )
    return with_enough(check, result, "values")


def _psi(move: Move) -> float:
    """The index, which is never negative; -1 while it is not known."""
    return -1.0 if move.psi is None or isnan(move.psi) else move.psi
