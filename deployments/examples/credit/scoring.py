"""The model of the credit example, as a class of its owner's: nothing of Tidegate is imported here.

Training uses `features` too, so that a request is prepared as the training data were.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

FIELDS = ("income", "age", "credit_history", "loan_amount", "employment_years")
"""What is asked for, in this order: a year's income, years, the share of earlier instalments that were paid on time,
the amount in the currency of the income, and years with the present employer."""
BASE_SCORE, BASE_ODDS, DOUBLING = 600, 3.0, 40
"""A score is on the usual scale: 600 for three who repay to one who does not, and 40 points more for twice the odds."""
LEAST_SCORE, MOST_SCORE = 300, 850
SURE = 0.7
"""Decisions of less confidence are for a person to look at."""


def features(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the estimators see: the fields with income as its logarithm, and the loan as a share of the income."""
    income, age, history, loan, employed = rows.T
    return np.column_stack([np.log1p(income), age, history, loan / (income + 1.0), employed])


class Scorer:
    """Answers with a decision, the score behind it, and how sure it is."""

    inputs = FIELDS
    outputs = ("approved", "credit_score", "confidence", "recommendation", "timestamp")

    def __init__(self, path: Path) -> None:
        """Load the estimator that lies beside the code in the folder `path`."""
        self._estimator = joblib.load(path / "model.joblib")

    def predict(self, rows: NDArray[np.float64]) -> dict[str, Any]:
        """One entry per row for each of `outputs`.

        An applicant is approved who repays more probably than not; `confidence` is the probability of that, or of the
        contrary if the answer is no.
        """
        repays = self._estimator.predict_proba(features(rows))[:, 1]
        approved = repays >= 0.5
        confidence = np.where(approved, repays, 1.0 - repays)
        advice = np.where(confidence < SURE, "review", np.where(approved, "approve", "decline"))
        return {
            "approved": approved,
            "credit_score": score(repays),
            "confidence": confidence,
            "recommendation": advice,
            "timestamp": [datetime.now(UTC).isoformat(timespec="milliseconds")] * len(rows),
        }


def score(repays: NDArray[np.float64]) -> NDArray[np.int64]:
    """Probabilities of repayment on the scale of scores."""
    likely = np.clip(repays, 1e-6, 1 - 1e-6)
    points = BASE_SCORE + DOUBLING * np.log2(likely / (1 - likely) / BASE_ODDS)
    return np.clip(np.rint(points), LEAST_SCORE, MOST_SCORE).astype(np.int64)
