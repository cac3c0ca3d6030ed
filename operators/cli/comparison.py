"""The page of `compare`: how two versions of a model do beside each other, and what that means. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from monitor.answers.comparison import Cell, ComparisonReport, Shadow, VersionReport
from monitor.answers.figures import Difference, Figure
from monitor.verdict import Verdict
from operators.cli.text import NOTHING, indented, number, sections
from operators.status import CheckResult
from operators.status import Verdict as Judgement

MOST_CLASSES: Final = 10
"""Classes that a table of them has room for."""
SHOWN: Final = 5
"""Examples that a person is shown; a program gets all."""
_LONGEST: Final = 60
_SAYS: Final = {Verdict.PASS: "better", Verdict.FAIL: "worse", Verdict.INCONCLUSIVE: "no difference shown"}
"""A verdict about the candidate."""


def comparison(report: ComparisonReport, checks: str, since: str | None) -> str:
    """The report in sections. `checks` is what those of the rollout say now, `since` how far back it was asked."""
    span = f"the last {since}" if since else "all that is kept"
    head = f"{report.model}: candidate {report.candidate or NOTHING} against stable {report.stable or NOTHING}, {span}"
    confidence = f"intervals of {100 * report.confidence:g}% each"
    shadow = report.shadow
    return sections(
        (
            ("", head),
            ("Answers to the same requests (stable live, candidate in the shadow)", _shadow(shadow) if shadow else ""),
            ("Where they differ", _examples(shadow) if shadow else ""),
            ("Versions (milliseconds in the replica)", _versions(report)),
            ("Labels", _labels(report)),
            ("Classes", _classes(report)),
            (f"Candidate - stable, {confidence}, may be watched", _differences(report.differences)),
            ("Tests for one look that was planned; they mean less each time one looks", _planned(report.differences)),
            ("Checks of the rollout", checks),
            ("Not all was read", indented([(line,) for line in report.cut])),
        )
    )


def meaning(report: ComparisonReport, checks: Sequence[CheckResult]) -> str:
    """What it says, in one sentence."""
    missing = [name for name, one in _sides(report) if one is None or not one.records]
    if missing:
        return f"Nothing can be compared yet: no requests to the {' and the '.join(missing)} version are on record."
    parts = []
    if report.shadow is not None and report.shadow.agreement.value is not None:
        share = 100 * report.shadow.agreement.value
        parts.append(f"it agrees with the stable version in {share:.4g}% of {report.shadow.pairs:,} requests")
    said = {verdict: [one.metric for one in report.differences if shown(one) is verdict] for verdict in Verdict}
    if said[Verdict.FAIL]:
        parts.append(f"it is worse in {_list(said[Verdict.FAIL])}")
    if said[Verdict.PASS]:
        parts.append(f"it is better in {_list(said[Verdict.PASS])}")
    if said[Verdict.INCONCLUSIVE]:
        parts.append(f"no difference has been shown in {_list(said[Verdict.INCONCLUSIVE])}, which may still be there")
    failed = [one.name for one in checks if one.gates and one.verdict is Judgement.FAIL]
    waiting = [one.name for one in checks if one.gates and one.verdict is Judgement.INCONCLUSIVE]
    if failed:
        parts.append(f"of the rollout's checks {_list(failed)} {'fails' if len(failed) == 1 else 'fail'}")
    elif waiting:
        parts.append(f"of the rollout's checks {_list(waiting)} cannot say yet")
    elif any(one.gates for one in checks):
        parts.append("the rollout's checks pass")
    return f"What it means for {report.candidate}: {'; '.join(parts) or 'nothing has been shown yet'}."


def shown(difference: Difference) -> Verdict:
    """What the interval that may be watched says of the candidate: PASS is better, FAIL is worse."""
    low, high = difference.sequential.low, difference.sequential.high
    above, below = low is not None and low > 0, high is not None and high < 0
    if not (above or below):
        return Verdict.INCONCLUSIVE
    return Verdict.PASS if above is difference.higher_is_better else Verdict.FAIL


def between(figure: Figure) -> str:
    """The interval of a figure."""
    if figure.low is None and figure.high is None:
        return NOTHING
    return f"{number(figure.low, 'any')} to {number(figure.high, 'any')}"


def cut(value: object) -> str:
    """A value as text that fits into a table."""
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _sides(report: ComparisonReport) -> Iterator[tuple[str, VersionReport | None]]:
    found = {one.version: one for one in report.versions}
    yield "stable", found.get(report.stable)
    yield "candidate", found.get(report.candidate)


def _known(report: ComparisonReport) -> list[tuple[str, VersionReport]]:
    return [(name, one) for name, one in _sides(report) if one is not None]


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return NOTHING
    interval = between(figure)
    return number(figure.value) if interval == NOTHING else f"{number(figure.value)} ({interval})"


def _shadow(shadow: Shadow) -> str:
    rows: list[tuple[str, ...]] = [("agreement", _figure(shadow.agreement), f"of {shadow.pairs:,} requests")]
    if shadow.classes is not None:
        rows.append(("Cohen's kappa", _figure(shadow.classes.kappa), "agreement beyond chance, for one look"))
    if (numbers := shadow.numbers) is not None:
        rows += [
            ("mean difference", _figure(numbers.difference), "candidate - stable"),
            ("Kolmogorov-Smirnov", number(numbers.kolmogorov_smirnov), "largest distance of the distributions"),
            ("PSI", number(numbers.psi), "population stability index"),
            ("Jensen-Shannon", number(numbers.jensen_shannon), "distance, 0 to 1"),
        ]
    text = indented(rows)
    if shadow.classes is not None and shadow.classes.confusion:
        text += f"\n\n{_confusion(shadow.classes.confusion)}"
    return text


def _confusion(cells: Sequence[Cell]) -> str:
    """A row for each of stable's answers; of very many classes the most frequent pairs."""
    counts: Counter[str] = Counter()
    for cell in cells:
        counts.update({cell.one: cell.count, cell.other: cell.count})
    if len(counts) > MOST_CLASSES:
        head = ("STABLE", "CANDIDATE", "REQUESTS")
        return indented(
            [head, *((cut(one.one), cut(one.other), f"{one.count:,}") for one in cells[: 2 * MOST_CLASSES])]
        )
    names = sorted(counts)
    found = {(cell.one, cell.other): cell.count for cell in cells}
    columns = ("STABLE \\ CANDIDATE", *map(cut, names))
    return indented([columns, *((cut(one), *(f"{found.get((one, other), 0):,}" for other in names)) for one in names)])


def _examples(shadow: Shadow) -> str:
    rows = [
        (
            one.request_id,
            str(one.row),
            cut(one.stable),
            cut(one.candidate),
            NOTHING if one.inputs is None else cut(", ".join(f"{name}={value}" for name, value in one.inputs.items())),
        )
        for one in shadow.examples[:SHOWN]
    ]
    return indented([("REQUEST", "ROW", "STABLE", "CANDIDATE", "INPUTS"), *rows]) if rows else ""


def _versions(report: ComparisonReport) -> str:
    head = ("ROLE", "VERSION", "REQUESTS", "COPIES", "ERRORS", "MEAN", "P50", "P95", "P99", "REWARD", "REWARDS")
    rows = []
    for role, one in _known(report):
        at = one.latency
        times = (at.mean, at.p50, at.p95, at.p99) if at else (None,) * 4
        counts = (f"{count:,}" for count in (one.records, one.mirrored, one.errors))
        reward = (_figure(one.reward), f"{one.reward.samples:,}")
        rows.append((role, one.version, *counts, *map(number, times), *reward))
    return indented([head, *rows]) if rows else ""


def _labels(report: ComparisonReport) -> str:
    given = [(role, one.labels) for role, one in _known(report) if one.labels is not None and one.labels.labels]
    if not given:
        return ""
    classes = any(labels.classification for _, labels in given)
    numbers = any(labels.regression for _, labels in given)
    head = ["ROLE", "LABELS", "COVERAGE", "HALF CAME IN"]
    head += [
        *(("ACCURACY", "PRECISION", "RECALL", "F1") if classes else ()),
        *(("MAE", "RMSE", "R2") if numbers else ()),
    ]
    rows = []
    for role, labels in given:
        lag = NOTHING if labels.median_seconds is None else f"{labels.median_seconds:g}s"
        row = [role, f"{labels.labels:,}", number(labels.coverage), lag]
        if (found := labels.classification) is not None:
            row += [_figure(found.accuracy), number(found.precision), number(found.recall), _figure(found.macro_f1)]
        elif classes:
            row += [NOTHING] * 4
        if (errors := labels.regression) is not None:
            row += map(_figure, (errors.mae, errors.rmse, errors.r2))
        elif numbers:
            row += [NOTHING] * 3
        rows.append(row)
    return indented([head, *rows])


def _classes(report: ComparisonReport) -> str:
    rows = [
        (role, cut(one.name), _figure(one.precision), _figure(one.recall), _figure(one.f1))
        for role, version in _known(report)
        if version.labels is not None and version.labels.classification is not None
        for one in version.labels.classification.classes[:MOST_CLASSES]
    ]
    return indented([("ROLE", "CLASS", "PRECISION", "RECALL", "F1"), *rows]) if rows else ""


def _differences(differences: Sequence[Difference]) -> str:
    rows = [
        (
            one.metric,
            number(one.stable.value),
            number(one.candidate.value),
            number(one.sequential.value),
            between(one.sequential),
            _SAYS[shown(one)],
        )
        for one in differences
    ]
    return (
        indented([("METRIC", "STABLE", "CANDIDATE", "DIFFERENCE", "INTERVAL", "CANDIDATE IS"), *rows]) if rows else ""
    )


def _planned(differences: Sequence[Difference]) -> str:
    rows = [
        (
            one.metric,
            test.test,
            f"{test.p_value:.3g}",
            _figure(test.difference),
            f"{test.effect_name} {number(test.effect)}",
            _SAYS[test.verdict],
        )
        for one in differences
        for test in one.fixed_horizon
    ]
    return indented([("METRIC", "TEST", "P", "DIFFERENCE", "EFFECT", "CANDIDATE IS"), *rows]) if rows else ""


def _list(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
