"""Train the two versions of the credit example into `deployments/examples/models`, as folders of code and estimator.

The applicants are made up (`applicants`): no data of people are used, and none should be read into them. credit-1 is a
logistic regression, credit-2 gradient boosting, which also sees what a linear model cannot: that a large loan hurts
more with a short employment, and that instalments once missed often are worse than in proportion.
"""

import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import orjson
from credit.scoring import FIELDS, Scorer, features
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monitor.profiles import Kind, Profile

ROWS, SEED = 8_000, 20_24
"""Applicants to train on; as many others, of the next seed, to test with."""

ESTIMATORS: dict[str, ClassifierMixin] = {
    "credit-1": make_pipeline(StandardScaler(), LogisticRegression(random_state=1)),
    "credit-2": GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=2),
}


def applicants(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Made-up applicants, in the order of `FIELDS`, and whether each repaid.

    - age: normal around 41 with a deviation of 12, from 18 to 75
    - employment_years: a share of the years since 18, in full years and mostly small
    - income: lognormal around 38,000 a year; 1.5 % more for each year employed
    - credit_history: Beta(6, 1.6), so that most have paid nearly everything on time
    - loan_amount: a lognormal share of the income, 0.45 in the middle
    - repaid: by chance, with log-odds that rise with history and employment and fall with the loan's share of the
      income. It falls faster for those employed under two years, a history below 0.6 costs extra, and so does an
      age under 23. About two of three repay.
    """
    draw = np.random.default_rng(seed)
    age = np.clip(np.rint(draw.normal(41, 12, count)), 18, 75)
    employed = np.floor((age - 18) * draw.beta(1.2, 2.5, count))
    income = np.round(draw.lognormal(np.log(38_000), 0.45, count) * 1.015**employed, -2)
    history = np.round(draw.beta(6, 1.6, count), 2)
    loan = np.round(np.clip(income * draw.lognormal(np.log(0.45), 0.7, count), 500, 500_000), -2)
    share = loan / income
    odds = 0.4 + 4.0 * (history - 0.75) + 0.06 * np.minimum(employed, 15) + 0.5 * np.log(income / 38_000)
    odds += np.where(employed < 2, -2.2, -0.9) * (share - 0.45)
    odds += -1.5 * (history < 0.6) - 0.6 * (age < 23)
    repaid = draw.random(count) < 1 / (1 + np.exp(-odds))
    return np.column_stack([income, age, history, loan, employed]), repaid


def make(folder: Path, estimator: ClassifierMixin) -> None:
    """One version: the folder that is served, and beside it what is known of its training."""
    rows, repaid = applicants(ROWS, SEED)
    unseen, outcome = applicants(ROWS, SEED + 1)
    estimator.fit(features(rows), repaid)

    artifact = folder.with_suffix(".partial")
    shutil.rmtree(artifact, ignore_errors=True)
    (artifact / "credit").mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("scoring.py"), artifact / "credit" / "scoring.py")
    joblib.dump(estimator, artifact / "model.joblib")

    said = Scorer(artifact).predict(rows)["approved"]
    columns = Profile.of(dict(zip(FIELDS, rows.T, strict=True)))
    predictions = Profile.of({"approved": said}, {"approved": Kind.CATEGORICAL})
    profile = f'{{"features": {columns.to_json()}, "predictions": {predictions.to_json()}}}\n'
    beside(folder, "profile").write_text(profile)
    beside(folder, "metrics").write_bytes(orjson.dumps(metrics(estimator, unseen, outcome), option=orjson.OPT_INDENT_2))
    artifact.rename(folder)


def beside(folder: Path, what: str) -> Path:
    """Where Tidegate looks for what belongs to a model."""
    return folder.with_name(f"{folder.name}.{what}.json")


def metrics(estimator: ClassifierMixin, rows: NDArray[np.float64], repaid: NDArray[np.bool_]) -> dict[str, Any]:
    """How good the model is about applicants that it has not seen."""
    repays = estimator.predict_proba(features(rows))[:, 1]
    return {
        "trained_on": ROWS,
        "tested_on": len(rows),
        "accuracy": round(accuracy_score(repaid, repays >= 0.5), 4),
        "roc_auc": round(roc_auc_score(repaid, repays), 4),
        "brier": round(brier_score_loss(repaid, repays), 4),
        "approved": round(float(np.mean(repays >= 0.5)), 4),
        "repaid": round(float(np.mean(repaid)), 4),
    }


def main(models: Path) -> None:
    """Make what is missing; each folder appears whole or not at all."""
    for name, estimator in ESTIMATORS.items():
        folder = models / name
        if not folder.exists():
            print(f"==> training {name}")
            make(folder, estimator)
