"""The pages of `performance` and `events`. Pure."""

from collections.abc import Sequence
from typing import Final

from monitor.answers.history import Bucket, PerformanceReport, VersionHistory
from monitor.event import Event
from monitor.verdict import Verdict
from operators.api.fields import format_duration
from operators.cli.text import age, indented, moment, number, sections, table

_BUCKETS: Final = (
    "FROM",
    "REQUESTS",
    "ERRORS",
    "MEAN MS",
    "P95 MS",
    "LABELS",
    "ACCURACY",
    "F1",
    "MAE",
    "REWARDS",
    "REWARD",
)
_TRENDS: Final = ("METRIC", "GETS WORSE", "PER LINE", "BETWEEN", "P", "MESSAGE")
_ODD: Final = ("METRIC", "FROM", "TO", "VALUES", "USUAL", "WHY")
_WORSE: Final = {Verdict.FAIL: "yes", Verdict.PASS: "no", Verdict.INCONCLUSIVE: "not known yet"}


def histories(report: PerformanceReport) -> str:
    """All versions over time, and which of them get worse."""
    if not report.versions:
        return f"{report.model}: no requests are on record since {moment(report.since)}."
    parts = [("", f"{report.model} since {moment(report.since)}, a line for every {format_duration(report.bucket)}")]
    for one in report.versions:
        parts += [
            (f"Version {one.version}", _buckets(one.buckets)),
            (f"Trends of {one.version}", _trends(one)),
            (f"What stands out of {one.version}", _oddities(one)),
        ]
    parts += [("Not all was read", indented([(line,) for line in report.cut])), ("", _meaning(report))]
    return sections(parts)


def happened(events: Sequence[Event], now: float) -> str:
    """One line for each event."""
    rows = [
        (f"{age(now - one.at)} ago", one.severity, one.kind, one.model, one.title, " ".join(one.message.split()))
        for one in events
    ]
    return table(("AT", "SEVERITY", "KIND", "MODEL", "WHAT", "MESSAGE"), rows)


def _meaning(report: PerformanceReport) -> str:
    odd = {one.version: len(one.oddities) for one in report.versions if one.oddities}
    told = ", ".join(f"{count} of {version}" for version, count in odd.items())
    more = f"; stretches that stand out from the others: {told}" if told else ""
    return f"What it means: {_worse(report)}{more}."


def _worse(report: PerformanceReport) -> str:
    worse = {
        one.version: ", ".join(trend.metric for trend in one.trends if trend.verdict is Verdict.FAIL)
        for one in report.versions
        if one.degradation is Verdict.FAIL
    }
    if worse:
        told = (f"{version} gets steadily worse in {metrics}" for version, metrics in worse.items())
        return "; ".join(told)
    if all(one.degradation is Verdict.PASS for one in report.versions):
        return "no version gets steadily worse"
    return "no version has been shown to get worse; a trend needs 12 lines at least"


def _buckets(buckets: Sequence[Bucket]) -> str:
    rows = [
        (
            moment(one.start),
            f"{one.requests:,}",
            f"{one.errors:,}",
            number(one.mean_ms),
            number(one.p95_ms),
            f"{one.labels:,}",
            number(one.accuracy),
            number(one.macro_f1),
            number(one.mae),
            f"{one.rewards:,}",
            number(one.reward_mean),
        )
        for one in buckets
    ]
    return indented([_BUCKETS, *rows])


def _trends(history: VersionHistory) -> str:
    rows = [
        (
            one.metric,
            _WORSE[one.verdict],
            number(one.slope),
            "-" if one.slope is None else f"{number(one.low, 'any')} to {number(one.high, 'any')}",
            "-" if one.p_value is None else f"{one.p_value:.2g}",
            one.message,
        )
        for one in history.trends
    ]
    return indented([_TRENDS, *rows]) if rows else ""


def _oddities(history: VersionHistory) -> str:
    rows = [
        (
            one.metric,
            moment(one.first),
            moment(one.last),
            number(one.low) if one.low == one.high else f"{number(one.low)} to {number(one.high)}",
            number(one.usual),
            ", ".join(one.rules),
        )
        for one in history.oddities
    ]
    return indented([_ODD, *rows]) if rows else ""
