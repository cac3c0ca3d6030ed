"""The page of `drift`: what moved since the reference, and what that means. Pure."""

from collections.abc import Sequence
from typing import Final

from monitor.answers.moves import Concept, Moved, Quality, VersionDrift
from monitor.verdict import Verdict
from operators.cli.text import NOTHING, indented, moment, number, sections

_SOURCES: Final = {"file": "the profile beside the model", "records": "its first requests", "": "no reference yet"}
_HEAD: Final = (
    "COLUMN",
    "VERDICT",
    "PSI",
    "TEST",
    "STATISTIC",
    "ADJUSTED P",
    "JS",
    "VALUES",
    "EVIDENCE",
    "ALARM AT",
    "",
)


def drifting(report: VersionDrift) -> str:
    """The report in sections, and a sentence."""
    if not report.version:
        return f"{report.model}: no requests are on record yet."
    span = ""
    if report.first_at is not None and report.last_at is not None:
        span = f", from {moment(report.first_at)} to {moment(report.last_at)}"
    head = f"{report.model}: the newest {report.window:,} requests of version {report.version}{span}"
    return sections(
        (
            ("", head),
            (f"Features against {_reference(report, report.features)}", _columns(report.features)),
            (f"Predictions against {_reference(report, report.predictions)}", _columns(report.predictions)),
            ("Data quality", _quality(report.quality)),
            ("Errors that labels show", _concept(report.concept)),
            ("", meaning(report)),
        )
    )


def meaning(report: VersionDrift) -> str:
    """What it says, in one sentence."""
    families = (("features", report.features), ("predictions", report.predictions))
    moved = [name for _, family in families for name in family.drifted]
    faulty = report.quality is not None and report.quality.verdict is Verdict.FAIL
    changed = [one.detector for one in report.concept if one.verdict is Verdict.FAIL]
    waiting = [name for name, family in families if not family.reference]
    blind = [name for name, family in families if family.reference and all(one.psi is None for one in family.columns)]
    parts = []
    if moved:
        parts.append(f"{', '.join(moved)} moved farther from the reference than chance explains")
    if faulty:
        parts.append("rows break the rules that the reference suggests")
    if changed:
        parts.append(f"labels show another error than before ({', '.join(changed)})")
    if blind:
        parts.append(f"of the {' and the '.join(blind)} nothing could be compared")
    if not parts and not waiting:
        parts.append("nothing has been shown to move")
    if waiting:
        parts.append(f"{' and '.join(waiting)} cannot be judged without a reference")
    return f"What it means: {'; '.join(parts)}."


def _reference(report: VersionDrift, moved: Moved) -> str:
    whose = f"version {report.reference_version}: " if report.reference_version != report.version else ""
    counted = f", {moved.reference_samples:,} of them" if moved.reference == "records" else ""
    return f"{whose}{_SOURCES.get(moved.reference, moved.reference)}{counted}"


def _columns(moved: Moved) -> str:
    rows = [
        (
            one.name,
            one.verdict.value,
            number(one.psi),
            one.test or NOTHING,
            number(one.statistic),
            NOTHING if one.adjusted_p_value is None else f"{one.adjusted_p_value:.2g}",
            number(one.jensen_shannon),
            f"{one.samples:,}",
            NOTHING if one.e_value is None else f"{one.e_value:.3g}",
            NOTHING if one.alarm_at is None else f"value {one.alarm_at:,}",
            one.message.removeprefix(f"{one.name}: ") if one.psi is None else "",
        )
        for one in moved.columns
    ]
    return f"{indented([_HEAD, *rows])}\n  {moved.message}" if rows else f"  {moved.message}"


def _quality(quality: Quality | None) -> str:
    if quality is None:
        return ""
    rows = [
        (one.field, one.rule, f"{one.count:,}", number(one.share), ", ".join(one.requests[:3]), one.message)
        for one in quality.faults
    ]
    table = indented([("FIELD", "RULE", "ROWS", "SHARE", "REQUESTS", "MESSAGE"), *rows]) + "\n" if rows else ""
    return f"{table}  {quality.verdict.value}: {quality.message}"


def _concept(found: Sequence[Concept]) -> str:
    rows = [
        (
            one.detector,
            one.verdict.value,
            f"{one.labels:,}",
            ", ".join(f"{moment(change.at)}: {change.before:.3g} to {change.after:.3g}" for change in one.changes)
            or NOTHING,
            one.message,
        )
        for one in found
    ]
    return indented([("DETECTOR", "VERDICT", "LABELS", "CHANGES", "MESSAGE"), *rows]) if rows else ""
