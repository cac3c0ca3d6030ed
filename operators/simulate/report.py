"""A result for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operators.api.fields import format_duration
from operators.simulate.result import Moment, Outcome, Result
from operators.status import Phase, Verdict
from router.ir import BASIS_POINTS

_UNWRAPPED: Final = 10_000
"""The width of a line that goes to no terminal: nothing is broken, so that it can be searched."""
_WORST_FIRST: Final = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_STYLES: Final = {
    Verdict.PASS.value: "green",
    Verdict.FAIL.value: "red",
    Phase.HEALTHY.value: "green",
    Phase.DEGRADED.value: "red",
    Outcome.PROMOTED.value: "bold green",
    Outcome.ABORTED.value: "bold red",
    Outcome.HELD.value: "bold yellow",
}


def as_text(result: Result, file: IO[str], given: bool) -> None:
    """Print the timeline, the outcome and what users saw. `given`: the stable version is a manifest's, not invented."""
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console.width = _UNWRAPPED
    beside = result.stable if given else f"{result.stable} (stands for the version that is stable now)"
    _print(console, f"modelrollout/{result.name}: {result.candidate} beside {beside}, seed {result.seed}", "")
    _print(console, _timeline(result))
    outcome = Text.assemble(
        (result.outcome.value, _STYLES[result.outcome.value]), f" {_when(result)}: {result.message}"
    )
    _print(console, "", outcome, "", _versions(result))
    share = result.errors / result.requests if result.requests else 0.0
    none = f", {result.unanswered:,} of them because no version could answer" if result.unanswered else ""
    errors = f"{result.errors:,} of {result.requests:,} requests ({share * 100:.3g} %)"
    _print(console, "", f"errors that users saw: {errors}{none}")


def as_json(result: Result) -> str:
    """The result as JSON: times in seconds since the manifest was applied, shares in percent."""
    content = {
        "name": result.name,
        "seed": result.seed,
        "outcome": result.outcome.value,
        "at": result.at,
        "end": result.end,
        "message": result.message,
        "stable": result.stable,
        "candidate": result.candidate,
        "requests": result.requests,
        "errors": result.errors,
        "unanswered": result.unanswered,
        "versions": [
            {"failedCopies" if name == "failed_copies" else name: value for name, value in asdict(version).items()}
            for version in result.totals
        ],
        "timeline": [
            {
                "at": moment.at,
                "phase": moment.phase.value,
                "step": moment.step,
                "weight": _percent(moment.weight),
                "shadow": _percent(moment.shadow),
                "weights": {version: _percent(weight) for version, weight in moment.weights},
                "checks": {name: verdict.value for name, verdict in moment.checks},
                "notes": list(moment.notes),
            }
            for moment in result.moments
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _when(result: Result) -> str:
    if result.outcome is Outcome.HELD:
        return f"until the end after {_time(result.end)}"
    return f"after {_time(result.at)}"


def _timeline(result: Result) -> Table:
    table = _table("TIME", "PHASE", "CANDIDATE", "SHADOW", "CHECKS", "WHAT")
    before: Moment | None = None
    for moment in result.moments:
        notes = [*_passing(before, moment), *moment.notes]
        if before is None or notes or (before.phase, _worst(before)) != (moment.phase, _worst(moment)):
            table.add_row(
                _time(moment.at),
                _coloured(moment.phase.value),
                *_shares(moment),
                _worst(moment),
                Text("\n".join(notes)),
            )
        before = moment
    return table


def _shares(moment: Moment) -> tuple[str, str]:
    """What the candidate is meant to get, when there is one."""
    if moment.phase in (Phase.HEALTHY, Phase.DEGRADED):
        return "-", "-"
    bar = "█" * round(10 * moment.weight / BASIS_POINTS)
    return f"{_percent(moment.weight):g}%".ljust(6) + bar, f"{_percent(moment.shadow):g}%"


def _passing(before: Moment | None, after: Moment) -> Iterator[str]:
    """Checks that passed just now. Those that failed are told by the decision that follows from it."""
    known = dict(before.checks) if before is not None else {}
    names = [name for name, one in after.checks if one is Verdict.PASS and known.get(name) is not Verdict.PASS]
    if names:
        yield f"{' and '.join(names)}: Pass"


def _versions(result: Result) -> Table:
    roles = {result.candidate: "candidate", result.stable: "stable"}
    table = _table("VERSION", "AT FIRST", "REQUESTS", "ERRORS", "COPIES", "ERRORS")
    for version in result.totals:
        numbers = (version.requests, version.errors, version.copies, version.failed_copies)
        table.add_row(version.version, roles.get(version.version, "-"), *(f"{number:,}" for number in numbers))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != "WHAT", overflow="fold")
    return table


def _print(console: Console, *lines: str | Text | Table) -> None:
    """Print without the blanks that a table has at the ends of its lines."""
    with console.capture() as captured:
        for line in lines:
            console.print(line, markup=False)
    for text in captured.get().splitlines():
        console.file.write(f"{text.rstrip()}\n")


def _coloured(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, ""))


def _worst(moment: Moment) -> Text:
    found = {verdict for _, verdict in moment.checks}
    return next((_coloured(verdict.value) for verdict in _WORST_FIRST if verdict in found), Text("-"))


def _percent(basis_points: int) -> float:
    return basis_points * 100 / BASIS_POINTS


def _time(seconds: float) -> str:
    return format_duration(round(seconds))
