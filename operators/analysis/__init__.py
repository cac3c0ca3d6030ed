"""What is known about a candidate: checks, evidence, verdicts. Pure.

The intervals are confidence sequences (`monitor.sequential`, `monitor.means`, `monitor.quantiles`), so evaluating at
every interval and acting on the first clear answer is sound: a good candidate fails a check with probability
1 - confidence at most, over a whole evidence window however often it is looked at. A check therefore may fail before
`minSamples` are reached; it passes only after. What is not known is never a failure, and no proportion fails for a
single failure.

    basis.py        what checks are judged by
    findings.py     from an estimate and its interval to a verdict and a sentence
    traffic.py      what the routers count: errors, latencies
    quantiles.py    latencies against the stable version's
    predictions.py  what the monitor knows of answers: agreement in the shadow, labels, rewards, errors
    drift.py        how far the candidate's inputs or answers are from the reference
    measured.py     what Prometheus or a web address says
"""

from collections.abc import Sequence
from dataclasses import replace

from operators.analysis.basis import Basis, evidence
from operators.analysis.drift import judge_drift
from operators.analysis.findings import missing
from operators.analysis.measured import judge_measured
from operators.analysis.predictions import judge_agreement, judge_errors, judge_labels, judge_rewards
from operators.analysis.quantiles import judge_quantile
from operators.analysis.traffic import judge_error_rate, judge_latency, slower_than
from operators.api import METRICS, Check
from operators.status import CheckResult, Verdict

__all__ = ["Basis", "evaluate", "evidence", "slower_than", "worst"]


def evaluate(checks: Sequence[Check], basis: Basis, min_samples: int = 0) -> tuple[CheckResult, ...]:
    """The result of every check.

    None passes before the candidate has answered `min_samples` requests; that comes on top of what each check asks for.
    """
    return tuple(replace(_evaluate(check, basis, min_samples), dry_run=check.dry_run) for check in checks)


def worst(results: Sequence[CheckResult]) -> Verdict | None:
    """Fail if any check fails, else Inconclusive if any is, else Pass; None when no check has a say."""
    verdicts = {result.verdict for result in results if result.gates}
    return next((one for one in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if one in verdicts), None)


def _evaluate(check: Check, basis: Basis, needed: int) -> CheckResult:
    if not check.judged(basis.live, basis.copies):
        return _idle(check, basis.before)
    result = _judge(check, basis)
    answered = basis.candidate.requests if basis.candidate is not None else 0
    if result.verdict is Verdict.PASS and answered < needed:
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=f"{result.message}; {needed} requests are needed")
    return result


def _judge(check: Check, basis: Basis) -> CheckResult:
    match check.metric:
        case None:
            return judge_measured(check, basis.measured.get(check.name))
        case "error-rate":
            return judge_error_rate(check, basis)
        case "latency-p50" | "latency-p95" | "latency-p99":
            return judge_latency(check, basis) if check.versus is None else judge_quantile(check, basis)
    if basis.evidence is None:
        return missing(check, "there is no current answer of the monitor")
    match check.metric:
        case "shadow-agreement":
            return judge_agreement(check, basis.evidence)
        case "feedback-accuracy":
            return judge_labels(check, basis, basis.evidence)
        case "feedback-reward":
            return judge_rewards(check, basis, basis.evidence)
        case "feedback-error":
            return judge_errors(check, basis, basis.evidence)
        case "feature-drift":
            return judge_drift(check, basis.evidence.features, "features")
        case "prediction-drift":
            return judge_drift(check, basis.evidence.predictions, "outputs")


def _idle(check: Check, before: Sequence[CheckResult]) -> CheckResult:
    """What a check last said that cannot be judged now."""
    last = next((result for result in before if result.name == check.name), None)
    if last is not None:
        return replace(last, idle=True)
    needs = METRICS[check.metric].needs if check.metric is not None else "either"
    reaches = {"live": "requests of users reach", "copies": "copies of requests reach", "either": "requests reach"}
    return replace(missing(check, f"is judged while {reaches[needs]} the candidate"), idle=True)
