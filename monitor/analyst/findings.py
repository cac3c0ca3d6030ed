"""Findings as events: the same one has the same key, so that it is told once whatever restarts. Pure."""

from hashlib import sha256
from typing import Final

from monitor.analyst.figures import Version
from monitor.anomaly import Anomaly
from monitor.answers.history import MetricTrend
from monitor.concept import Change
from monitor.conformal import WatchResult
from monitor.event import Event, Kind, Severity
from monitor.quality import Finding, Rule
from monitor.reports.following import Family

SERIOUS: Final = 0.01
"""The share of rows from which on what is wrong with them is a warning."""


def drifted(
    version: Version, family: Family, column: str, shown: WatchResult, *, psi: float | None, at: float
) -> Event:
    """A column is not any more what its reference is."""
    what = "feature" if family is Family.FEATURES else "prediction"
    large = "" if psi is None else f"; PSI {psi:.3g} in the newest requests"
    return _event(
        "drift",
        "warning",
        version,
        (family.value, column),
        at,
        title=f"The {what} {column} of {version.model} has drifted",
        message=(
            f"{column} of version {version.version} is not distributed as in its reference: evidence "
            f"{shown.e_value:.3g} after {shown.samples} values{large}. See by how much: {command('drift', version)}"
        ),
        details={"family": family.value, "column": column, "evidence": shown.e_value, "values": shown.samples}
        | {"psi": psi},
    )


def faulty(version: Version, finding: Finding, requests: tuple[str, ...], at: float) -> Event:
    """Values are not as the reference has them."""
    severity: Severity = "warning" if finding.share >= SERIOUS else "info"
    # Whoever asks chooses the names of fields that nobody expects: they are all one finding.
    field = "" if finding.rule is Rule.UNEXPECTED else finding.field
    return _event(
        "quality",
        severity,
        version,
        (finding.rule.value, field, severity),
        at,
        title=f"{finding.field} of {version.model} breaks a rule: {finding.rule.value}",
        message=(
            f"Of the newest requests to version {version.version}: {finding.message}. See which: "
            f"{command('drift', version)}"
        ),
        details={"field": finding.field, "rule": finding.rule.value, "share": finding.share, "requests": requests},
    )


def concept_changed(version: Version, change: Change, labelled_at: float, at: float) -> Event:
    """Errors are more than they were. At most one a day, as the first one's place moves when more labels come."""
    return _event(
        "degradation",
        "warning",
        version,
        ("concept", round(labelled_at // 86_400)),
        at,
        title=f"{version.model} is wrong more often than it was",
        message=(
            f"The mean error of version {version.version} rose from {change.before:.3g} to {change.after:.3g}, by the "
            f"labels of its requests. See since when: {command('drift', version)}"
        ),
        details={"before": change.before, "after": change.after, "since": labelled_at},
    )


def degrading(version: Version, trend: MetricTrend, period: tuple[float, float], at: float) -> Event:
    """A metric goes steadily in the direction that is worse."""
    hours = (period[1] - period[0]) / 3_600
    return _event(
        "degradation",
        "warning",
        version,
        ("trend", trend.metric, round(period[0])),
        at,
        title=f"{trend.metric} of {version.model} gets worse",
        message=(
            f"Version {version.version} in {hours:g} hours: {trend.message}. See the course: "
            f"{command('performance', version)}"
        ),
        details={"metric": trend.metric, "slope": trend.slope, "p_value": trend.p_value, "since": period[0]},
    )


def odd(version: Version, metric: str, found: tuple[Anomaly, ...], period: tuple[float, float], at: float) -> Event:
    """Some minutes are far outside of what the others are. It may be chance, and is said for information only."""
    said = "; ".join(one.message for one in found[:3])
    return _event(
        "anomaly",
        "info",
        version,
        (metric, round(period[0])),
        at,
        title=f"{metric} of {version.model} was unusual in {len(found)} of 60 minutes",
        message=(
            f"Version {version.version}, by the minute of the hour: {said}. See the course: "
            f"{command('performance', version)}"
        ),
        details={"metric": metric, "minutes": [one.first for one in found], "since": period[0]},
    )


def command(name: str, version: Version) -> str:
    """What a person types next."""
    only = f" --version {version.version}" if name == "drift" else ""
    place = "" if version.namespace == "default" else f" --namespace {version.namespace}"
    return f"`tidegate {name} {version.model}{only}{place}`"


def _event(
    kind: Kind,
    severity: Severity,
    version: Version,
    parts: tuple[object, ...],
    at: float,
    *,
    title: str,
    message: str,
    details: dict[str, object],
) -> Event:
    digest = sha256(repr((*version, *parts)).encode(errors="replace")).hexdigest()[:40]
    return Event(
        key=f"{kind}/{digest}",
        namespace=version.namespace,
        model=version.model,
        kind=kind,
        severity=severity,
        at=at,
        title=title,
        message=message,
        details={"version": version.version} | details,
    )
